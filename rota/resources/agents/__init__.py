"""Agents: what a session is made of, kept as numbered versions that never change."""

"""Environments: where an agent's tools run, and what the network lets through."""

"""Rota: a self-hosted, drop-in server for the Managed Agents API, with deployments at its heart.

A deployment binds an agent to everything that it needs to run unattended; a call and a cron schedule both turn it into a
session, and leave one run record behind.
"""

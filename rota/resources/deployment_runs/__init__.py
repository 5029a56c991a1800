"""Deployment runs: one append-only record of each fire, holding a session's id or one of sixteen typed errors."""

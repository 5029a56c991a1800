"""Deployments: an agent bound to everything it needs to run unattended; run by hand now, by a schedule in time."""

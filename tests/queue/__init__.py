"""Stairs for work: wake-ups, and objects that nobody needs."""

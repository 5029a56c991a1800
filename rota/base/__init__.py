"""GROUND: what every floor stands on, from ids and errors to cron and settings.

Imports nothing of ours, and does no I/O but reading the clock, the environment and the zone database.
"""

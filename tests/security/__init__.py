"""Hostile and careless callers: tenant isolation as a matrix over the route table, and input that nobody sane would send."""

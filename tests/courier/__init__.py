"""The courier: what is told, to whom, how often, and what becomes of endpoints that do not listen."""

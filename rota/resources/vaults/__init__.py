"""Vaults and their credentials: secrets that go in, are used on the agent's behalf, and never come out."""

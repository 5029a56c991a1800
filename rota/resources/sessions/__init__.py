"""Sessions: an agent's snapshot, an environment and an append-only log of events, with one primary thread."""

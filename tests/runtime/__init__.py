"""The turn engine: its pure loop, whole turns over both databases, and what survives when it is killed."""

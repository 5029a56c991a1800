"""Files: bytes that were uploaded, copied into a session, or written by an agent."""

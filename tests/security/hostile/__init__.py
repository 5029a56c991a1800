"""Input that nobody sane would send, against a real server: how it is made, sent and judged."""

"""STAIRS for work. Announcements inside a transaction and wake-ups after it. Knows no resource."""

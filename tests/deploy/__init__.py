"""The files of deploy/, against the schemas of those who read them and against our own settings."""

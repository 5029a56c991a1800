"""The server against a model of it: random histories, each answer predicted in full."""

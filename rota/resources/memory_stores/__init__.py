"""Memory stores: small texts by path that outlive sessions, every change kept as a version."""

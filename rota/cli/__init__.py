"""The commands: serve, demo, migrate, doctor, keys, and one verb for each route, made from the route table."""

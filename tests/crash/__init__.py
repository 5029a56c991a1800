"""What survives ``kill -9`` and a power cut: real server processes, real clients, and a look into the tables."""

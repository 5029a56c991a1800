"""The engine that turns sessions: what it asks, what it runs, what it writes down."""

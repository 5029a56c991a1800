"""The implementations of ``store.blob``."""

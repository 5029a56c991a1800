"""The implementations of ``queue.wake``."""

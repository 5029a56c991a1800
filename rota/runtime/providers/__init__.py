"""The implementations of ``runtime.provider``: where models are asked."""

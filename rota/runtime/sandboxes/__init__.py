"""The implementations of ``runtime.sandbox``: where tools run."""

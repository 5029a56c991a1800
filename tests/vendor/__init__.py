"""The vendor's own test suites, untouched, against a real server that holds what they expect to find."""

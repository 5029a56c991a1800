"""The rows of the table, one file per group; each has one function for one row: measure, and return its section."""

"""A whole installation in one thread and in virtual time: the real ticker, rooms and SQL, with everything else made up."""

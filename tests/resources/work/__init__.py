"""Self-hosted work: the queue, its leases, its credentials."""

"""Work for the workers of self-hosted environments: a queue of sessions that want one, leases, and credentials for each hand-out."""

"""STAIRS to other hosts: every request that this server makes by itself goes through here. Knows no resource."""

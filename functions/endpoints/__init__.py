"""Endpoints: an environment that waits in PENDING gets its VPC endpoints, and they go when it goes."""

"""Bare handlers, the other side of the cold start: the same clients and calls as our functions, nothing else."""

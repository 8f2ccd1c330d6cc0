"""Runs: start a DAG in any number of environments, once in each, and say how it ended."""

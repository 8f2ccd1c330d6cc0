"""The only place that talks to AWS: clients by role, errors translated, answers read into plain values."""

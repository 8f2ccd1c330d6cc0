"""Fleet: see every environment, so that a lost event costs minutes, never an environment."""

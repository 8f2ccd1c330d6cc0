"""The cloud in a box: the product's AWS, on one machine, for development and tests only."""

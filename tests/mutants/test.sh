#!/bin/bash
# Run the tests of TIER on one mutant, until the first that fails. The fast ones run first.
export PYTEST_ADDOPTS="--exitfirst --quiet --no-header"
make test-unit && make "$TIER"

"""The measured claims: ``make bench`` runs them and writes ``results.json``, which is committed."""

import sys
from pathlib import Path

# The simulation runs the functions' code in its own process.
sys.path.append(str(Path(__file__).parents[1] / "functions"))

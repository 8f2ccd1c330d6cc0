"""What reads the exports: tables, views and queries, written from the declaration."""

import sys
from pathlib import Path

# The declaration lies with the functions.
sys.path.append(str(Path(__file__).parents[1] / "functions"))

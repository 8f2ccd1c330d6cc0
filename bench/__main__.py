"""``python -m bench [--short] [part]``: measure, write ``results.json``, show it.

Exit code 1: something could not be measured. A missed bar is written and shown as such. With ``--short`` everything is
measured once and with a twentieth of the rows: that shows that the measurements work. It writes no figures and holds
none against a bar.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench import cleanup, endpoints, exports, fleet, runs, tokens
from bench.results import FILE, Figure, NotMeasured, merged, read, table, write
from bench.size import FULL, SHORT
from bench.world import built

PARTS = {
    "cleanup": cleanup.measure,
    "endpoints": endpoints.measure,
    "exports": exports.measure,
    "fleet": fleet.measure,
    "runs": runs.measure,
    "tokens": tokens.measure,
}


def main(arguments: Sequence[str] | None = None, file: Path = FILE) -> int:
    """Measure the part asked for, or all; figures of other parts stay in ``file`` as they are."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what the documentation claims.")
    parser.add_argument("part", nargs="?", choices=PARTS, help="only this part")
    parser.add_argument("--short", action="store_true", help="little of everything, once; writes no figures")
    chosen = parser.parse_args(arguments)
    parts = [chosen.part] if chosen.part else list(PARTS)
    size = SHORT if chosen.short else FULL
    failed: list[str] = []
    figures: list[Figure] = []
    with built() as functions:
        for part in parts:
            try:
                figures += PARTS[part](functions, size)
            except NotMeasured as error:
                failed.append(part)
                print(f"{part}: not measured: {error}", file=sys.stderr)
    if size.is_full:
        measured = [part for part in parts if part not in failed]
        write(merged(read(file), figures, measured), file)
    else:  # the bars are about all of the rows
        figures = [replace(one, bar=None, ok=True) for one in figures]
    print(table(figures))
    missed = [one.name for one in figures if not one.ok]
    if missed:
        print(f"\nbars missed: {', '.join(missed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

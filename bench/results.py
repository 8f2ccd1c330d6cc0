"""Figures: judged against their bars, written down, shown."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

FILE = Path(__file__).parent / "results.json"


AT_LEAST = ("times", "share", "rows/s")
"""Units of what is the better the more of it there is."""


class NotMeasured(Exception):
    """There is no figure, and why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of ``results.json``.

    ``value`` is the median of ``n`` runs, ``against`` what it is compared with; at most ``bar`` is promised (at least,
    if the unit is one of ``AT_LEAST``), None promises nothing. ``ok``: no bar is missed.
    """

    name: str
    value: float
    unit: str
    against: str
    bar: float | None
    ok: bool
    n: int


def figure(name: str, values: Sequence[float], unit: str, against: str = "", bar: float | None = None) -> Figure:
    """The median of some runs: judged, then rounded for people."""
    value = median(values)
    return Figure(name, float(f"{value:.4g}"), unit, against, bar, kept(value, unit, bar), len(values))


def kept(value: float, unit: str, bar: float | None) -> bool:
    """Whether no bar is missed."""
    return bar is None or (value >= bar if unit in AT_LEAST else value <= bar)


def read(file: Path) -> list[Figure]:
    """The figures written last; none at first."""
    return [Figure(**line) for line in json.loads(file.read_text())] if file.exists() else []


def merged(before: Sequence[Figure], now: Sequence[Figure], parts: Sequence[str]) -> list[Figure]:
    """All figures by name, those of ``parts`` replaced by the new ones."""
    others = [one for one in before if one.name.partition(".")[0] not in parts]
    return sorted((*others, *now), key=lambda one: one.name)


def write(figures: Sequence[Figure], file: Path) -> None:
    """One figure a line, so that a change can be read."""
    lines = ",\n".join(f"  {json.dumps(asdict(one))}" for one in figures)
    file.write_text(f"[\n{lines}\n]\n")


def table(figures: Sequence[Figure]) -> str:
    """The figures for people; a missed bar says so."""
    rows = [("figure", "value", "unit", "bar", "", "runs", "against")]
    rows += [
        (one.name, f"{one.value:g}", one.unit, _text(one.bar), _verdict(one), str(one.n), one.against)
        for one in figures
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = {1, 3, 5}
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _text(value: Any) -> str:
    return "" if value is None else f"{value:g}"


def _verdict(one: Figure) -> str:
    return "" if one.bar is None else "ok" if one.ok else "MISSED"

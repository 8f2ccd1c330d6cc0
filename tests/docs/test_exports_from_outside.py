"""What the documentation says that REST does not say is what the code says."""

import re
from pathlib import Path

import pytest

from exports import outside_columns

TEXT = (Path(__file__).parents[2] / "docs/how-it-works.md").read_text()
ROWS = {
    name: cells
    for line in TEXT.splitlines()
    if line.startswith("| `") and (cells := line.strip("|").split("|")) and len(cells) == 3
    for name in re.findall(r"`([a-z_]+)`", cells[0])
}


@pytest.mark.parametrize("version", ["3.0.6", "3.2.1", "3.3.1"])
def test_every_gap_is_documented(version: str) -> None:
    for table, column, _reason in outside_columns.unsaid(version):
        said = ROWS[table][1]
        assert f"`{column}`" in said if column else "everything" in said


def test_every_difference_is_documented() -> None:
    for column in outside_columns.DIFFERS:
        table, _, name = column.partition(".")
        assert f"`{name}`" in ROWS[table][2]
    assert all(ROWS[table][2].strip() for table in outside_columns.LEFT_OUT)


def test_no_gap_is_made_up() -> None:
    gaps = {
        (table, column)
        for version in ("3.0.6", "3.2.1", "3.3.1")
        for table, column, _ in outside_columns.unsaid(version)
    }
    for table, cells in ROWS.items():
        for column in re.findall(r"`([a-z_]+)`", cells[1]):
            assert (table, column) in gaps

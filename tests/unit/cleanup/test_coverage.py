import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cleanup.coverage import covered

DAY = datetime(2026, 11, 1, tzinfo=UTC)


def export(at: int, since: int | None, until: int | None, column: str | None = "dttm") -> dict[str, Any]:
    """An export on a day, of the window from a day until a day."""
    window = {
        "column": column,
        "from": (DAY + timedelta(days=since)).isoformat() if since is not None else None,
        "until": (DAY + timedelta(days=until)).isoformat() if until is not None else None,
    }
    manifest = {"snapshot_at": (DAY + timedelta(days=at)).isoformat(), "tables": {"log": {"window": window}}}
    found: dict[str, Any] = json.loads(json.dumps(manifest))
    return found


@pytest.mark.parametrize(
    ("exports", "until"),
    [
        ([export(1, None, 1)], 1),
        ([export(1, None, 1), export(2, 1, 2), export(3, 1, 3)], 3),
        ([export(2, 1, 2), export(1, None, 1)], 2),  # in any order
        ([export(1, None, 1), export(3, 2, 3)], 1),  # a gap
        ([export(1, None, 1), export(3, 2, 3), export(4, None, 4)], 4),  # mended
        ([export(2, 1, 2)], None),  # nobody has the beginning
        ([export(3, None, 3), export(4, 1, 2)], 3),
        ([export(1, None, 1), export(2, 1, 2, column="id")], 1),
        ([export(1, None, None)], None),
        ([export(1, None, 1, column=None)], None),
        ([], None),
    ],
)
def test_only_what_is_exported_from_the_beginning_on_without_a_gap(
    exports: list[dict[str, Any]], until: int | None
) -> None:
    found = covered(exports).get("log")
    assert (found.until if found else None) == (DAY + timedelta(days=until) if until is not None else None)

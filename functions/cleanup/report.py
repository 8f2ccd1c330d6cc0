"""What a clean-up has done, table by table. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

Tables = dict[str, dict[str, Any]]

HARMLESS = frozenset({"it is not in this database", "the policy keeps it"})
"""Reasons to keep a table that leave nothing of the policy undone."""


def outside(results: Iterable[Mapping[str, Any]]) -> Tables:
    """From the results of the outside engine. Rows that go by cascade are not counted by ``db clean``, nor here."""
    tables: Tables = {}
    for result in results:
        unseen = "examined" not in result
        kept = result["kept"] or None
        tables[result["table"]] = {
            "before": result["before"],
            "examined": None if unseen else result["examined"],
            "deleted": 0,
            "left": None if unseen else result["left"],
            "kept": kept,
            **({} if unseen else {"longest_seconds": result["longest_seconds"]}),
        }
    for result in results:
        for table, rows in result.get("deleted", {}).items():
            if table not in tables and rows:
                tables[table] = {"before": result["before"], "examined": rows, "deleted": 0, "left": 0, "kept": None}
            if rows:
                tables[table]["deleted"] += rows
    return tables


def converged(results: Iterable[Mapping[str, Any]]) -> bool:
    """Whether nothing is left that the policy wants gone."""
    return all(result.get("kept", "") in {"", *HARMLESS} and not result.get("short") for result in results)


def failures(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """What went wrong, table by table."""
    return [f"{result['table']}: {result['kept']}" for result in results if result.get("failed")]

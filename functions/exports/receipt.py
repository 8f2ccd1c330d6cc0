"""What an engine says that it has extracted, read strictly: it was written where the environment's role may write."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from exports import outside, outside_columns
from exports.order import Order
from groundcrew.errors import PermanentError
from groundcrew_metadata import declared
from groundcrew_metadata.declaration import Column, Table

SHA256 = re.compile(r"[0-9a-f]{64}")

SKEW = timedelta(minutes=5)
"""How far the clock of an environment's database may be from Groundcrew's; no overlap of windows is shorter. A snapshot
in the future would cover what is not written yet; one from before its order is older than what is current already.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One object of an extract."""

    key: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Extracted:
    """One table of an extract. ``window`` has ``column``, ``from`` and ``until``."""

    table: Table
    columns: tuple[Column, ...]
    window: Mapping[str, str | None]
    rows: int
    parts: tuple[Part, ...]
    undecoded: Mapping[str, int]

    @property
    def time(self) -> str | None:
        """The column that the window is of, if it is exported itself."""
        column = self.window["column"]
        return column if column in {one.name for one in self.columns} else None


@dataclass(frozen=True, slots=True)
class Receipt:
    """An extract."""

    snapshot_at: datetime
    tables: tuple[Extracted, ...]

    @classmethod
    def read(cls, content: bytes, order: Order, now: datetime) -> Self:
        """Read the receipt of an order; ``now`` by the clock that the order is of.

        Raises:
            PermanentError: ``BadReceipt``: it is none, or another export's, or does not say what was ordered.
        """
        try:
            return cls._read(json.loads(content), order, now)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            said = str(error)[:200] if isinstance(error, _Mismatch) else type(error).__name__
            raise PermanentError(
                f"the receipt of {order.export_id} is not what was ordered: {said}",
                cause="BadReceipt",
                remedy="Ask for the export again; if it fails again, look at who may write as the environment's role.",
            ) from error

    @classmethod
    def _read(cls, said: Mapping[str, Any], order: Order, now: datetime) -> Self:
        about = (said["export_id"], said["engine"], said["airflow_version"], said["environment"])
        if about != (order.export_id, order.engine, order.airflow_version, order.environment.as_detail()):
            raise _Mismatch("it is another export's")
        snapshot_at = _moment(said["snapshot_at"])
        if not order.ordered_at - SKEW <= snapshot_at <= now + SKEW:
            raise _Mismatch("its snapshot is older than the order, or of the future")
        wanted = [name for name in order.tables or {} if name not in order.left_out]
        if set(said["tables"]) != set(wanted):
            raise _Mismatch("it has other tables")
        tables = said["tables"]
        return cls(
            snapshot_at,
            tuple(_table(name, tables[name], _window(name, order, snapshot_at), order) for name in wanted),
        )


class _Mismatch(ValueError):
    """The message names what, never a value of the receipt's."""


def columns(table: str, order: Order) -> tuple[Column, ...]:
    """What an order's engine gives of a table."""
    version = str(order.airflow_version)
    if order.engine == "outside":
        return outside_columns.columns(table, version)
    return declared.TABLES[table].columns_of(version)


def _window(table: str, order: Order, snapshot_at: datetime) -> dict[str, str | None]:
    """What is to be extracted of a table: nothing of what it covers is left to the receipt."""
    if order.engine == "outside":
        return outside.Order.of(order.as_state()).window(table, snapshot_at)
    ends = (order.tables or {})[table]
    return {"column": declared.TABLES[table].time, "from": ends["from"], "until": ends["until"]}


def _table(name: str, said: Mapping[str, Any], window: Mapping[str, str | None], order: Order) -> Extracted:
    table, expected = declared.TABLES[name], columns(name, order)
    if said["columns"] != [column.name for column in expected]:
        raise _Mismatch(f"{name} has other columns")
    parts = tuple(_part(part, f"{order.prefix}/{name}/") for part in said["parts"])
    if not parts or len({part.key for part in parts}) != len(parts):
        raise _Mismatch(f"{name} has no part, or one twice")
    rows = _count(said["rows"])
    if sum(part.rows for part in parts) != rows:
        raise _Mismatch(f"the parts of {name} have other rows than the source counted")
    if said["window"]["column"] != window["column"] or any(
        _end(said["window"][end]) != _end(window[end]) for end in ("from", "until")
    ):
        raise _Mismatch(f"the window of {name} is another one")
    undecoded = {str(column): _count(number) for column, number in said["undecoded"].items()}
    return Extracted(table, expected, window, rows, parts, undecoded)


def _part(said: Mapping[str, Any], folder: str) -> Part:
    part = Part(str(said["key"]), _count(said["rows"]), _count(said["bytes"]), str(said["sha256"]))
    if not re.fullmatch(re.escape(folder) + r"part-[0-9]{5,}\.csv\.gz", part.key) or not SHA256.fullmatch(part.sha256):
        raise _Mismatch("a part is not where it should be")
    return part


def _count(said: Any) -> int:
    if not isinstance(said, int) or isinstance(said, bool) or said < 0:
        raise _Mismatch("a number is none")
    return said


def _end(text: Any) -> datetime | None:
    return None if text is None else _moment(text)


def _moment(text: Any) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise _Mismatch("a time has no zone")
    return found

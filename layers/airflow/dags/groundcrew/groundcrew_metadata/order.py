"""What a run is asked to export: its conf, read strictly, for anybody who may start DAGs can start this one.

{"export_id": "20261127T043000Z-0a1b2c3d",
 "tables": {"dag_run": {"from": null, "until": "2026-11-27T04:30:00+00:00"}, "dag": {"from": null, "until": null}}}
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from groundcrew_metadata import declared
from groundcrew_metadata.declaration import Table

EXPORT_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
AIRFLOW_2 = re.compile(r"2\.[0-9]+\.[0-9]+")


class OrderError(ValueError):
    """The conf asks for what is not given; the message names what, never a value of its."""


@dataclass(frozen=True)
class Window:
    """``since`` <= time < ``until``, each open where it is None; rows without a time are in every window."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Order:
    """An export and the windows of its tables, in declared order."""

    export_id: str
    airflow_version: str
    tables: Mapping[Table, Window]

    @classmethod
    def of(cls, conf: object, airflow_version: str, opt_in: Collection[str] = ()) -> Self:
        """What a conf asks for, of this version of Airflow; raises ``OrderError``.

        ``opt_in``: the opt-in tables that may be asked for.
        """
        if not AIRFLOW_2.fullmatch(airflow_version):
            raise OrderError("only Airflow 2 lets its tasks read the database")
        said = _members(conf, "the conf", ("export_id", "tables"))
        export_id, tables = said["export_id"], said["tables"]
        if not isinstance(export_id, str) or not EXPORT_ID.fullmatch(export_id):
            raise OrderError("export_id is not like 20261127T043000Z-0a1b2c3d")
        if not isinstance(tables, dict) or not tables:
            raise OrderError("tables is not an object, or has no member")
        for name in tables:
            table = declared.TABLES.get(name)
            if table is None or (table.opt_in and name not in opt_in):
                raise OrderError("tables names one that is not exported here")
            if not table.exists(airflow_version):
                raise OrderError(f"Airflow {airflow_version} has no table {name}")
        asked = [table for name, table in declared.TABLES.items() if name in tables]
        return cls(export_id, airflow_version, {table: _window(table, tables[table.name]) for table in asked})


def _window(table: Table, said: object) -> Window:
    ends = _members(said, f"the window of {table.name}", ("from", "until"))
    window = Window(_moment(ends["from"], table), _moment(ends["until"], table))
    if table.time is None and window != Window():
        raise OrderError(f"{table.name} is exported whole, it has no window")
    if window.since and window.until and window.since >= window.until:
        raise OrderError(f"the window of {table.name} ends before it begins")
    return window


def _moment(said: object, table: Table) -> datetime | None:
    if said is None:
        return None
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise OrderError(f"the window of {table.name} has an end that is no time with a time zone")
    return moment


def _members(said: object, what: str, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(said, dict) or set(said) != set(names):
        raise OrderError(f"{what} is not an object of {' and '.join(names)}")
    return said

"""The list routes of Airflow 3 that an export reads, and the tables that each one feeds.

Measured on 3.0.6 and 3.3.1 (``localcloud/tests/airflow/test_double.py`` compares): every route counts its entries under
the filters it knows, whatever the page (``limit=0`` counts only), and ignores the filters it does not know.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from exports.outside_columns import Row
from groundcrew_metadata.declaration import within

PAGE = 100
"""Entries of a page: Airflow's default ``[api] maximum_page_limit``, which 3.0 does not enforce."""

_MICROSECOND = timedelta(microseconds=1)
"""What PostgreSQL's times are whole numbers of."""


def _itself(entry: Row) -> Iterable[Row]:
    return (entry,)


@dataclass(frozen=True)
class Route:
    """One list of entries."""

    path: str
    entries: str
    """The member of an answer that holds them."""

    key: tuple[str, ...]
    """Members that tell entries apart."""

    tables: Mapping[str, Callable[[Row], Iterable[Row]]]
    """Which rows of which tables an entry is."""

    order: str
    always: Mapping[str, str] = field(default_factory=dict)
    """What is asked every time, so that no entry is left out."""

    time: str | None = None
    """The database's column of the filters; without one, the list is read whole."""

    lower: str = ""
    upper: str = ""
    open: bool = False
    """Whether the filters exclude their own value; else they include it."""

    shows: str = ""
    """The member that shows the time, if one does."""

    cursor_since: str = ""
    """The first version that gives the next page by a cursor; without one, pages are counted."""

    def after(self, since: datetime) -> dict[str, str]:
        """The filter for times from then on."""
        return {self.lower: _iso(since - _MICROSECOND if self.open else since)}

    def before(self, until: datetime) -> dict[str, str]:
        """The filter for earlier times."""
        return {self.upper: _iso(until if self.open else until - _MICROSECOND)}

    def has_cursor(self, version: str) -> bool:
        """Whether a version pages it by a cursor."""
        return bool(self.cursor_since) and within(version, self.cursor_since, "")


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _noted(entry: Row) -> Iterable[Row]:
    return (entry,) if entry.get("note") is not None else ()


def _rendered(entry: Row) -> Iterable[Row]:
    return (entry,) if entry.get("rendered_fields") else ()


def _tags(entry: Row) -> Iterable[Row]:
    tags: Iterable[Any] = entry.get("tags") or ()
    return [{"dag_id": entry["dag_id"], **tag} for tag in tags]


_UPDATED: Mapping[str, Any] = {
    "time": "updated_at",
    "lower": "updated_at_gte",
    "upper": "updated_at_lte",
    "cursor_since": "3.3.0",
}

ROUTES = (
    Route(
        "/dags/~/dagRuns",
        "dag_runs",
        key=("dag_id", "dag_run_id"),
        tables={"dag_run": _itself},
        order="id",
        **_UPDATED,
    ),
    Route(
        "/dags/~/dagRuns/~/taskInstances",
        "task_instances",
        key=("id",),
        tables={"task_instance": _itself, "task_instance_note": _noted, "rendered_task_instance_fields": _rendered},
        order="id",
        **_UPDATED,
    ),
    Route(
        "/eventLogs",
        "event_logs",
        key=("event_log_id",),
        tables={"log": _itself},
        order="id",
        time="dttm",
        lower="after",
        upper="before",
        open=True,
        shows="when",
    ),
    Route(
        "/assets/events",
        "asset_events",
        key=("id",),
        tables={"asset_event": _itself},
        order="timestamp",
        time="timestamp",
        lower="timestamp_gte",
        upper="timestamp_lte",
        shows="timestamp",
    ),
    Route("/jobs", "jobs", key=("id",), tables={"job": _itself}, order="id"),
    Route("/importErrors", "import_errors", key=("import_error_id",), tables={"import_error": _itself}, order="id"),
    Route(
        "/dags",
        "dags",
        key=("dag_id",),
        tables={"dag": _itself, "dag_tag": _tags},
        order="dag_id",
        always={"exclude_stale": "false"},
    ),
    Route("/assets", "assets", key=("id",), tables={"asset": _itself}, order="id", always={"only_active": "false"}),
    Route("/pools", "pools", key=("name",), tables={"slot_pool": _itself}, order="id"),
)


def time_of(table: str) -> str | None:
    """The column that a table's windows are of; None if its list is read whole."""
    return next((route.time for route in ROUTES if table in route.tables), None)

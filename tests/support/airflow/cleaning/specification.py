"""What a clean-up of Airflow 3 must take and leave: slow, plain, and without a line of the engine's.

``db clean`` can do no better than this, so this is the contract: a row goes if it is older than its table keeps, or if
a row that it belongs to goes. A run goes if it began before that, and is not the newest scheduled one of its DAG.
Nothing goes from after the time when the oldest run was due that is not finished, or has changed since its export.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

AGE = {
    "log": "dttm",
    "job": "latest_heartbeat",
    "xcom": "timestamp",
    "task_reschedule": "start_date",
    "task_instance_history": "start_date",
    "task_instance": "start_date",
    "dag_run": "start_date",
}
OF_RUNS = ("xcom", "task_reschedule", "task_instance_history", "task_instance", "dag_run")
ALSO = {
    "task_instance": ("task_instance_history", "xcom"),
    "dag_run": ("task_instance", "task_instance_history", "xcom", "deadline", "task_state_store"),
}
"""Tables that are cleaned by their own age when Airflow is told to clean these."""
ALSO_AGE = {"deadline": ("deadline_time", "deadline"), "task_state_store": ("expires_at",)}

Rows = dict[str, list[dict[str, Any]]]
Reference = tuple[str, Sequence[str], str, Sequence[str]]
"""Child, its columns, parent, its columns: deleted with the parent."""


@dataclass
class Specification:
    """One database, one policy. ``until``: what has not changed since is exported; None: there is no export."""

    rows: Rows
    references: Sequence[Reference]
    days: Mapping[str, int]
    default_days: int
    expendable: frozenset[str]
    exported: frozenset[str]
    until: datetime | None
    now: datetime
    gone: dict[str, list[int]] = field(default_factory=dict)

    def after(self) -> Rows:
        """The rows that must be there after the clean-up."""
        self.gone = {table: [] for table in self.rows}
        for table, age in AGE.items():
            if table in self.rows and self._may_go(table):
                limit = self._limit(table)
                self._age_out(table, age, limit)
                for other in ALSO.get(table, ()):
                    for column in (*ALSO_AGE.get(other, ()), AGE.get(other, "")):
                        if self.rows.get(other) and column in self.rows[other][0]:
                            self._age_out(other, column, limit)
        while self._follow():
            pass
        return {
            table: [row for number, row in enumerate(rows) if number not in set(self.gone[table])]
            for table, rows in self.rows.items()
        }

    def takes(self, table: str) -> set[str]:
        """The table, and all whose rows may go with its own."""
        found = {table, *(other for other in ALSO.get(table, ()) if other in self.rows)}
        while True:
            more = {child for child, _, parent, _ in self.references if parent in found} - found
            if not more:
                return found
            found |= more

    def _may_go(self, table: str) -> bool:
        return self.takes(table) <= self.expendable | (self.exported if self.until else frozenset())

    def _limit(self, table: str) -> datetime:
        days = self.days.get(table, self.default_days)
        longest = max([days, *(self.days[other] for other in self.takes(table) & self.days.keys())])
        limits = [self.now - timedelta(days=longest)]
        if table in OF_RUNS:
            runs = self.rows["dag_run"]
            limits += [_moment(run["run_after"]) for run in runs if run["state"] in ("queued", "running")]
            if self.until is not None:
                limits += [_moment(run["run_after"]) for run in runs if self._changed(run)]
        if self.until is not None and self.takes(table) & self.exported - self.expendable:
            limits.append(self.until)
        return min(limits)

    def _changed(self, run: Mapping[str, Any]) -> bool:
        assert self.until is not None
        own = [ti for ti in self.rows["task_instance"] if ti["run_id"] == run["run_id"]]
        return any(_moment(row["updated_at"]) >= self.until for row in (run, *own))

    def _age_out(self, table: str, column: str, limit: datetime) -> None:
        for number, row in enumerate(self.rows[table]):
            old = row[column] is not None and _moment(row[column]) < limit
            if old and not (table == "dag_run" and self._newest(row)) and number not in self.gone[table]:
                self.gone[table].append(number)

    def _newest(self, run: Mapping[str, Any]) -> bool:
        began = [
            _moment(other["start_date"])
            for other in self.rows["dag_run"]
            if other["dag_id"] == run["dag_id"] and other["run_type"] != "manual" and other["start_date"] is not None
        ]
        return bool(began) and max(began) == _moment(run["start_date"])

    def _follow(self) -> bool:
        """Take what belongs to what is gone; whether there was more of it."""
        more = False
        for child, columns, parent, keys in self.references:
            lost = {tuple(self.rows[parent][number][key] for key in keys) for number in self.gone.get(parent, ())}
            for number, row in enumerate(self.rows.get(child, ())):
                if number not in self.gone[child] and tuple(row[column] for column in columns) in lost:
                    self.gone[child].append(number)
                    more = True
        return more


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=datetime.fromisoformat("2026-01-01T00:00:00+00:00").tzinfo)

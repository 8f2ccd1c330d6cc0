"""What a clean-up of Airflow 2 must leave: slow, plain, and without a line of the engine's.

A finished run goes, with all that hangs on it, when it is older than the policy keeps runs of its DAG and type and all
that would go with it, and is not among the newest. Of other runs that are finished and not among the newest, the rows
of a table go that is to be kept for fewer days. Other rows go by their own age. Nothing goes that is not in an export,
or with something that is not, unless it is expendable.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

OF_TASKS = (
    "task_fail", "task_map", "task_reschedule", "xcom", "rendered_task_instance_fields", "task_instance_history",
    "task_instance_note",
)  # fmt: skip
OF_RUNS = (*OF_TASKS, "task_instance", "dag_run_note", "dagrun_dataset_event")
AGE = {
    "log": "dttm", "job": "latest_heartbeat", "import_error": "timestamp", "session": "expiry", "sla_miss": "timestamp",
    "callback_request": "created_at", "celery_taskmeta": "date_done", "celery_tasksetmeta": "date_done",
    "dataset_event": "timestamp", "trigger": "created_date",
}  # fmt: skip
OVER = ("success", "failed", "skipped", "upstream_failed", "removed", None)

Row = dict[str, Any]
Rows = dict[str, list[Row]]


@dataclass
class Specification:
    """One database, one policy; ``strict``: whether what is not exported, or still at work, stays."""

    rows: Rows
    policy: Mapping[str, Any]
    covered: Mapping[str, Mapping[str, Any]]
    now: datetime
    strict: bool = True

    def after(self) -> Rows:
        """The rows that must be there after the clean-up."""
        left = {table: list(rows) for table, rows in self.rows.items()}
        for run in self.rows["dag_run"]:
            days = self._days_of(run)
            if self._is_older(run, days):
                if self._may_go(run, OF_RUNS, [run]):
                    left["dag_run"].remove(run)
                    self._take(left, run, OF_RUNS)
                continue
            for table in OF_RUNS:
                below = (table, *(OF_TASKS if table == "task_instance" else ()))
                if table in self._named and self._is_older(run, self._longest(below)) and self._may_go(run, below, []):
                    self._take(left, run, below)
        for table, column in AGE.items():
            for row in self.rows.get(table, ()):
                if self._is_old(table, row[column]) and not self._is_used(table, row, left):
                    others = self._of_event(row) if table == "dataset_event" else []
                    if self._exported(table, row) and all(
                        self._exported("dataset_alias_dataset_event", o) for o in others
                    ):
                        left[table].remove(row)
                        for other in others:
                            left["dataset_alias_dataset_event"].remove(other)
        return left

    @property
    def _named(self) -> Mapping[str, int | None]:
        return dict(self.policy["days"].get("tables", {}))

    def _days_of(self, run: Row) -> int | None:
        days = self.policy["days"]
        said = [number for pattern, number in days.get("dags", {}).items() if fnmatchcase(run["dag_id"], pattern)]
        said += [number for kind, number in days.get("run_types", {}).items() if kind == run["run_type"]]
        own = self._named.get("dag_run", days["default"])
        of_rows = self._longest(OF_RUNS) if any(table in self._named for table in OF_RUNS) else 1
        if own is None or of_rows is None:
            return None
        return int(max(max(said) if said else own, of_rows))

    def _longest(self, tables: Iterable[str]) -> int | None:
        said = [self._named[table] for table in tables if table in self._named]
        return None if None in said else max(number for number in said if number is not None)

    def _is_older(self, run: Row, days: int | None) -> bool:
        began, ended = moment(run["start_date"]), moment(run["end_date"])
        if days is None or began is None or ended is None or run["state"] not in ("success", "failed"):
            return False
        if any(fnmatchcase(run["dag_id"], pattern) for pattern in self.policy["protected_dags"]):
            return False
        newer = [
            one
            for one in self.rows["dag_run"]
            if one["dag_id"] == run["dag_id"] and _moment(one["execution_date"]) > _moment(run["execution_date"])
        ]
        # Airflow takes a DAG's next run from its "scheduled" and "backfill" ones, and events from "dataset_triggered".
        alike = [one for one in newer if _kind(one["run_type"]) == _kind(run["run_type"])]
        return min(len(newer), len(alike)) >= self.policy["keep_newest"] and max(began, ended) < self.now - timedelta(
            days
        )

    def _may_go(self, run: Row, tables: Iterable[str], also: list[Row]) -> bool:
        if not self.strict:
            return True
        instances = self._of(run, "task_instance")
        rows = [(table, row) for table in tables for row in self._of(run, table)] + [("dag_run", row) for row in also]
        return all(row["state"] in OVER for row in instances) and all(self._exported(*one) for one in rows)

    def _of(self, run: Row, table: str) -> list[Row]:
        if table in ("dag_run_note", "dagrun_dataset_event"):
            return [row for row in self.rows.get(table, ()) if row["dag_run_id"] == run["id"]]
        pair = (run["dag_id"], run["run_id"])
        return [row for row in self.rows.get(table, ()) if (row["dag_id"], row["run_id"]) == pair]

    def _take(self, left: Rows, run: Row, tables: Iterable[str]) -> None:
        for table in tables:
            mine = self._of(run, table)
            if mine:
                left[table] = [row for row in left[table] if row not in mine]

    def _is_old(self, table: str, age: str | None) -> bool:
        days = self._named.get(table, self.policy["days"]["default"])
        at = moment(age)
        return days is not None and at is not None and at < self.now - timedelta(days=days)

    def _is_used(self, table: str, row: Row, left: Rows) -> bool:
        if table == "job":
            return row["state"] not in ("success", "failed")
        if table == "trigger":
            return any(instance["trigger_id"] == row["id"] for instance in left["task_instance"])
        return table == "dataset_event" and any(one["event_id"] == row["id"] for one in left["dagrun_dataset_event"])

    def _of_event(self, event: Row) -> list[Row]:
        return [row for row in self.rows.get("dataset_alias_dataset_event", ()) if row["event_id"] == event["id"]]

    def _exported(self, table: str, row: Row) -> bool:
        """Rows of some tables are exported when the row that they hang on is."""
        if not self.strict or table in self.policy["expendable"]:
            return True
        if table not in self.covered:
            return False
        if table == "dagrun_dataset_event":
            (row,) = [one for one in self.rows["dag_run"] if one["id"] == row["dag_run_id"]]
        if table in ("task_instance_history", "rendered_task_instance_fields"):
            keys = ("dag_id", "task_id", "run_id", "map_index")
            (row,) = [one for one in self.rows["task_instance"] if all(one[key] == row[key] for key in keys)]
        value = row.get(self.covered[table]["column"])
        if value is None or value == "infinity":
            return False
        return bool(value.endswith(("-infinity", " BC")) or _moment(value) < self.covered[table]["until"])


def moment(value: str | None) -> datetime | None:
    """A time that an age can be reckoned from."""
    if value is None or value.endswith("infinity"):
        return None
    return datetime.min.replace(tzinfo=UTC) if value.endswith(" BC") else _moment(value)


def _moment(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _kind(run_type: str) -> str:
    return "schedule" if run_type in ("scheduled", "backfill") else run_type

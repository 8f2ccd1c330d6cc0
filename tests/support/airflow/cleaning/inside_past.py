"""Years of an Airflow 2 in a few hundred rows: runs with no, one or many task instances, and whatever hangs on them."""

import itertools
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from localcloud.airflow.postgres import query
from localcloud.airflow.schemas import Table

NOW = datetime.now(UTC)

CELERY = """
create table celery_taskmeta (id integer primary key, task_id text unique, result bytea, date_done timestamp);
create table celery_tasksetmeta (id integer primary key, taskset_id text unique, result bytea, date_done timestamp);
"""
"""As Celery makes them when its first result comes; Airflow's migrations know nothing of them."""

ORDER = (
    "dag", "dataset_event", "dataset_alias", "dataset_alias_dataset_event", "trigger", "dag_run", "dag_run_note",
    "dagrun_dataset_event", "task_instance", "task_instance_history", "task_instance_note", "task_fail", "task_map",
    "task_reschedule", "xcom", "rendered_task_instance_fields", "log", "job", "import_error", "session", "sla_miss",
    "callback_request", "celery_taskmeta", "celery_tasksetmeta",
)  # fmt: skip
_CELERY_COLUMNS = frozenset({"id", "task_id", "taskset_id", "date_done"})
_FILLED = {
    "character varying": "x", "text": "x", "integer": 1, "bigint": 1, "boolean": False, "json": {}, "bytea": "\\x00",
    "double precision": 0, "timestamp with time zone": NOW.isoformat(), "timestamp without time zone": "2026-01-01",
}  # fmt: skip


@dataclass
class Past:
    """Rows by table, from a seed."""

    dice: random.Random
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {table: [] for table in ORDER})
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def of(cls, seed: int) -> "Past":
        """Everything there is."""
        past = cls(random.Random(seed))
        for n in range(8):
            past.rows["dataset_event"].append({"id": n, "dataset_id": 1, "timestamp": past.age()})
            past.rows["trigger"].append({"id": n, "created_date": past.age()})
        past.rows["dataset_alias"].append({"id": 1, "name": "alias"})
        past.rows["dataset_alias_dataset_event"] += [{"alias_id": 1, "event_id": n} for n in range(3)]
        for n in range(5):
            past.rows["dag"].append({"dag_id": f"dag{n}"})
            for _ in range(past.dice.randrange(12)):
                past._run(f"dag{n}")
        for n in range(30):
            past._other(n)
        return past

    def age(self) -> str | None:
        """Some time, mostly; ages at the border of days are avoided, for the database's clock goes on."""
        return self.dice.choice(
            (*((NOW - timedelta(days=self.dice.randrange(200), hours=5)).isoformat() for _ in range(12)), "-infinity",
             "infinity")
        )  # fmt: skip

    def _run(self, dag: str) -> None:
        number = next(self.numbers)
        ended = (NOW - timedelta(days=self.dice.randrange(1, 200), hours=5)).isoformat()
        about = {"dag_id": dag, "run_id": f"run{number}"}
        self.rows["dag_run"].append(
            {
                "id": number, **about, "run_type": self.dice.choice(("manual", "scheduled", "scheduled")),
                "state": self.dice.choice((*("success",) * 5, "failed", "running", "queued")),
                "start_date": self.dice.choice((*(ended,) * 8, "-infinity")),
                "end_date": self.dice.choice((*(ended,) * 8, None, "infinity")),
                "execution_date": (datetime.fromisoformat(ended) + timedelta(microseconds=number)).isoformat(),
                "updated_at": self._moved(ended),
            }
        )  # fmt: skip
        for table in ("dag_run_note", "dagrun_dataset_event"):
            if self.dice.random() < 0.2:
                event = self.dice.randrange(8)
                self.rows[table].append({"dag_run_id": number, "event_id": event, "updated_at": self._moved(ended)})
        for task in range(self.dice.choice((0, 1, 1, 2, 5))):
            self._task({**about, "task_id": f"task{task}", "map_index": -1}, number, ended)

    def _task(self, about: dict[str, Any], run: int, ended: str) -> None:
        states = (
            *("success",) * 12,
            *("failed", "skipped", "upstream_failed", "removed") * 3,
            None,
            "running",
            "deferred",
        )
        self.rows["task_instance"].append(
            {
                **about, "state": self.dice.choice(states), "updated_at": self._moved(ended),
                "trigger_id": self.dice.choice((*(None,) * 9, self.dice.randrange(8))),
            }
        )  # fmt: skip
        for table in ORDER[ORDER.index("task_instance_history") : ORDER.index("log")]:
            for n in range(self.dice.choice((0, 0, 0, 1, 2))):
                single = table in ("task_instance_note", "task_map", "rendered_task_instance_fields")
                if n == 0 or not single:
                    moved = {column: self._moved(ended) for column in ("updated_at", "end_date", "timestamp")}
                    keys = {"id": next(self.numbers), "dag_run_id": run, "key": f"key{n}", "try_number": n}
                    self.rows[table].append({**about, **keys, **moved})

    def _other(self, n: int) -> None:
        for table, column in (
            ("log", "dttm"), ("job", "latest_heartbeat"), ("import_error", "timestamp"), ("session", "expiry"),
            ("sla_miss", "timestamp"), ("callback_request", "created_at"), ("celery_taskmeta", "date_done"),
            ("celery_tasksetmeta", "date_done"),
        ):  # fmt: skip
            age = self.age()
            state = self.dice.choice((None, "running", "success", "failed"))
            keys = {"task_id": f"t{n}", "dag_id": "d", "session_id": str(n), "taskset_id": str(n)}
            row = {"id": n, column: age, "state": state, "execution_date": age or NOW.isoformat(), **keys}
            self.rows[table].append(row)

    def _moved(self, ended: str) -> str:
        """Most rows have not changed since their run ended."""
        return self.dice.choice((*(ended,) * 20, NOW.isoformat()))


def fill(conninfo: str, schema: Mapping[str, Table], past: Past) -> None:
    """Instead of all rows that there were."""
    tables = [table for table in ORDER if table in schema or table.startswith("celery")]
    script = ["set client_min_messages to warning;", f"truncate {', '.join(tables)} cascade;"]
    for table in tables:
        rows = []
        for row in past.rows[table]:
            if table in schema:
                columns = schema[table].columns
                needed = {name: _FILLED[one.kind] for name, one in columns.items() if not one.nullable}
                row = needed | {name: value for name, value in row.items() if name in columns}  # noqa: PLW2901
            else:
                row = {name: value for name, value in row.items() if name in _CELERY_COLUMNS}  # noqa: PLW2901
            rows.append(row)
        text = json.dumps(rows).replace("'", "''")
        script.append(f"insert into {table} select * from json_populate_recordset(null::public.{table}, '{text}');")
    query(conninfo, "\n".join(script))

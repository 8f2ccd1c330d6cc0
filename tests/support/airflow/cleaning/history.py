"""Rows of a metadata database of Airflow 3, made up but faithful: every foreign key is checked as they go in."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.airflow.cleaning.stage import Database

NOW = datetime(2026, 11, 27, 4, 30, tzinfo=UTC)
ORDER = (
    "dag_bundle", "dag", "dag_version", "dag_run", "task_instance", "task_instance_history", "callback", "deadline",
    "xcom", "task_reschedule", "rendered_task_instance_fields", "task_map", "task_instance_note", "dag_run_note",
    "hitl_detail", "hitl_detail_history", "task_state_store", "asset", "asset_event", "dagrun_asset_event", "log",
    "job",
)  # fmt: skip
"""Parents first."""


@dataclass
class Run:
    """One run; ages in days before ``NOW``, None for a date that there is not."""

    dag: int
    due: float
    started: float | None
    state: str = "success"
    run_type: str = "scheduled"
    changed: float | None = None
    tasks: Sequence[float | None] = ()
    """Ages of its task instances' beginnings."""
    extras: frozenset[str] = frozenset()
    """Tables that have a row for each of its task instances, or for the run."""


@dataclass
class History:
    """The rows by table, as JSON."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, table: str, **row: Any) -> None:
        self.tables.setdefault(table, []).append(row)


def ago(days: float | None) -> str | None:
    return None if days is None else (NOW - timedelta(days=days)).isoformat()


def history(runs: Sequence[Run]) -> History:
    """All that hangs on the runs, and a row of ``log`` and of ``job`` for each."""
    made = History()
    made.add("dag_bundle", name="dags-folder", active=True)
    made.add("asset", id=1, name="a", uri="a", group="asset", extra={}, created_at=ago(900), updated_at=ago(900))
    for dag in sorted({run.dag for run in runs}):
        _dag(made, dag)
    for number, run in enumerate(runs, start=1):
        _run(made, number, run)
    return made


def _dag(made: History, dag: int) -> None:
    flags = (
        "is_stale",
        "exceeds_max_non_backfill",
        "has_task_concurrency_limits",
        "timetable_partitioned",
        "fail_fast",
    )
    made.add(
        "dag", dag_id=f"dag_{dag}", is_paused=True, **dict.fromkeys(flags, False), timetable_periodic=True,
        bundle_name="dags-folder", timetable_type="airflow.timetables.simple.NullTimetable", partition_mapper_info={},
        max_active_tasks=16, max_consecutive_failed_dag_runs=0, last_parsed_time=ago(0.01),
    )  # fmt: skip
    made.add(
        "dag_version", id=_id("version", dag), version_number=1, dag_id=f"dag_{dag}", bundle_name="dags-folder",
        created_at=ago(900), last_updated=ago(900),
    )  # fmt: skip


def _run(made: History, number: int, run: Run) -> None:
    about = {"dag_id": f"dag_{run.dag}", "run_id": f"{run.run_type}__{number}"}
    due, changed = ago(run.due), ago(run.changed if run.changed is not None else run.due - 0.01)
    version = _id("version", run.dag)
    made.add(
        "dag_run", id=number, **about, run_type=run.run_type, state=run.state, run_after=due, logical_date=None,
        start_date=ago(run.started), queued_at=due, updated_at=changed, clear_number=0, conf={},
        span_status="not_started", created_dag_version_id=version, created_at=due,
    )  # fmt: skip
    if "dag_run_note" in run.extras:
        made.add("dag_run_note", dag_run_id=number, content="n", created_at=due, updated_at=due)
    if "dagrun_asset_event" in run.extras:
        made.add("asset_event", id=number, asset_id=1, extra={}, timestamp=due)
        made.add("dagrun_asset_event", dag_run_id=number, event_id=number)
    if "deadline" in run.extras:
        made.add(
            "callback", id=_id("callback", number), type="triggerer", fetch_method="import_path", data={},
            priority_weight=1, created_at=due,
        )  # fmt: skip
        made.add(
            "deadline", id=_id("deadline", number), dag_id=about["dag_id"], dagrun_id=number, deadline=due,
            deadline_time=due, missed=False, callback="c", callback_id=_id("callback", number), created_at=due,
            last_updated_at=due,
        )  # fmt: skip
    made.add("log", id=number, dttm=due, event="success", **about)
    made.add("job", id=number, job_type="SchedulerJob", state="success", latest_heartbeat=due, start_date=due)
    for k, started in enumerate(run.tasks):
        _task(made, number, run, about | {"task_id": f"task_{k}", "map_index": -1}, ago(started) or due, ago(started))


def _task(made: History, number: int, run: Run, about: dict[str, Any], when: str | None, started: str | None) -> None:
    ti, version = _id("ti", number, about["task_id"]), _id("version", run.dag)
    common = {
        **about, "start_date": started, "state": run.state, "try_number": 1, "max_tries": 0, "pool": "default_pool",
        "pool_slots": 1, "span_status": "not_started", "updated_at": ago(run.due - 0.01), "dag_version_id": version,
    }  # fmt: skip
    made.add("task_instance", id=ti, **common)
    rows: dict[str, dict[str, Any]] = {
        "xcom": {
            **about, "dag_run_id": number, "key": "return_value", "value": 1, "timestamp": when, "dag_result": False,
        },
        "task_reschedule": {
            "id": len(made.tables.get("task_reschedule", ())) + 1, "ti_id": ti, "start_date": when, "end_date": when,
            "duration": 1, "reschedule_date": when,
        },
        "rendered_task_instance_fields": {**about, "rendered_fields": {}},
        "task_map": {**about, "length": 1, "keys": []},
        "task_instance_note": {"ti_id": ti, "content": "n", "created_at": when, "updated_at": when},
        "hitl_detail": {
            "ti_id": ti, "options": [], "subject": "s", "params": {}, "params_input": {}, "created_at": when,
        },
        "task_state_store": {
            **about, "id": len(made.tables.get("task_state_store", ())) + 1, "dag_run_id": number, "key": "k",
            "value": "v", "updated_at": when, "expires_at": when,
        },
    }  # fmt: skip
    for table in run.extras & rows.keys():
        made.add(table, **rows[table])
    if "task_instance_history" in run.extras:
        tried = _id("tih", number, about["task_id"])
        made.add("task_instance_history", task_instance_id=tried, **common)
        if "hitl_detail_history" in run.extras:
            made.add(
                "hitl_detail_history", ti_history_id=tried, options=[], subject="s", params={}, params_input={},
                created_at=when,
            )  # fmt: skip


def fill(database: Database, made: History) -> None:
    """Instead of all rows that there were; tables and columns that this version does not have are left out."""
    there = set(database.tables())
    wanted = [table for table in ORDER if table in there]
    statements = [f"truncate {', '.join(wanted)} cascade;"]
    for table in wanted:
        if rows := made.tables.get(table):
            statements.append(
                f"insert into {table} select * from json_populate_recordset(null::{table}, {_literal(rows)});"
            )
    database.sql("\n".join(statements))


def _literal(rows: list[dict[str, Any]]) -> str:
    return "'" + json.dumps(rows).replace("'", "''") + "'"


def _id(*parts: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(map(str, parts))))

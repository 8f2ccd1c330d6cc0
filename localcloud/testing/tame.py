"""Generated rows that Airflow 3 can serve: what its own code could have written, with texts that are easily spoilt."""

import json
from datetime import timedelta

from localcloud.airflow import schemas
from localcloud.testing.generator import BEGIN, JSONS, fill

_STATES = ("success", "failed", "skipped", "removed", "upstream_failed")
_ENUMERATIONS = {
    "dag_run.run_type": ("manual", "scheduled", "backfill", "asset_triggered"),
    "dag_run.state": ("success", "failed", "running", "queued"),
    "dag_run.triggered_by": ("REST_API", "CLI", "TIMETABLE", None),
    "job.state": ("running", "running", "success", None, "failed"),
    "task_instance.state": (*_STATES, None),
    "dag.timetable_summary": ("None", "@daily", "0 0 * * *", None, "", "a,b"),
}
_OBJECTS = [text for text in JSONS if text.startswith("{")]
_UNSERVED = ("trigger", "xcom", "task_instance_history", "task_reschedule", "dagrun_asset_event")
_SERVED_ONLY_WITH = {
    **{"asset_event.source_map_index": "0", "import_error.filename": "", "import_error.stacktrace": ""},
    **{"task_instance.max_tries": "0", "task_instance.try_number": "1", "log.event": "done"},
    **{"dag.fileloc": "", "dag.is_paused": "t", "dag.is_stale": "f", "dag.has_import_errors": "f"},
}
"""Columns that may be NULL in the database, and nowhere in Airflow's code."""

_OF_WINDOWS = ("dttm", "timestamp", "updated_at")
_NULL_TIMES = {"dag_run.updated_at", "task_instance.updated_at"}


def fill_served(conninfo: str, version: str, rows: int, seed: int = 0) -> None:
    """Put as many rows into each table that the REST API gives."""
    tables = {name: table for name, table in schemas.read(version).items() if name not in _UNSERVED}

    def adjust(name: str, number: int, row: dict[str, str | None]) -> None:
        for column, value in row.items():
            row[column] = _tame(f"{name}.{column}", tables[name].columns[column], value, number)
        if name in ("dag", "dag_run"):
            row["dag_id"] = f"dag {number} ünï"
        if name == "log" and number % 3:
            row["dag_id"] = f"dag {number} ünï" if number % 2 else None
        if name == "import_error":
            row["filename"] = f"{row['filename']}{number}.py"
        if name == "asset":
            row["uri"] = f"{row['uri']}{number}"
        if name == "task_instance":
            row["map_index"] = str(number % 3 - 1)

    fill(conninfo, tables, rows, seed, adjust)


def _tame(name: str, column: schemas.Column, value: str | None, number: int) -> str | None:
    if name in _ENUMERATIONS:
        return _ENUMERATIONS[name][number % len(_ENUMERATIONS[name])]
    if value is None and name in _SERVED_ONLY_WITH:
        return _SERVED_ONLY_WITH[name]
    if name == "slot_pool.slots":
        return str(number)
    if name in _NULL_TIMES and number % 7 == 3:
        return None
    if column.kind in ("json", "jsonb"):
        return _json(name, column, value, number)
    if column.kind.startswith("timestamp") and _needed(name, column, value):
        return (BEGIN + timedelta(minutes=number, microseconds=number)).isoformat()
    if column.kind == "double precision" and value in ("NaN", "Infinity", "-Infinity"):
        return "0.25"
    return value


def _needed(name: str, column: schemas.Column, value: str | None) -> bool:
    """Of a time that Python has not, or that Airflow cannot do without."""
    if value is None:
        return name.partition(".")[2] in _OF_WINDOWS
    return value.endswith("BC") or (value.endswith("infinity") and name.partition(".")[2] in _OF_WINDOWS)


def _json(name: str, column: schemas.Column, value: str | None, number: int) -> str | None:
    if name == "dag.allowed_run_types":
        return json.dumps(["manual", "scheduled"]) if number % 2 else None
    if value is None or name.endswith((".next_kwargs", ".context_carrier")):
        return None if column.nullable else "{}"
    text = _OBJECTS[number % len(_OBJECTS)]
    return json.dumps(json.loads(text)) if column.kind == "jsonb" else text

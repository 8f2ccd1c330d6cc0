"""An Airflow 3 with as many task instances as wanted, none of which it keeps: for figures about many rows."""

from collections.abc import Mapping
from typing import Any

INSTANCES = "/dags/~/dagRuns/~/taskInstances"
PAGE = 100
FIELDS: dict[str, Any] = {
    "templates_dict": None,
    "op_args": [],
    "op_kwargs": {"sql": "select a, b from t where ds = x; " * 8},
}


class Endless:
    """Answers a GET of its one list, by cursor as 3.3.1 does; ``calls`` of it are counted."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.calls = 0

    def ask(self, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        self.calls += 1
        if path != INSTANCES:
            return 404, {}
        limit = min(PAGE, int(query["limit"]))
        if not limit:
            # Everything was written in 2026.
            late, early = query.get("updated_at_gte", "2026"), query.get("updated_at_lte", "2026")
            impossible = late > "2027" or early < "2026"
            return 200, {"task_instances": [], "total_entries": 0 if impossible else self.rows}
        first = int(query["cursor"] or 0)
        last = min(self.rows, first + limit)
        return 200, {
            "task_instances": [_instance(number) for number in range(first, last)],
            "total_entries": None,
            "next_cursor": str(last) if last < self.rows else None,
        }


def _instance(number: int) -> dict[str, Any]:
    """One that has run, as 3.3.1 shows it."""
    at = f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}:07.{number % 10**6:06}Z"
    version = {"id": f"{number % 50:032x}", "version_number": 1, "dag_id": f"dag_{number % 200}", "bundle_name": "dags"}
    return {
        "id": f"{number:032x}", "task_id": f"task_{number % 10}", "dag_id": f"dag_{number % 200}",
        "dag_run_id": f"scheduled__{at}", "map_index": -1, "logical_date": at, "run_after": at, "start_date": at,
        "end_date": at, "duration": 50.25, "state": "success", "try_number": 1, "max_tries": 0,
        "task_display_name": f"task_{number % 10}", "dag_display_name": f"dag_{number % 200}",
        "hostname": f"ip-10-192-21-{number % 250}.ec2.internal", "unixname": "airflow", "pool": "default_pool",
        "pool_slots": 1, "queue": "default", "priority_weight": 1, "operator": "PythonOperator",
        "operator_name": "@task", "queued_when": at, "scheduled_when": at, "pid": 1000 + number % 30000,
        "executor": None, "executor_config": "{}", "note": None, "rendered_map_index": None,
        "rendered_fields": FIELDS, "trigger": None, "triggerer_job": None, "dag_version": version,
    }  # fmt: skip

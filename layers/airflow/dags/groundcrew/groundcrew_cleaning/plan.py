"""Which runs a policy lets go, and why the others stay. Pure; days are counted back from the database's clock."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

FINISHED = ("success", "failed")
EXPENDABLE = ("celery_taskmeta", "celery_tasksetmeta", "rendered_task_instance_fields", "session", "task_map", "xcom")


@dataclass(frozen=True)
class Run:
    """A row of ``dag_run``; ``ended`` is None if it has no age, ``due`` orders the runs of a DAG."""

    id: int
    dag_id: str
    run_type: str
    state: str | None
    due: datetime
    ended: datetime | None


@dataclass(frozen=True)
class Plan:
    """Runs that may go, the oldest first, and how many stay for which reason."""

    going: tuple[int, ...]
    kept: Mapping[str, int]


def plan(runs: Iterable[Run], policy: Mapping[str, Any], takes: Iterable[str], now: datetime) -> Plan:
    """Decide of every run; ``takes``: the tables whose rows go with a run.

    Raises:
        ValueError: a number of days or of runs is not one; nothing is deleted by what somebody may have meant.
    """
    days = policy["days"]
    newest = _number(policy.get("keep_newest", 1))
    of_tables = [days.get("tables", {}).get(table, days["default"]) for table in ("dag_run",)]
    of_tables += [days["tables"][table] for table in takes if table in days.get("tables", {})]
    for said in (*days.get("dags", {}).values(), *days.get("run_types", {}).values(), days["default"]):
        _number(said)
    floor = None if None in of_tables else max(_number(said) for said in of_tables)
    going: list[tuple[datetime, int]] = []
    kept: Counter[str] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    for run in sorted(runs, key=lambda run: (run.due, run.id), reverse=True):
        # Airflow goes on from the newest run that it made itself, so a manual one does not stand for it.
        groups = [(run.dag_id, "all"), (run.dag_id, "manual" if run.run_type == "manual" else "automatic")]
        seen.update(groups)
        special = [number for pattern, number in days.get("dags", {}).items() if fnmatchcase(run.dag_id, pattern)]
        special += [number for kind, number in days.get("run_types", {}).items() if kind == run.run_type]
        if any(fnmatchcase(run.dag_id, pattern) for pattern in policy.get("protected_dags", ())):
            kept["its DAG is protected"] += 1
        elif run.state not in FINISHED:
            kept["it is not finished"] += 1
        elif any(seen[group] <= newest for group in groups):
            kept["it is among the newest"] += 1
        elif run.ended is None:
            kept["it has no age"] += 1
        elif floor is None or run.ended >= now - timedelta(days=max(floor, *special) if special else floor):
            kept["the policy keeps it"] += 1
        else:
            going.append((run.ended, run.id))
    return Plan(tuple(number for _, number in sorted(going)), dict(kept))


def _number(said: object) -> int:
    if not isinstance(said, int) or isinstance(said, bool) or not 1 <= said <= 3650:
        raise ValueError("a number of days or of runs is not between 1 and 3650")
    return said

"""Which runs a policy lets go, and why the others stay. Pure; days are counted back from the database's clock."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from groundcrew_cleaning.tables import FINISHED


class Run(NamedTuple):
    """A row of ``dag_run``; ``ended`` is None if it has no age."""

    id: int
    dag_id: str
    run_type: str
    state: str | None
    ended: datetime | None


class Plan(NamedTuple):
    """Numbers of the runs that go, how many stay for which reason, and of which only the rows of a table go.

    In the order in which they were made: the oldest go first, side by side as they lie on disk.
    """

    going: "array[int]"
    kept: Mapping[str, int]
    younger: "Mapping[str, array[int]]"


def plan(runs: Iterable[Run], policy: Mapping[str, Any], takes: Mapping[str, Iterable[str]], now: datetime) -> Plan:
    """Decide of every run, given those of each DAG one after the other, the newest first.

    Args:
        runs: all that there are.
        policy: what is to be kept.
        takes: the tables that hang on runs, and ``dag_run``; of each, those whose rows go with its own.
        now: the database's time.

    Raises:
        ValueError: a number of days or of runs is not one; nothing is deleted by what somebody may have meant.
    """
    days, newest = policy["days"], number(policy.get("keep_newest", 1))
    for said in (days["default"], *days.get("dags", {}).values(), *days.get("run_types", {}).values()):
        number(said)
    named = days.get("tables", {})
    own = {table: _longest(table, below, named) for table, below in takes.items() if table in named}
    going, younger = array("q"), {table: array("q") for table in own if table != "dag_run" and own[table] is not None}
    kept, seen, dag = Counter[str](), Counter[str](), None
    for run in runs:
        if run.dag_id != dag:
            dag, seen = run.dag_id, Counter()
        # Airflow goes on from the newest run of its schedule, and takes datasets' events since the newest run.
        # Neither stands for the other.
        kind = run.run_type if run.run_type in ("manual", "dataset_triggered") else "scheduled"
        seen.update(("all", kind))
        limit = _of_run(run, days, takes["dag_run"])
        if any(fnmatchcase(run.dag_id, pattern) for pattern in policy.get("protected_dags", ())):
            kept["its DAG is protected"] += 1
        elif run.state not in FINISHED:
            kept["it is not finished"] += 1
        elif min(seen["all"], seen[kind]) <= newest:
            kept["it is among the newest"] += 1
        elif run.ended is None:
            kept["it has no age"] += 1
        elif limit is not None and run.ended < now - timedelta(days=limit):
            going.append(run.id)
        else:
            kept["the policy keeps it"] += 1
            for table, numbers in younger.items():
                if run.ended < now - timedelta(days=own[table] or 0):
                    numbers.append(run.id)
    return Plan(_sorted(going), dict(kept), {table: _sorted(numbers) for table, numbers in younger.items()})


def number(said: object) -> int:
    """What a policy says; raises ``ValueError`` if it is no number of days or runs."""
    if not isinstance(said, int) or isinstance(said, bool) or not 1 <= said <= 3650:
        raise ValueError("a number of days or of runs is not between 1 and 3650")
    return said


def _of_run(run: Run, days: Mapping[str, Any], below: Iterable[str]) -> int | None:
    """How many days a run is kept: what is said of its DAG or type, and at least as long as what would go with it."""
    special = [said for pattern, said in days.get("dags", {}).items() if fnmatchcase(run.dag_id, pattern)]
    special += [said for kind, said in days.get("run_types", {}).items() if kind == run.run_type]
    named = {"dag_run": days["default"], **days.get("tables", {})}
    if special and named["dag_run"] is not None:
        named["dag_run"] = max(special)
    return _longest("dag_run", below, named)


def _longest(table: str, below: Iterable[str], named: Mapping[str, int | None]) -> int | None:
    """The days of a table and those below it; None keeps rows for ever, and so all that they would go with."""
    found = [named[one] for one in (table, *below) if one in named]
    return None if None in found else max(map(number, found))


def _sorted(numbers: "array[int]") -> "array[int]":
    return array("q", sorted(numbers))

"""What the double of Airflow remembers: its DAGs and their runs, and what time makes of them.

A run of a paused DAG stays queued (Airflow documentation, "DAG Runs"), and so does one that is not due; any other one
starts at once and ends after the ``seconds`` of its DAG. There is no limit of active runs, and no schedule.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

RUN_ID = "^[A-Za-z0-9_.~:+-]+$"  # `[scheduler] allowed_run_id_pattern`, its default
_GENERATED = r"^(?:manual|scheduled|{}_triggered)__(?:\d{{4}}-\d{{2}}-\d{{2}}T\d{{2}}:\d{{2}}:\d{{2}}\+00:00)$"
_MICROSECOND = dt.timedelta(microseconds=1)

Condition = tuple[str, str, Any]  # attribute, "gte" and the like, value


@dataclass
class Dag:
    """One DAG; ``seconds`` is how long its runs take, ``state`` how they end."""

    dag_id: str
    is_paused: bool | None = False  # REST on 2.x stores a null it is given
    has_import_errors: bool = False
    seconds: float = 1.0
    state: str = "success"


@dataclass
class Run:
    """One DAG run; times are aware."""

    id: int
    dag: Dag
    run_id: str
    logical_date: dt.datetime | None
    queued_at: dt.datetime
    run_after: dt.datetime  # it waits until then
    conf: dict[str, Any]
    note: str | None
    triggered_by: str  # rest_api or cli
    start_date: dt.datetime | None = None
    end_date: dt.datetime | None = None
    state: str = "queued"

    @property
    def dag_id(self) -> str:
        return self.dag.dag_id

    @property
    def duration(self) -> float | None:
        """Seconds, of a run that has ended."""
        return (self.end_date - self.start_date).total_seconds() if self.end_date and self.start_date else None

    @property
    def updated_at(self) -> dt.datetime:
        """When it was written last."""
        return max(time for time in (self.queued_at, self.start_date, self.end_date) if time)

    def record(self) -> dict[str, Any]:
        """For tests: everything as JSON, times in ISO 8601."""
        shown = {key: value for key, value in vars(self).items() if key != "dag"}
        times = {key: value.isoformat() for key, value in shown.items() if isinstance(value, dt.datetime)}
        return {"dag_id": self.dag_id, **shown, **times}


@dataclass
class Rows:
    """Rows by table, each its age: the time that ``db clean`` compares."""

    tables: dict[str, list[dt.datetime]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)  # "table before", one for each table of a command


@dataclass
class Listed:
    """An entry of a list that no run leads to: as it is shown, and when it was written; ``id`` sorts."""

    id: int | str
    shown: dict[str, Any]
    time: dt.datetime | None = None


@dataclass
class State:
    """DAGs and runs by the ``clock`` (seconds since the epoch)."""

    clock: Callable[[], float]
    dags: dict[str, Dag] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    rows: Rows = field(default_factory=Rows)  # of other tables, for `db clean`
    lists: dict[str, list[Listed]] = field(default_factory=dict)  # Airflow 3: path -> what it lists, besides these
    _last: dt.datetime = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

    def now(self) -> dt.datetime:
        """The time, never the same twice: a clock that stands still must not make two logical dates one."""
        self._last = max(self._time(), self._last + _MICROSECOND)
        return self._last

    def _time(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.clock(), dt.UTC)

    def settle(self) -> None:
        """Let the runs start and end that are due."""
        now = self._time()
        for run in self.runs:
            if run.state == "queued" and not run.dag.is_paused and run.run_after <= max(now, self._last):
                run.state, run.start_date = "running", run.start_date or max(run.queued_at, run.run_after)
            if run.state == "running" and run.start_date is not None:
                end = run.start_date + dt.timedelta(seconds=run.dag.seconds)
                if end <= max(now, self._last):
                    run.state, run.end_date = run.dag.state, end

    def stop(self) -> None:
        """Let the runs fail that are running."""
        for run in self.runs:
            if run.state == "running":
                run.state, run.end_date = "failed", self.now()

    def pause(self, dag: Dag, paused: bool | None) -> None:
        """Pause or unpause; the runs that waited for it start now."""
        self.settle()
        if dag.is_paused and not paused:
            for run in self.of(dag.dag_id):
                if run.state == "queued":
                    run.start_date = max(self.now(), run.run_after)
        dag.is_paused = paused

    def add(self, run: Run) -> Run:
        """Keep a new run; nothing is checked here."""
        self.runs.append(run)
        return run

    def same(self, dag_id: str, run_id: str, logical_date: dt.datetime | None) -> Run | None:
        """The run that has this id or this logical date already; null is no date."""
        for run in self.of(dag_id):
            if run.run_id == run_id or (logical_date is not None and run.logical_date == logical_date):
                return run
        return None

    def of(self, dag_id: str) -> list[Run]:
        """The runs of a DAG, all for ``~``."""
        return [run for run in self.runs if dag_id in ("~", run.dag_id)]


def select(
    runs: Iterable[Run],
    *,
    dag_ids: Sequence[str] | None = None,
    states: Sequence[str] | None = None,
    conditions: Iterable[Condition] = (),
) -> list[Run]:
    """The runs that meet every condition; an empty list is none, and null meets no condition."""
    found = [run for run in runs if not dag_ids or run.dag_id in dag_ids]
    found = [run for run in found if not states or run.state in states]
    for name, comparison, value in conditions:
        found = [run for run in found if _holds(getattr(run, name), comparison, value)]
    return found


def _holds(found: Any, comparison: str, value: Any) -> bool:
    if found is None:
        return False
    answers = {"gte": found >= value, "gt": found > value, "lte": found <= value, "lt": found < value}
    return bool(answers[comparison])


def in_order(runs: Sequence[Run], attribute: str, *, descending: bool) -> list[Run]:
    """Sorted as PostgreSQL does it: null is greater than everything; ties by age."""
    some = [run for run in runs if getattr(run, attribute) is not None]
    null = [run for run in runs if getattr(run, attribute) is None]
    some.sort(key=lambda run: (getattr(run, attribute), run.id), reverse=descending)
    null.sort(key=lambda run: run.id, reverse=descending)
    return [*null, *some] if descending else [*some, *null]


def run_id_is_allowed(run_id: str) -> bool:
    """Does the id match the default pattern? (What Airflow generates does, too.)"""
    return re.match(RUN_ID, run_id) is not None


def generated_pattern(trigger: str) -> str:
    """The pattern of generated ids, as error messages quote it; ``trigger`` is dataset or asset."""
    return _GENERATED.format(trigger)


def like(pattern: str, text: str) -> bool:
    """SQL's ``text ILIKE '%pattern%'``."""
    body = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.search(body, text, re.IGNORECASE | re.DOTALL) is not None

"""What Airflow shows of a DAG and of a run, and how it can be asked: the same for every version and every way in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from groundcrew.errors import PermanentError

ENDED = frozenset({"success", "failed"})
"""States in which a run is over (Airflow ``DagRunState``)."""

SKEW = timedelta(minutes=1)
"""How far Airflow's clock may be behind EventBridge's."""


@dataclass(frozen=True, slots=True)
class Dag:
    """A DAG that Airflow knows and whose file it still has."""

    is_paused: bool = False
    has_import_errors: bool = False


@dataclass(frozen=True, slots=True)
class RunRef:
    """The run of an order: ``since`` is when it was asked for, which no run of ours can be older than."""

    dag_id: str
    run_id: str
    since: datetime
    logical_date: datetime | None = None

    @property
    def earliest(self) -> datetime:
        """Airflow dates no run of ours before this."""
        return self.since - SKEW


@dataclass(frozen=True, slots=True)
class Run:
    """A run; what a way in does not show is None."""

    run_id: str
    state: str
    conf: Mapping[str, Any] | None = None
    note: str | None = None
    logical_date: datetime | None = None
    created_at: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether it will change no more by itself."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class Start:
    """What a run is started with."""

    ref: RunRef
    conf: Mapping[str, Any]
    note: str


class Way(Protocol):
    """A way into one environment's Airflow. Each question may raise ``WayClosed``, and the two families of errors."""

    name: Literal["rest", "cli"]

    def dag(self, dag_id: str) -> Dag | None:
        """The DAG, or None if Airflow knows none of that name."""

    def run(self, ref: RunRef, *, of_any_age: bool = False) -> Run | None:
        """The run with the reference's id, or None; one from before the request may be passed over if not asked for."""

    def twin(self, ref: RunRef) -> Run | None:
        """A run of that DAG with the reference's logical date, or None."""

    def import_errors(self) -> list[str]:
        """The files that Airflow cannot import."""

    def unpause(self, dag_id: str) -> None:
        """Let the DAG's runs start."""

    def start(self, start: Start) -> bool:
        """Start a run; False if Airflow says that it has one with that id or that logical date."""


class WayClosed(PermanentError):
    """This way does not serve that question in this environment; another may."""

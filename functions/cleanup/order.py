"""A clean-up of one environment, as its state machine carries it from step to step."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError

REQUESTED = "Metadata Cleanup Requested"
FINISHED = "Metadata Cleanup Finished"
FAILED = "Metadata Cleanup Failed"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be cleaned, why, and how far it has come. ``reason`` is ``due``, ``asked`` or ``upgrade``.

    ``work`` belongs to the engine; ``failure`` is why it has ended before its time: cause, evidence, remedy. ``next``
    is the state that follows, after so many ``seconds``.
    """

    environment: EnvironmentRef
    cleanup_id: str
    policy: str
    reason: str
    correlation_id: str
    ordered_at: datetime
    dry_run: bool = False
    request_id: str | None = None
    document: Mapping[str, Any] | None = None
    engine: str | None = None
    airflow_version: str | None = None
    asked: bool = False
    exported: bool = False
    covered: Mapping[str, Mapping[str, str]] | None = None
    planned_at: str | None = None
    work: Mapping[str, Any] | None = None
    failure: Mapping[str, str] | None = None
    next: str = "export"
    seconds: int = 0

    @property
    def about(self) -> dict[str, Any]:
        """How facts name it, besides its environment."""
        keys = ("cleanup_id", "policy", "reason", "engine", "airflow_version", "correlation_id", "request_id")
        return {key: getattr(self, key) for key in keys}

    @property
    def report_key(self) -> str:
        """Where its report lies in the bucket of exports."""
        return f"{reports(self.environment)}{self.cleanup_id}.json"

    def failed(self, error: PermanentError) -> "Order":
        """Ended by what trying again cannot cure."""
        failure = {"cause": error.cause, "evidence": error.what, "remedy": error.remedy}
        return replace(self, failure=failure, next="report", seconds=0)

    def as_state(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"environment": self.environment.as_detail(), "ordered_at": self.ordered_at.isoformat()}

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> Self:
        """Read what ``as_state`` wrote."""
        known = {key: value for key, value in state.items() if key in cls.__slots__}
        about = {
            "environment": EnvironmentRef(**state["environment"]),
            "ordered_at": datetime.fromisoformat(state["ordered_at"]),
        }
        return cls(**(known | about))


def period(now: datetime, every_hours: int) -> datetime:
    """When the period began in which an environment is to be cleaned once."""
    length = timedelta(hours=every_hours)
    return EPOCH + (now - EPOCH) // length * length


def reports(environment: EnvironmentRef) -> str:
    """The folder of an environment's reports."""
    return f"reports/cleanup/{environment}/"

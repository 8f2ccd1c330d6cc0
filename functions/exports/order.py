"""One export of one environment, as its state machine carries it from step to step."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from groundcrew.environment import EnvironmentRef

FINISHED = "Metadata Export Finished"
FAILED = "Metadata Export Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be exported, why, and how far it has come.

    ``ask`` is what was asked for, None if it is due; ``made_at`` is when the environment was made (another one may
    have had its name before); ``tables`` and what follows it is planned; ``progress`` belongs to the outside engine, as
    ``left_out`` does, the tables that Airflow does not let it read; ``attempt`` is the number of the inside engine's
    run, from 0. ``next`` is the state that follows, after so many ``seconds``.
    """

    environment: EnvironmentRef
    export_id: str
    policy: str
    correlation_id: str
    ordered_at: datetime
    ask: Mapping[str, Any] | None = None
    request_id: str | None = None
    reason: str = ""
    engine: str | None = None
    airflow_version: str | None = None
    made_at: datetime | None = None
    tables: Mapping[str, Mapping[str, str | None]] | None = None
    rate_share: float = 0.5
    opt_in: tuple[str, ...] = ()
    shipped_at: str | None = None
    attempt: int = 0
    progress: Mapping[str, Any] | None = None
    left_out: tuple[str, ...] = ()
    next: str = "plan"
    seconds: int = 0

    @property
    def prefix(self) -> str:
        """Where the extract is."""
        return f"extracts/{self.environment}/{self.export_id}"

    @property
    def verified_key(self) -> str:
        """Where the verify function says what it has found and written; no engine can write there."""
        return f"verified/{self.environment}/{self.export_id}.json"

    @property
    def lease(self) -> str:
        """One export of an environment at a time."""
        return f"exports/{self.environment}"

    @property
    def about(self) -> dict[str, Any]:
        """How facts name it, besides its environment."""
        keys = ("export_id", "policy", "reason", "engine", "airflow_version", "correlation_id", "request_id")
        return {key: getattr(self, key) for key in keys}

    def as_state(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {
            "environment": self.environment.as_detail(),
            "ordered_at": self.ordered_at.isoformat(),
            "made_at": self.made_at.isoformat() if self.made_at else None,
            "opt_in": list(self.opt_in),
            "left_out": list(self.left_out),
        }

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> Self:
        """Read what ``as_state`` wrote."""
        known = {key: value for key, value in state.items() if key in cls.__slots__}
        about = {
            "environment": EnvironmentRef(**state["environment"]),
            "ordered_at": datetime.fromisoformat(state["ordered_at"]),
            "made_at": datetime.fromisoformat(state["made_at"]) if state.get("made_at") else None,
            "opt_in": tuple(state.get("opt_in") or ()),
            "left_out": tuple(state.get("left_out") or ()),
        }
        return cls(**(known | about))

"""A run that is waited for, as the state machine keeps it between two looks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.ways.seen import RunRef
from runs.order import Order


@dataclass(frozen=True, slots=True)
class Watched:
    """The run, who asked for it, and how often it was looked at."""

    environment: EnvironmentRef
    ref: RunRef
    request_id: str
    correlation_id: str
    airflow_version: str
    looks: int = 0

    @classmethod
    def of(cls, order: Order, environment: Environment) -> Self:
        """The run that an order has started."""
        return cls(order.environment, order.ref, order.request_id, order.correlation_id, environment.airflow_version)

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> Self:
        """Read what ``as_state`` has written."""
        date = state["logical_date"]
        ref = RunRef(
            state["dag_id"],
            state["run_id"],
            datetime.fromisoformat(state["since"]),
            datetime.fromisoformat(date) if date else None,
        )
        return cls(
            EnvironmentRef(**state["environment"]),
            ref,
            state["request_id"],
            state["correlation_id"],
            state["airflow_version"],
            state["looks"],
        )

    def as_state(self) -> dict[str, Any]:
        """The state machine's state."""
        date = self.ref.logical_date
        return {
            "environment": self.environment.as_detail(),
            "dag_id": self.ref.dag_id,
            "run_id": self.ref.run_id,
            "since": self.ref.since.isoformat(),
            "logical_date": date.isoformat() if date else None,
            "request_id": self.request_id,
            "correlation_id": self.correlation_id,
            "airflow_version": self.airflow_version,
            "looks": self.looks,
        }

    @property
    def about(self) -> dict[str, str]:
        """How facts name the run, besides its environment."""
        return {
            "dag_id": self.ref.dag_id,
            "run_id": self.ref.run_id,
            "request_id": self.request_id,
            "correlation_id": self.correlation_id,
        }

    @property
    def name(self) -> str:
        """The execution's name: one execution for one run, however often its order is worked on."""
        run = f"{self.environment}/{self.ref.dag_id}/{self.ref.run_id}"
        return f"{self.environment.name[:30]}-{hashlib.sha256(run.encode()).hexdigest()[:40]}"

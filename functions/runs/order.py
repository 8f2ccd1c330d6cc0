"""An order: one DAG run in one environment, as the router puts it on the queue ``groundcrew-runs``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.events import FACT, Envelope, validate
from groundcrew.ways.seen import RunRef

REQUESTED = "DAG Run Requested"
ORDERED = "DAG Run Ordered"
PLANNED = "DAG Run Planned"
STARTED = "DAG Run Started"
REJECTED = "DAG Run Rejected"
FINISHED = "DAG Run Finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be run, wherever; ``if_paused`` is ``reject``, ``unpause`` or ``queue``, ``sender`` the account that
    asked, ``correlation_id`` the id of its event, ``requested_at`` when it asked. Times have a zone.
    """

    request_id: str
    dag_id: str
    run_id: str
    conf: Mapping[str, Any]
    logical_date: datetime | None
    note: str
    if_paused: str
    expires_at: datetime
    wait: bool
    sender: str
    correlation_id: str
    requested_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Asked):
    """What is to be run in one environment."""

    environment: EnvironmentRef

    @classmethod
    def read(cls, envelope: Envelope) -> Self:
        """Read an order from the queue.

        Raises:
            PermanentError: it is none, or not as its schema says.
        """
        if (envelope.source, envelope.detail_type) != (FACT, ORDERED):
            raise PermanentError(
                f"{envelope.detail_type[:80]!r} of {envelope.source[:80]!r} is no order",
                cause="UnknownEvent",
                remedy="Put requests on the bus, and redrive dead letters to the queue they were in.",
            )
        validate(envelope)
        detail = envelope.detail
        return cls(
            environment=EnvironmentRef(**detail["environment"]),
            request_id=detail["request_id"],
            dag_id=detail["dag_id"],
            run_id=detail["run_id"],
            conf=detail["conf"],
            logical_date=_moment(detail["logical_date"]) if detail["logical_date"] is not None else None,
            note=detail["note"],
            if_paused=detail["if_paused"],
            expires_at=_moment(detail["expires_at"]),
            wait=detail["wait"],
            sender=envelope.account,
            correlation_id=envelope.id,
            requested_at=envelope.time,
        )

    @property
    def ref(self) -> RunRef:
        """Its run."""
        return RunRef(self.dag_id, self.run_id, self.requested_at, self.logical_date)

    @property
    def about(self) -> dict[str, str]:
        """How facts name the run, besides its environment."""
        return {
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "request_id": self.request_id,
            "correlation_id": self.correlation_id,
        }

    def as_envelope(self, region: str) -> dict[str, Any]:
        """The order in the shape of an EventBridge event; ``region`` is the hub's."""
        return {
            "version": "0",
            "id": self.correlation_id,
            "source": FACT,
            "detail-type": ORDERED,
            "account": self.sender,
            "region": region,
            "time": self.requested_at.isoformat(),
            "resources": [],
            "detail": {
                "environment": self.environment.as_detail(),
                "request_id": self.request_id,
                "dag_id": self.dag_id,
                "run_id": self.run_id,
                "conf": self.conf,
                "logical_date": self.logical_date.isoformat() if self.logical_date else None,
                "note": self.note,
                "if_paused": self.if_paused,
                "expires_at": self.expires_at.isoformat(),
                "wait": self.wait,
            },
        }

    def as_message(self, region: str) -> str:
        """The message's body: JSON in ASCII, so that its length is its size."""
        return json.dumps(self.as_envelope(region), separators=(",", ":"))


def _moment(text: str) -> datetime:
    try:
        named = datetime.fromisoformat(text)
    except ValueError as error:
        raise PermanentError(f"{text[:40]!r} is no time", cause="InvalidRequest") from error
    if named.tzinfo is None:
        raise PermanentError(f"{text[:40]!r} has no zone", cause="InvalidRequest")
    return named

"""An order to rotate the tokens of a binding: what the function that looks says to the one that rotates.

It is about the binding, not about an environment: however many environments are due, one token is minted for all.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.events import FACT, Envelope, validate
from tokens.facts import ORDERED

TOGETHER = 60
"""Seconds. Orders for a binding that are given within the same ones are a single order, which is carried out after
them: the queue delays what it takes by as much.
"""


@dataclass(frozen=True, slots=True)
class Order:
    """``forced``: an environment whose token must have been minted at ``at`` or later; others as they are due."""

    binding: str
    id: str
    at: datetime
    forced: EnvironmentRef | None = None

    @classmethod
    def read(cls, envelope: Envelope) -> Self:
        """Read an order as it comes out of the queue.

        Raises:
            PermanentError: it is none.
        """
        if (envelope.source, envelope.detail_type) != (FACT, ORDERED):
            raise PermanentError(
                f"{envelope.detail_type[:80]!r} of {envelope.source[:80]!r} is no order of ours", cause="UnknownEvent"
            )
        validate(envelope)
        forced = envelope.detail.get("forced")
        return cls(envelope.detail["binding"], envelope.id, envelope.time, EnvironmentRef(**forced) if forced else None)

    def as_message(self, account: str, region: str) -> str:
        """The order in the form of an event."""
        forced = {"forced": self.forced.as_detail()} if self.forced else {}
        event: dict[str, Any] = {
            "id": self.id,
            "source": FACT,
            "detail-type": ORDERED,
            "account": account,
            "region": region,
            "time": self.at.isoformat(),
            "detail": {"binding": self.binding} | forced,
        }
        return json.dumps(event)

    def once(self, seconds: float) -> str:
        """Which orders are one with this: those of the same minute, by the clock; one that is forced stands alone."""
        about = self.id if self.forced else str(int(seconds // TOGETHER))
        return hashlib.sha256(f"{self.binding}/{about}".encode()).hexdigest()

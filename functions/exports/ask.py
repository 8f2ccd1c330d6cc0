"""What somebody asks to be exported: ``Metadata Export Requested``, besides its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from exports.plan import Window
from groundcrew.errors import PermanentError

REQUESTED = "Metadata Export Requested"


@dataclass(frozen=True, slots=True)
class Ask:
    """``tables``: only these, None for the policy's; ``window``: instead of all since the last export."""

    tables: tuple[str, ...] | None = None
    window: Window | None = None
    reason: str = "somebody asked"

    @classmethod
    def read(cls, detail: Mapping[str, Any]) -> Self:
        """Read the detail of an event that its schema has admitted, or what ``as_json`` wrote.

        Raises:
            PermanentError: an end of the window is no time with a time zone.
        """
        window = detail.get("window")
        return cls(
            tables=tuple(detail["tables"]) if detail.get("tables") else None,
            window=Window(_moment(window.get("from")), _moment(window.get("until"))) if window else None,
            reason=detail.get("reason") or "somebody asked",
        )

    def as_json(self) -> dict[str, Any]:
        """For the state machine."""
        window = self.window.as_json() if self.window else None
        return {"tables": list(self.tables) if self.tables else None, "window": window, "reason": self.reason}


def _moment(text: object) -> datetime | None:
    if text is None:
        return None
    try:
        found: datetime | None = datetime.fromisoformat(str(text))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise PermanentError(
            f"{str(text)[:40]!r} is no time with a time zone",
            cause="InvalidRequest",
            remedy="Write the ends of the window like 2026-11-27T04:30:00Z.",
        )
    return found

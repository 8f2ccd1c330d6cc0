"""What an export can be planned to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Window:
    """``since`` <= time < ``until``, each open where it is None; both are, for a table that is exported whole."""

    since: datetime | None = None
    until: datetime | None = None

    def as_json(self) -> dict[str, str | None]:
        """As engines take it."""
        return {"from": _iso(self.since), "until": _iso(self.until)}


@dataclass(frozen=True, slots=True)
class Export:
    """Export these tables with this engine."""

    engine: Literal["inside", "outside"]
    tables: Mapping[str, Window]
    reason: str

    def windows(self) -> dict[str, Any]:
        """As JSON."""
        return {name: window.as_json() for name, window in self.tables.items()}


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing is to be done now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again in so many seconds."""

    seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """What is asked for cannot be: cause, reason, remedy."""

    cause: str
    reason: str
    remedy: str


Plan = Export | Nothing | Wait | Refuse


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None

"""A clean-up policy, ``/groundcrew/cleanup/<name>``: what is kept, and how the rest goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any, Self

from groundcrew.errors import PermanentError
from groundcrew.events import schema_error

EXPENDABLE = frozenset(
    {"celery_taskmeta", "celery_tasksetmeta", "rendered_task_instance_fields", "session", "task_map", "xcom"}
)
"""Tables whose rows may go unexported, if a policy says nothing of it."""

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Window:
    """When clean-ups may begin and go on, in UTC; one that ends before it begins ends on the next day."""

    opens: time
    closes: time
    days: frozenset[str] = frozenset(WEEK)

    def is_open(self, now: datetime) -> bool:
        """Whether it is open at that time (UTC)."""
        at = now.time().replace(tzinfo=None)
        if self.opens < self.closes:
            return self._opens_on(now) and self.opens <= at < self.closes
        return (self._opens_on(now) and at >= self.opens) or (
            self._opens_on(now - timedelta(days=1)) and at < self.closes
        )

    def seconds_left(self, now: datetime) -> int:
        """Until it closes, if it is open."""
        closes = now.replace(hour=self.closes.hour, minute=self.closes.minute, second=0, microsecond=0)
        return round((closes - now).total_seconds()) % 86_400

    def _opens_on(self, day: datetime) -> bool:
        return WEEK[day.weekday()] in self.days


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the document says, defaults filled in; ``document`` is the document itself, for the engine inside.

    ``days`` by table: None keeps a table's rows.
    """

    document: Mapping[str, Any]
    deletes: bool = False
    default_days: int
    days: Mapping[str, int | None] = field(default_factory=dict)
    export_required: bool = True
    expendable: frozenset[str] = EXPENDABLE
    seconds_per_run: int = 1800
    window: Window | None = None
    confirm: float = 0.5
    every_hours: int = 24

    @classmethod
    def read(cls, document: Mapping[str, Any], name: str) -> Self:
        """Read the document of the parameter ``name``.

        Raises:
            PermanentError: it is not valid; nothing is ever deleted by what somebody may have meant.
        """
        problem = schema_error(document, "policies/cleanup.json") or _absurd(document)
        if problem:
            raise PermanentError(
                f"the policy {name} is not valid: {problem}",
                cause="InvalidPolicy",
                remedy=f"Correct the parameter {name}; events/schemas/policies/cleanup.json says what it may hold.",
            )
        days, window = document["days"], document.get("window")
        return cls(
            document=dict(document),
            deletes=document.get("mode") == "delete",
            default_days=days["default"],
            days=dict(days.get("tables") or {}),
            export_required=document.get("export_required", True),
            expendable=frozenset(document.get("expendable", EXPENDABLE)),
            seconds_per_run=document.get("seconds_per_run", 1800),
            window=_window(window) if window else None,
            confirm=document.get("confirm", 0.5),
            every_hours=document.get("every_hours", 24),
        )

    def days_of(self, table: str) -> int | None:
        """How many days a table's rows are kept; None: for ever."""
        return self.days.get(table, self.default_days)

    def may_run(self, now: datetime) -> bool:
        """Whether a clean-up may begin, or go on, at that time."""
        return self.window is None or self.window.is_open(now)


def _absurd(document: Mapping[str, Any]) -> str | None:
    """What the schema cannot see."""
    if isinstance(document.get("confirm"), bool):
        return "data.confirm must be number"
    window = document.get("window")
    if window and window["from"] == window["until"]:
        return "data.window never opens: from and until are the same"
    return None


def _window(window: Mapping[str, Any]) -> Window:
    return Window(
        time.fromisoformat(window["from"]),
        time.fromisoformat(window["until"]),
        frozenset(window.get("days", WEEK)),
    )

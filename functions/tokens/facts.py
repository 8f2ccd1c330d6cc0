"""What is said about tokens on the bus."""

from datetime import datetime
from typing import Any

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError, TransientError
from groundcrew.events import Fact
from tokens import startup
from tokens.binding import Binding
from tokens.plan import Plan, Refuse, Target, as_detail
from tokens.token import Delivered

REQUESTED, ORDERED = "Token Rotation Requested", "Token Rotation Ordered"
ROTATED, FAILED, PLANNED = "Token Rotated", "Token Rotation Failed", "Token Rotation Planned"
BOUND = "Startup Script Bound"


def rotated(
    environment: EnvironmentRef, binding: Binding, known: Delivered, target: Target, reason: str, now: datetime
) -> Fact:
    """A new token is in place."""
    detail = {
        "binding": binding.name,
        "delivery": binding.delivery,
        "place": str(target),
        "minted_at": known.minted_at.isoformat(),
        "expires_at": known.expires_at.isoformat(),
        "hours_left": round((known.expires_at - now).total_seconds() / 3600, 2),
        "verified": binding.verify,
        "reason": reason,
    }
    return Fact(ROTATED, environment, detail)


def failed(
    environment: EnvironmentRef | None,
    binding: str | None,
    error: PermanentError | TransientError | Refuse,
    hours_left: float | None = None,
) -> Fact:
    """There is no new token; ``hours_left`` is what the old one has, if that is known."""
    detail: dict[str, Any] = {
        "cause": error.cause,
        "evidence": error.reason if isinstance(error, Refuse) else error.what,
        "remedy": error.remedy or "Read the log of groundcrew-tokens-rotate, and redrive the dead letter.",
    }
    if binding is not None:
        detail["binding"] = binding[:64]
    if hours_left is not None:
        detail["hours_left"] = round(hours_left, 2)
    return Fact(FAILED, environment, detail)


def planned(
    environment: EnvironmentRef, binding: str, plan: Plan, hours_left: float, script: startup.Plan | None
) -> Fact:
    """What would be done; ``script``: about the startup script, if anything is said of it."""
    more = {"startup_script": startup.as_detail(script)} if script else {}
    return Fact(PLANNED, environment, {"binding": binding, "hours_left": round(hours_left, 2)} | as_detail(plan) | more)


def bound(environment: EnvironmentRef, binding: str, script: str, version: str, reason: str) -> Fact:
    """An update has begun that gives the environment its startup script."""
    return Fact(BOUND, environment, {"binding": binding, "script": script, "version": version, "reason": reason})

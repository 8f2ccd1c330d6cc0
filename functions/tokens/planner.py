"""(binding, what was seen, now) → what to do about an environment's token. Pure."""

from datetime import datetime, timedelta

from groundcrew.events import GONE
from tokens.binding import Binding
from tokens.plan import Deliver, Held, Nothing, Plan, Refuse, Seen
from tokens.token import Delivered, Token

ENDING = frozenset({"DELETING", GONE, "CREATE_FAILED"})
"""Statuses that no environment comes back from (guide L8256): no container of it starts any more."""

SKEW = timedelta(hours=1)
"""How far a clock may be wrong before it is taken for broken."""


def decide(binding: Binding, seen: Seen, now: datetime, asked_at: datetime | None = None) -> Plan:
    """What to do; ``asked_at``: somebody wants a token that was minted then or later, however long the present one
    lives.
    """
    environment = seen.environment
    if environment.status in ENDING:
        return Nothing(f"the environment is {environment.status}")
    if environment.ref.account not in binding.accounts:
        return Refuse(
            "NotServed",
            f"the binding {binding.name} does not serve account {environment.ref.account}",
            f"Add the account to {Binding.parameter(binding.name)}, or change the tag groundcrew:tokens.",
        )
    if not (environment.bucket or binding.bucket or binding.secret):
        return Refuse("NoBucket", "MWAA names no bucket of the environment", "Look at the environment's settings.")
    if seen.held is None:
        return Deliver("there is no token")
    return _about_held(binding, seen.held, environment.ref.name, now, asked_at)


def _about_held(binding: Binding, held: Held, environment: str, now: datetime, asked_at: datetime | None) -> Plan:
    found = held.delivered
    if found is None:
        if held.replaceable:
            return Deliver("what lies there is not known to be a token of ours")
        return Refuse(
            "ForeignFile",
            "codeartifact.txt holds more than a token's index, and is not ours",
            "Move what else it says into the requirements, or choose another delivery.",
        )
    if found.binding != binding.name:
        if found.environment != environment and now < found.expires_at:
            return Refuse(
                "TwoBindings",
                f"the bindings {found.binding} (for {found.environment}) and {binding.name} want the same place",
                "Bind environments that share a file to one binding, or choose delivery object.",
            )
        return Deliver(f"the token there is one of the binding {found.binding}")
    if found.fingerprint != binding.fingerprint:
        return Deliver("the binding has changed")
    return _about_age(binding, found, now, asked_at)


def _about_age(binding: Binding, found: Delivered, now: datetime, asked_at: datetime | None) -> Plan:
    left = found.expires_at - now
    if left <= timedelta(0):
        return Deliver(f"the token expired at {found.expires_at.isoformat()}")
    if left > _longest(binding):
        return Deliver("the token there claims to live longer than any can")
    if left < binding.rotate_below:
        return Deliver(f"the token lives {hours(left)} more")
    if asked_at is not None and found.minted_at < asked_at:
        return Deliver(f"a new one was asked for; the present one lives {hours(left)} more")
    return Nothing(f"the token is fresh: it lives {hours(left)} more")


def unfit(binding: Binding, token: Token, now: datetime) -> Refuse | None:
    """What is wrong with a token that was just minted, if anything: it must not be old the moment it is delivered."""
    left = token.expires_at - now
    if left >= binding.rotate_below:
        return None
    return Refuse(
        "ShortLived",
        f"CodeArtifact gave a token that lives {hours(left)}; {binding.duration_seconds / 3600:g} h were asked for",
        "Look for a policy that limits sts:DurationSeconds, and at the clocks.",
    )


def hours_left(binding: Binding, held: Held | None, now: datetime) -> float:
    """How long what lies there opens the binding's repositories; 0 if it does not, or is not known to."""
    found = held.delivered if held else None
    if found is None or (found.binding, found.fingerprint) != (binding.name, binding.fingerprint):
        return 0.0
    left = found.expires_at - now
    return max(0.0, left.total_seconds() / 3600) if left <= _longest(binding) else 0.0


def _longest(binding: Binding) -> timedelta:
    return timedelta(seconds=binding.duration_seconds) + SKEW


def hours(span: timedelta) -> str:
    """For sentences."""
    return f"{span.total_seconds() / 3600:.1f} h"

"""What somebody asks for: a ``DAG Run Requested``, read and checked. Pure."""

import json
import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.events import REQUEST, Envelope, Fact, validate
from groundcrew.settings import Settings
from runs.order import REJECTED, REQUESTED, Asked, Order
from runs.selection import Selector

LARGEST_CONF = 100_000
"""Bytes as JSON in ASCII: with it an order fits into any message, and a request into any event."""

DEEPEST_CONF = 50
EXPIRES_IN = 6 * 3600
"""Seconds, if the request does not say."""

YEARS = range(1970, 2200)
"""Years of a logical date: Airflow's databases and time zones are safe there."""

SPEAKABLE = {
    "dag_id": re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,249}"),
    "run_id": re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.~:+-]{0,249}"),
    "request_id": re.compile(r"[a-zA-Z0-9_.~:+-]{1,200}"),
}
"""As in the schemas: what is not so is not repeated in a fact."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL stores neither NUL nor half a surrogate pair in text or jsonb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Asked):
    """What is to be run, and where: ``targets`` are the environments named, each once, or what selects them."""

    targets: tuple[EnvironmentRef, ...] | Selector

    @classmethod
    def read(cls, envelope: Envelope, config: Settings, now: datetime) -> Self:
        """Read a request; the sender chooses its event's time, so one of the future counts as ``now``.

        Raises:
            PermanentError: it is none, or is not valid; it says what to correct.
        """
        if (envelope.source, envelope.detail_type) != (REQUEST, REQUESTED):
            raise PermanentError(
                f"{envelope.detail_type[:80]!r} of {envelope.source[:80]!r} is no request for a DAG run",
                cause="UnknownEvent",
                remedy="Find out which rule sends it: those of template.yaml do not.",
            )
        validate(envelope)
        detail = envelope.detail
        named = _named(envelope)
        if not SPEAKABLE["request_id"].fullmatch(named["request_id"]):
            raise _invalid(
                "the event's id cannot be part of a run id",
                "Give a request_id: 1 to 200 letters, digits and _.~:+- in ASCII.",
            )
        requested_at = min(_utc(envelope.time), now)
        return cls(
            targets=_targets(detail["environments"], envelope, config),
            **named,
            conf=_conf(detail.get("conf", {})),
            logical_date=_logical_date(detail["logical_date"]) if "logical_date" in detail else None,
            note=_storable(detail.get("note", ""), "the note"),
            if_paused=detail.get("if_paused", "reject"),
            expires_at=requested_at + timedelta(seconds=detail.get("expires_in", EXPIRES_IN)),
            wait=detail.get("wait", False),
            sender=envelope.account,
            correlation_id=envelope.id,
            requested_at=requested_at,
        )

    def order(self, environment: EnvironmentRef) -> Order:
        """What is to be done in one environment."""
        return Order(environment=environment, **{one.name: getattr(self, one.name) for one in fields(Asked)})


def rejection(envelope: Envelope, environment: EnvironmentRef | None, error: PermanentError) -> Fact:
    """What is announced of a request that will not be done, with as much as can be said of it."""
    named = _named(envelope)
    about = {key: text for key, text in named.items() if isinstance(text, str) and SPEAKABLE[key].fullmatch(text)}
    said = {"correlation_id": envelope.id[:200], "sender": envelope.account}
    return Fact(REJECTED, environment, about | said | reason(error))


def reason(error: PermanentError) -> dict[str, str]:
    """Why something is rejected, as facts say it."""
    return {"cause": error.cause, "evidence": error.what, "remedy": error.remedy}


def _named(envelope: Envelope) -> dict[str, Any]:
    """What a request calls the run, as far as it does; the rest follows from the event's id."""
    request_id = envelope.detail.get("request_id", envelope.id)
    named = {"dag_id": envelope.detail.get("dag_id"), "request_id": request_id}
    derived = f"groundcrew__{request_id}" if isinstance(request_id, str) else None
    return named | {"run_id": envelope.detail.get("run_id", derived)}


def _targets(
    environments: list[Any] | dict[str, Any], envelope: Envelope, config: Settings
) -> tuple[EnvironmentRef, ...] | Selector:
    if isinstance(environments, dict):
        return Selector.read(environments)
    return tuple(dict.fromkeys(_environment(named, envelope, config) for named in environments))


def _environment(named: str | dict[str, str], envelope: Envelope, config: Settings) -> EnvironmentRef:
    if isinstance(named, dict):
        return EnvironmentRef(**named)
    if not named.startswith("arn:"):
        return EnvironmentRef(envelope.account, envelope.region, named)
    partition = named.split(":")[1]
    if partition != config.partition:
        raise PermanentError(
            f"{named!r} is in the partition {partition}, this stack in {config.partition}",
            cause="InvalidEnvironment",
            remedy="Ask the Groundcrew of that partition.",
        )
    return EnvironmentRef.from_arn(named)


def _conf(conf: dict[str, Any]) -> dict[str, Any]:
    depth, texts = _depth_and_texts(conf)
    smaller = "Put what is large into an S3 object, and its name into conf."
    if depth > DEEPEST_CONF:
        raise _invalid(f"conf is nested {depth} deep, {DEEPEST_CONF} are allowed", smaller)
    try:
        size = len(json.dumps(conf, separators=(",", ":"), allow_nan=False))
    except ValueError as error:
        raise _invalid("conf holds NaN or an infinite number", "JSON has finite numbers only.") from error
    if size > LARGEST_CONF:
        raise _invalid(f"conf has {size} bytes, {LARGEST_CONF} are allowed", smaller)
    for text in texts:
        _storable(text, "conf")
    return conf


def _depth_and_texts(conf: dict[str, Any]) -> tuple[int, list[str]]:
    """How deep objects and lists are nested, and all keys and texts; without recursion, for conf may be as deep as a
    message is long.
    """
    depth, texts = 0, list[str]()
    level: list[Any] = [conf]
    while level:
        depth += 1
        inner = [item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer)]
        texts += [key for outer in level if isinstance(outer, dict) for key in outer]
        texts += [item for item in inner if isinstance(item, str)]
        level = [item for item in inner if isinstance(item, dict | list)]
    return depth, texts


def _storable(text: str, what: str) -> str:
    if _UNSTORABLE.search(text):
        raise _invalid(
            f"{what} has a NUL or half a surrogate pair in it", "Take it out: Airflow's database cannot store it."
        )
    return text


def _logical_date(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _invalid(f"the logical date {text!r} does not exist", "Correct it, or leave it out.") from error
    if moment.year not in YEARS:
        raise _invalid(
            f"the logical date {text!r} is not in the years {YEARS[0]} to {YEARS[-1]}", "Correct it, or leave it out."
        )
    return moment.astimezone(UTC)


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # at one end of time or the other: nobody asked then
        return datetime.fromtimestamp(0, UTC)


def _invalid(what: str, remedy: str) -> PermanentError:
    return PermanentError(what, cause="InvalidRequest", remedy=remedy)

"""Events are the interface: reading what arrives, making what is announced.

The contract of every event is its JSON Schema under ``events/schemas``, its example lies in ``events``.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

from groundcrew.environment import ACCOUNT, EnvironmentRef
from groundcrew.errors import PermanentError

MWAA = "aws.airflow"
FACT = "groundcrew"
REQUEST = "groundcrew.request"
STATUS_CHANGE = "MWAA Environment Status Change"
OBSERVED = "Environment Observed"
RECONCILE = "Endpoint Reconcile Requested"
SCHEMAS = Path(__file__).parent / "schemas"
GONE = "DELETED"
"""``EnvironmentStatus`` of an environment that is no more (botocore ``mwaa``)."""

LONGEST_PROBLEM = 300
"""Characters of what is wrong with a document: it quotes the document, which may be 256 kB of anything."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What EventBridge says of an event; ``account`` is who put it on its own bus."""

    id: str
    source: str
    detail_type: str
    account: str
    region: str
    time: datetime
    """When it happened, as its sender says; never after ``now``."""
    now: datetime
    """What its job takes for now: when it was queued, by the queue's clock, which no sender chooses."""
    detail: Mapping[str, Any]
    resources: tuple[str, ...] = ()

    @property
    def request_id(self) -> str | None:
        """What its sender calls a request, if anything."""
        found = self.detail.get("request_id") if self.source == REQUEST else None
        return found if isinstance(found, str) else None

    @property
    def correlation_id(self) -> str:
        """What logs, and all that follows from it, call it."""
        return self.request_id or self.id

    @property
    def dry_run(self) -> bool:
        """Whether it is a request for no more than a plan."""
        return self.source == REQUEST and self.detail.get("dry_run") is True

    @classmethod
    def read(cls, event: object, queued_at: datetime | None = None) -> Self:
        """Read an event as EventBridge delivers it.

        Args:
            event: the event.
            queued_at: None if it came through no queue, as what somebody invokes the function with.

        Raises:
            PermanentError: it is no EventBridge event.
        """
        try:
            return cls._read(event, queued_at)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise PermanentError(
                "a message is not an EventBridge event",
                cause="MalformedEvent",
                remedy="Send requests through EventBridge; events/ has an example of each.",
            ) from error

    @classmethod
    def _read(cls, event: object, queued_at: datetime | None) -> Self:
        if not isinstance(event, Mapping):
            raise TypeError("no object")
        detail = json.loads(event["detail"]) if isinstance(event["detail"], str) else event["detail"]
        if not isinstance(detail, Mapping):
            raise TypeError("the detail is no object")
        texts = [event[key] for key in ("id", "source", "detail-type", "account", "region")]
        if not all(isinstance(text, str) for text in texts) or not ACCOUNT.fullmatch(event["account"]):
            raise TypeError("who sent what is no text, or the account no account")
        event_id, source, detail_type, account, region = texts
        time = moment(event.get("time"))
        return cls(
            id=event_id,
            source=source,
            detail_type=detail_type,
            account=account,
            region=region,
            time=min(time, queued_at or time),
            now=queued_at or time,
            detail=detail,
            resources=tuple(str(resource) for resource in event.get("resources") or ()),
        )


def moment(text: object) -> datetime:
    """The time that an event, or a state machine, names; the clock's, if it names none."""
    try:
        named = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.now(UTC)
    return named if named.tzinfo else named.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that Groundcrew announces on its bus."""

    detail_type: str
    environment: EnvironmentRef | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    def as_detail(self) -> dict[str, Any]:
        """The event's ``detail``."""
        about = {"environment": self.environment.as_detail()} if self.environment else {}
        return about | dict(self.detail)


def validate(envelope: Envelope) -> None:
    """Hold the detail of one of our own events against its schema.

    Raises:
        PermanentError: there is no such event, or its detail is not what the schema says.
    """
    problem = schema_error(envelope.detail, schema_name(envelope.detail_type))
    if problem:
        raise PermanentError(
            f"the detail of {envelope.detail_type!r} is not valid: {problem}",
            cause="InvalidRequest",
            remedy=f"See events/schemas/{schema_name(envelope.detail_type)}.",
        )


def schema_name(detail_type: str) -> str:
    """The file of an event's schema: ``Endpoint Reconcile Requested`` is in ``endpoint-reconcile-requested.json``."""
    return re.sub(r"[^a-z]+", "-", detail_type[:80].lower()) + ".json"


def schema_error(document: Mapping[str, Any], name: str) -> str | None:
    """What is wrong with a document by a schema of ours, if anything."""
    # Imported at first use, for it costs a cold start 20 ms.
    from fastjsonschema import JsonSchemaValueException  # noqa: PLC0415

    try:
        _validator(name)(dict(document))
    except JsonSchemaValueException as error:
        return str(error.message)[:LONGEST_PROBLEM]
    except RecursionError:
        return "it is nested too deeply"
    return None


@cache
def _validator(name: str) -> Callable[[dict[str, Any]], object]:
    """A schema's check, made once: that takes as long as a hundred checks (Powertools makes it for each)."""
    import fastjsonschema  # noqa: PLC0415

    check: Callable[[dict[str, Any]], object] = fastjsonschema.compile(schema(name))
    return check


@cache
def schema(name: str) -> dict[str, Any]:
    """A JSON Schema of ``events/schemas``.

    Raises:
        PermanentError: there is none of that name.
    """
    try:
        content: dict[str, Any] = json.loads((SCHEMAS / name).read_text())
    except OSError as error:
        raise PermanentError(f"there is no schema {name!r}", cause="UnknownEvent") from error
    return content


def environment_of(envelope: Envelope) -> EnvironmentRef:
    """The environment an event is about.

    AWS does not publish the detail of MWAA's own event; its name is taken in either casing or from the event's
    resource, account and Region from the envelope, which a sender cannot choose.

    Raises:
        PermanentError: the event names no environment, or one of another account.
    """
    if envelope.source != MWAA:
        about = envelope.detail.get("environment")
        if not isinstance(about, Mapping):
            raise PermanentError(
                f"the detail of {envelope.detail_type[:80]!r} names no environment", cause="InvalidEnvironment"
            )
        return EnvironmentRef(**about)
    names = (envelope.detail.get(key) for key in ("name", "Name", "environmentName"))
    named = next((name for name in names if name and isinstance(name, str)), None)
    arns = [EnvironmentRef.from_arn(arn) for arn in envelope.resources if ":environment/" in arn]
    if named is None and not arns:
        raise PermanentError("an MWAA event names no environment", cause="InvalidEnvironment")
    environment = EnvironmentRef(envelope.account, envelope.region, named if named is not None else arns[0].name)
    if arns and arns[0] != environment:
        raise PermanentError(
            f"an MWAA event of {environment} names the resource {arns[0]}",
            cause="ForgedEvent",
            remedy="Find out who sends events with the source aws.airflow in that account.",
        )
    return environment

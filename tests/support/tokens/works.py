"""The whole part on the in-process cloud: events come in, and its two functions work until nothing is left to do.

The queue of rotations is played as SQS does it: orders that are one order (``MessageDeduplicationId``), delayed, one
after the other within a binding, dead after ten receives.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from groundcrew.events import schema_error, schema_name
from groundcrew.settings import Settings
from localcloud.inprocess.aws import bucket_name
from localcloud.inprocess.objects import Bucket
from localcloud.model.codeartifact import Domain
from localcloud.model.environment import Environment
from tests.support.queues import Queue
from tests.support.stage import HUB, REGION, SETTINGS, SPOKE, SPOKE2, Stage, open_stage
from tokens.handler import handler as look
from tokens.order import TOGETHER
from tokens.rotate import LAST_TRY
from tokens.rotate import handler as rotate

ROTATIONS = f"https://sqs.{REGION}.amazonaws.com/{HUB}/groundcrew-token-rotations.fifo"
MINTER = f"arn:aws:iam::{HUB}:role/groundcrew/groundcrew-tokens-minter-{REGION}"
VISIBILITY_TIMEOUT = 1800
HOUR = 3600.0
BINDING: dict[str, Any] = {
    "domain": "packages",
    "owner": HUB,
    "repositories": ["data"],
    "accounts": [SPOKE, SPOKE2],
}


@dataclass
class Works:
    """One cloud with the part deployed on it."""

    stage: Stage
    _vpcs: dict[str, list[str]] = field(default_factory=dict)
    _ordered: int = 0
    _events: int = 0
    _sent: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        aws = self.stage.aws
        self.looks = Queue(aws, "groundcrew-tokens", look, VISIBILITY_TIMEOUT, max_receives=20)
        self.rotations = Queue(aws, "groundcrew-token-rotations.fifo", rotate, VISIBILITY_TIMEOUT, LAST_TRY)

    @property
    def dead(self) -> list[str]:
        """The orders in the dead-letter queue."""
        return self.rotations.dead

    # ------------------------------------------------------------------ what there is
    def domain(self, owner: str = HUB, *repositories: str) -> Domain:
        """A domain with repositories that have pip in them."""
        domain = self.stage.aws.packages.domain(owner, REGION, "packages")
        for name in repositories or ("data",):
            self.stage.aws.packages.repository(domain, name, "pip")
        return domain

    def bind(self, name: str = "data", **more: Any) -> dict[str, Any]:
        """The binding of that name; None takes something out of it."""
        content = {key: value for key, value in (BINDING | more).items() if value is not None}
        self.stage.aws.parameters[f"/groundcrew/tokens/{name}"] = json.dumps(content)
        return content

    def environment(self, name: str = "data", account: str = SPOKE, binding: str = "data", **more: Any) -> Environment:
        """An environment, still CREATING; bound, unless ``binding`` is empty."""
        if account not in self._vpcs:
            self._vpcs[account] = self.stage.vpc(account)[1]
        options: dict[str, Any] = {"tags": {"groundcrew:tokens": binding} if binding else {}} | more
        return self.stage.aws.create_environment(
            account, REGION, name, self._vpcs[account], management="SERVICE", **options
        )

    def bucket(self, environment: Environment) -> Bucket:
        return self.stage.aws.objects.buckets[bucket_name(environment.caller.account, environment.name)]

    def held(self, environment: Environment, key: str | None = None) -> dict[str, Any] | None:
        """The object with the environment's token."""
        content = self.bucket(environment).content(key or f"groundcrew/tokens/{environment.name}.json")
        found: dict[str, Any] | None = json.loads(content) if content is not None else None
        return found

    def opens(self, environment: Environment, repository: str = "data") -> bool:
        """Whether the environment's object has a token that opens a repository of the hub's domain, now."""
        found = self.held(environment)
        return found is not None and self.opened(found["token"], repository) == 200

    def opened(self, token: str, repository: str = "data", owner: str = HUB) -> int:
        packages = self.stage.aws.packages
        return packages.status(packages.find(owner, REGION, "packages"), repository, token)

    # ------------------------------------------------------------------ what happens
    def observed(self, environment: Environment) -> dict[str, Any]:
        """The sweep's event about an environment."""
        self._events += 1
        detail = {"environment": about(environment), "status": environment.status, "tags": environment.tags}
        return event(f"observed-{self._events}", "groundcrew", "Environment Observed", HUB, detail)

    def request(self, environment: Environment, sender: str | None = None, **detail: Any) -> dict[str, Any]:
        """``Token Rotation Requested`` by an account, the environment's own one by default."""
        self._events += 1
        content = {"environment": about(environment)} | detail
        sender = sender or environment.caller.account
        return event(f"request-{self._events}", "groundcrew.request", "Token Rotation Requested", sender, content)

    def look(self, *events: dict[str, Any], received: int = 1) -> bool:
        """Give the looking function a batch; True if all of it may leave the queue."""
        bodies = [json.dumps(self.stage.timed(one)) for one in events]
        return self.looks.receive(*bodies, received=received) is None

    def orders(self) -> list[dict[str, Any]]:
        """What was ordered since the last look, one for each deduplication id."""
        sent = self.stage.aws.small.messages[self._ordered :]
        self._ordered += len(sent)
        found = {message["MessageDeduplicationId"]: message for message in reversed(sent)}
        assert {message["QueueUrl"] for message in sent} <= {ROTATIONS}
        return list(reversed(found.values()))

    def carry_out(self, body: str) -> int:
        """Work on one order until it leaves the queue; how often it was received."""
        self._sent[body] = sent = self.rotations.now()
        self.stage.pass_time(TOGETHER)
        return self.rotations.work(body, sent)

    def receive(self, body: str, received: int = 1) -> bool:
        """Give the rotating function one message, once; True if it may leave the queue."""
        sent = self._sent.setdefault(body, self.rotations.now())
        return self.rotations.receive(body, received=received, sent=sent) is None

    def work(self, *events: dict[str, Any]) -> list[int]:
        """Look at events, and carry out what is ordered; how often each order was received."""
        self.look(*events)
        return [self.carry_out(order["MessageBody"]) for order in self.orders()]

    def facts(self, detail_type: str) -> list[dict[str, Any]]:
        """The details of what was announced, each held against its schema."""
        found = self.stage.announced(detail_type)
        for detail in found:
            assert schema_error(detail, schema_name(detail_type)) is None
        return found

    def rotated(self) -> list[str]:
        return [fact["environment"]["name"] for fact in self.facts("Token Rotated")]

    def failures(self) -> list[tuple[str | None, str]]:
        """Who was said to have no new token, and why."""
        facts = self.facts("Token Rotation Failed")
        assert all(fact["evidence"] and fact["remedy"] for fact in facts)
        return [(fact.get("environment", {}).get("name"), fact["cause"]) for fact in facts]

    def minted(self) -> int:
        """How many tokens there are."""
        return len(self.stage.aws.packages.tokens())


def about(environment: Environment) -> dict[str, str]:
    return {
        "account": environment.caller.account,
        "region": environment.caller.region,
        "name": environment.name,
    }


def event(event_id: str, source: str, detail_type: str, account: str, detail: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": event_id,
        "source": source,
        "detail-type": detail_type,
        "account": account,
        "region": REGION,
        "resources": [],
        "detail": detail,
    }


@contextmanager
def open_works(settings: Settings = SETTINGS) -> Iterator[Works]:
    """The part deployed, until the block ends."""
    with ExitStack() as undo:
        works = Works(undo.enter_context(open_stage(settings)))
        for module in ("handler", "rotate"):
            undo.enter_context(mock.patch(f"tokens.{module}.settings", return_value=settings))
        undo.enter_context(mock.patch("tokens.handler.rotations_url", return_value=ROTATIONS))
        undo.enter_context(mock.patch("tokens.rotate.minter_arn", return_value=MINTER))
        # Which orders are one is a matter of the clock, and the cloud's stands still.
        undo.enter_context(mock.patch("tokens.handler.time.time", works.stage.aws.clock.now))
        works.domain()
        works.bind()
        yield works


def report_only() -> Settings:
    """The settings in ``Mode`` = ``report``."""
    return replace(SETTINGS, mode="report")

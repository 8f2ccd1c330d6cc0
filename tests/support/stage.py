"""The product's handlers on the in-process cloud: real handlers, real botocore, and a queue that is played by hand."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast
from unittest import mock

import botocore.auth
import botocore.session

from endpoints.handler import handler as endpoints_handler
from fleet.handler import handler as fleet_handler
from groundcrew.events import OBSERVED
from groundcrew.observability import logger
from groundcrew.settings import Settings
from localcloud.inprocess.aws import Entry, InProcessAws, in_process
from localcloud.model.caller import Caller
from localcloud.model.environment import Environment
from tests.support.context import Context
from tests.support.queues import Queue

HUB, SPOKE, SPOKE2 = "111111111111", "222222222222", "333333333333"
REGION = "us-east-1"
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{HUB}:groundcrew-endpoints"
STACK_TAG = f"{HUB}/{REGION}/groundcrew"
DEFAULT_POLICY = "/groundcrew/endpoints/default"
FREE = ("sts:*", "ssm:*")
"""Calls that "nothing to do costs at most 4 AWS calls" does not count."""

SETTINGS = Settings(
    account=HUB,
    region=REGION,
    partition="aws",
    bus="groundcrew",
    stack="groundcrew",
    mode="act",
    look_again_seconds=30,
    late_after_hours=4,
    spoke_accounts=(HUB, SPOKE, SPOKE2),
    spoke_regions=(REGION,),
)
LONGEST_LINE = 3_000
VISIBILITY_TIMEOUT = 360
"""Seconds after which a message that nobody hid comes back (``template.yaml``)."""


@dataclass
class Stage:
    """One cloud with the product deployed on it."""

    aws: InProcessAws
    log: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.queue = Queue(self.aws, "groundcrew-endpoints", endpoints_handler, VISIBILITY_TIMEOUT, max_receives=20)

    # ------------------------------------------------------------------ what there is
    def vpc(
        self, owner: str = HUB, *shared_with: str, way_out: bool = True, addresses: str = "ipv4"
    ) -> tuple[str, list[str]]:
        """A VPC and its two private subnets, which have these addresses (``ipv4``, ``ipv6``, ``dualstack``)."""
        vpc = self.aws.network.vpc(owner=owner)
        subnets = self.aws.network.private_subnets(vpc, addresses=addresses)
        self.aws.share(subnets, *shared_with)
        if way_out:
            self.aws.network.route_out(vpc)
        return vpc, subnets

    def environment(
        self,
        subnets: Sequence[str],
        account: str = SPOKE,
        name: str = "data",
        access: str = "PRIVATE_ONLY",
        **more: Any,
    ) -> Environment:
        """An environment that has come as far as it can without endpoints: PENDING."""
        environment = self.aws.create_environment(account, REGION, name, subnets, access, **more)
        self.pass_time(5)
        return environment

    def running(self, subnets: Sequence[str], account: str = SPOKE, **more: Any) -> Environment:
        """An environment that Groundcrew has helped to become AVAILABLE."""
        environment = self.environment(subnets, account, **more)
        self.deliver(status_event(environment))
        self.pass_time(60)
        assert environment.status == "AVAILABLE"
        return environment

    def delete(self, environment: Environment) -> None:
        """Delete an environment and wait until it is gone."""
        self.aws.delete_environment(environment)
        self.pass_time(5)

    def pass_time(self, seconds: float) -> None:
        self.aws.clock.advance(seconds)

    def ours(self) -> list[str]:
        """Names of everything that carries this stack's tag: endpoints (until they are gone) and groups."""
        endpoints = [e.tags["Name"] for e in self.aws.endpoints() if e.tags.get("groundcrew:stack") == STACK_TAG]
        groups = [
            group.name
            for account in (HUB, SPOKE, SPOKE2)
            for group in self.aws.groups(account)
            if group.tags.get("groundcrew:stack") == STACK_TAG
        ]
        return sorted(endpoints) + sorted(groups)

    # ------------------------------------------------------------------ what happens
    def deliver(self, *events: Any, received: int = 1) -> bool:
        """Give the worker one batch; True if all of it may leave the queue."""
        return self.queue.receive(*map(self.body, events), received=received) is None

    def body(self, event: Any) -> str:
        """The event as it lies in a queue."""
        return event if isinstance(event, str) else json.dumps(self.timed(event))

    def timed(self, event: Any) -> Any:
        """The event as EventBridge would have it now, if it does not say when it was."""
        return {"time": self.now()} | event if isinstance(event, dict) else event

    def now(self) -> str:
        return datetime.fromtimestamp(self.aws.clock.now(), UTC).isoformat()

    def work(self, event: Any) -> int:
        """Work on a message until it leaves the queue; how often it was looked at."""
        received = self.queue.work(self.body(event))
        assert not self.queue.dead, "the message never leaves the queue"
        return received

    def sweep(self) -> dict[str, Any]:
        return fleet_handler({"time": self.now()}, Context())

    def observed(self, since: int) -> list[dict[str, Any]]:
        """What the rule ``EndpointsOnObserved`` passes on of the facts announced since then."""
        found = [fact for fact in self.facts(since) if fact["detail-type"] == OBSERVED]
        return [
            fact
            for fact in found
            if fact["detail"].get("endpoint_management") == "CUSTOMER"
            or fact["detail"]["status"] == "DELETED"
            or "leftovers" in fact["detail"]
        ]

    def heal(self) -> None:
        """One sweep, and all the work that follows from it."""
        since = len(self.aws.events)
        self.sweep()
        for event in self.observed(since):
            self.work(event)

    def facts(self, since: int = 0) -> list[dict[str, Any]]:
        """What was announced, as EventBridge delivers it."""
        return [
            {
                "id": f"fact-{number}",
                "source": entry["Source"],
                "detail-type": entry["DetailType"],
                "account": entry["account"],
                "region": entry["region"],
                "resources": [],
                "detail": json.loads(entry["Detail"]),
            }
            for number, entry in enumerate(self.aws.events[since:])
        ]

    def announced(self, detail_type: str) -> list[dict[str, Any]]:
        return [fact["detail"] for fact in self.facts() if fact["detail-type"] == detail_type]

    def causes(self) -> list[str]:
        """Every cause announced as ``Endpoints Blocked``, in order."""
        return [found["cause"] for detail in self.announced("Endpoints Blocked") for found in detail["findings"]]

    def lines(self) -> list[dict[str, Any]]:
        """What was logged since the last look, as CloudWatch gets it: a line is what ends in a line feed."""
        text = self.log.getvalue()
        self.log.seek(0)
        self.log.truncate()
        found = text.encode().decode().split("\n")  # what cannot be encoded cannot be written
        assert found.pop() == ""
        assert all(len(line) < LONGEST_LINE for line in found)
        return [json.loads(line) for line in found]

    # ------------------------------------------------------------------ what it took
    def calls(self, act: Callable[[], object]) -> list[Entry]:
        """The calls that an action makes, without those that are free."""
        since = len(self.aws.journal)
        act()
        return [entry for entry in self.aws.journal[since:] if not entry.operation.startswith(("sts:", "ssm:"))]

    def changes(self, act: Callable[[], object]) -> list[str]:
        """The operations with which an action changes environments' networks."""
        return [entry.operation for entry in self.calls(act) if entry.effect and entry.operation.startswith("ec2:")]

    def spoke(self, account: str = SPOKE) -> Caller:
        return Caller(account, REGION)


def status_event(environment: Environment, status: str | None = None, **more: Any) -> dict[str, Any]:
    """MWAA's event about an environment."""
    return {
        "id": "status-1",
        "source": "aws.airflow",
        "detail-type": "MWAA Environment Status Change",
        "account": environment.caller.account,
        "region": environment.caller.region,
        "resources": [environment.arn],
        "detail": {"name": environment.name, "status": status or environment.status},
    } | more


def request(environment: Environment, sender: str | None = None, **detail: Any) -> dict[str, Any]:
    """``Endpoint Reconcile Requested`` by an account, its own one by default."""
    caller = environment.caller
    about = {"account": caller.account, "region": caller.region, "name": environment.name}
    return {
        "id": "request-1",
        "source": "groundcrew.request",
        "detail-type": "Endpoint Reconcile Requested",
        "account": sender or caller.account,
        "region": caller.region,
        "resources": [],
        "detail": {"environment": about} | detail,
    }


@contextmanager
def open_stage(settings: Settings = SETTINGS) -> Iterator[Stage]:
    """A stage, until the block ends."""
    with ExitStack() as undo:
        stage = Stage(undo.enter_context(in_process()))
        stage.aws.parameters[DEFAULT_POLICY] = '{"admit": "all-traffic", "sqs": "report"}'
        for module in ("endpoints", "fleet"):
            undo.enter_context(mock.patch(f"{module}.handler.settings", return_value=settings))
        undo.enter_context(mock.patch.object(botocore.session.Session, "create_client", _client))
        # A function makes new clients for each invocation, ours are kept: none may run out of retries.
        undo.enter_context(mock.patch("botocore.retries.quota.RetryQuota.acquire", return_value=True))
        # It says the same in every call, and takes botocore a tenth of the call.
        undo.enter_context(mock.patch("botocore.useragent.UserAgentString.to_string", return_value="in-process"))
        # Nobody checks signatures here, and hashing takes a fifth of a call.
        undo.enter_context(mock.patch.object(botocore.auth.SigV4Auth, "add_auth", _name_the_key))
        handler = cast("Any", logger.registered_handler)
        undo.callback(handler.setStream, handler.setStream(stage.log))
        yield stage


def _name_the_key(signer: Any, request: Any) -> None:
    """Write the parts of a signature that the in-process cloud reads: access key, Region, service."""
    scope = f"{signer.credentials.access_key}/20260101/{signer._region_name}/{signer._service_name}/aws4_request"
    request.headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"


_create_client = botocore.session.Session.create_client


def _client(session: botocore.session.Session, service_name: str, **options: Any) -> Any:
    """A client is dear to make (15 ms) and knows no cloud: one for each role serves all tests."""
    return _kept(session, service_name, *sorted(options.items()))


@cache
def _kept(session: botocore.session.Session, service_name: str, *options: tuple[str, Any]) -> Any:
    return _create_client(session, cast("Any", service_name), **dict(options))

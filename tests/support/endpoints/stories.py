"""Builders for the planner's tests: what matters to a story is said in it, the rest is here."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from endpoints.ownership import Owner
from endpoints.plan import Action, Plan
from endpoints.planner import Observed, plan_environment
from endpoints.policy import Policy
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.network import Admission, SecurityGroup, Site, Subnet, VpcEndpoint

HUB, SPOKE = "111111111111", "222222222222"
REGION, VPC = "us-east-1", "vpc-1"
OWNER = Owner(f"{HUB}/{REGION}/groundcrew", "aws")
REF = EnvironmentRef(SPOKE, REGION, "data")
ARN = REF.arn("aws")
DATABASE, WEBSERVER = "com.amazonaws.vpce.us-east-1.vpce-svc-db", "com.amazonaws.vpce.us-east-1.vpce-svc-web"
SQS = "com.amazonaws.us-east-1.sqs"
QUEUE = "arn:aws:sqs:us-east-1:999999999999:airflow-celery-1"
BORN = datetime(2026, 11, 22, 12, tzinfo=UTC)
EARLIER, LATER = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 22, 13, tzinfo=UTC)
GROUP = "sg-ours"
MINE = OWNER.tags(ARN, "database")

_Kind = TypeVar("_Kind")


def environment(**changes: Any) -> Environment:
    """A private environment of the spoke, PENDING in two subnets with one group."""
    usual = Environment(
        ref=REF,
        arn=ARN,
        status="PENDING",
        created_at=BORN,
        endpoint_management="CUSTOMER",
        webserver_access_mode="PRIVATE_ONLY",
        subnet_ids=("subnet-a", "subnet-b"),
        security_group_ids=("sg-env",),
        database_service=DATABASE,
        webserver_service=WEBSERVER,
        queue_arn=QUEUE,
    )
    return replace(usual, **changes)


def endpoint(purpose: str = "database", **changes: Any) -> VpcEndpoint:
    """An endpoint of ours that is as it should be."""
    services = {"database": DATABASE, "webserver": WEBSERVER, "sqs": SQS}
    usual = VpcEndpoint(
        id=f"vpce-{purpose}",
        service=services[purpose],
        state="available",
        vpc_id=VPC,
        subnet_ids=frozenset({"subnet-a", "subnet-b"}),
        group_ids=frozenset({GROUP}),
        created_at=LATER,
        tags=OWNER.tags(ARN, purpose) | {"groundcrew:queue": QUEUE, "Name": f"data-{purpose}"},
    )
    return replace(usual, **changes)


def foreign(purpose: str = "database", **changes: Any) -> VpcEndpoint:
    """The same, made by somebody else behind a group of theirs."""
    usual: dict[str, Any] = {"id": f"vpce-their-{purpose}", "group_ids": frozenset({"sg-theirs"}), "tags": {}}
    return endpoint(purpose, **(usual | changes))


def sqs_endpoint(*statements: Mapping[str, Any], **changes: Any) -> VpcEndpoint:
    """The VPC's SQS endpoint, of its owner, with these policy statements (none: full access)."""
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements}) if statements else ""
    usual: dict[str, Any] = {"id": "vpce-sqs", "tags": {}, "policy": policy, "private_dns": True}
    return endpoint("sqs", **(usual | changes))


def managed(*statements: Mapping[str, Any], **changes: Any) -> VpcEndpoint:
    """An SQS endpoint whose owner lets us manage its policy."""
    return sqs_endpoint(*statements, tags={"groundcrew:manage": "policy"}, **changes)


def allow(resource: Any = "*", **changes: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": resource} | changes


def group(**changes: Any) -> SecurityGroup:
    """Our group, which admits the environment's."""
    usual = SecurityGroup(
        id=GROUP,
        name="groundcrew-data",
        vpc_id=VPC,
        owner=HUB,
        admissions=frozenset({Admission(SPOKE, "sg-env")}),
        tags=OWNER.tags(ARN, "endpoints"),
    )
    return replace(usual, **changes)


def site(*resources: VpcEndpoint | SecurityGroup, theirs: tuple[SecurityGroup, ...] = ()) -> Site:
    """The hub's account with these endpoints and these groups of ours."""
    endpoints = tuple(item for item in resources if isinstance(item, VpcEndpoint))
    return Site(HUB, REGION, endpoints, tuple(item for item in resources if isinstance(item, SecurityGroup)), theirs)


def whole() -> tuple[VpcEndpoint | SecurityGroup, ...]:
    """All that a private environment needs."""
    return endpoint("database"), endpoint("webserver"), group()


def plan(
    *resources: VpcEndpoint | SecurityGroup,
    theirs: tuple[SecurityGroup, ...] = (),
    ways_out: frozenset[str] | None = frozenset({"subnet-a", "subnet-b"}),
    policy: Policy | None = None,
    subnets: tuple[Subnet, ...] = (),
    **changes: Any,
) -> Plan:
    """Plan for the environment (with changes) in a site with these resources."""
    observed = Observed(environment(**changes), site(*resources, theirs=theirs), VPC, ways_out, subnets)
    return plan_environment(observed, policy or Policy(), OWNER)


def only(found: Plan, kind: type[_Kind]) -> _Kind:
    """The plan's one action of a kind."""
    (action,) = every(found, kind)
    return action


def every(found: Plan, kind: type[_Kind]) -> list[_Kind]:
    """The plan's actions of a kind, in order."""
    return [action for action in found.actions if isinstance(action, kind)]


def kinds(found: Plan) -> list[str]:
    """What a plan does, in order."""
    return [type(action).__name__ for action in found.actions]


def causes(found: Plan) -> list[str]:
    return [finding.cause for finding in found.findings]


def touched(actions: tuple[Action, ...]) -> str:
    """Everything that actions say, to be searched for ids that must not be in it."""
    return repr(actions)

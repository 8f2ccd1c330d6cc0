"""What Groundcrew does in its life, each as a cloud made ready and the event that sets the worker off."""

import json
from collections.abc import Callable
from typing import Any

from localcloud.model.environment import Environment
from tests.support.stage import DEFAULT_POLICY, HUB, REGION, SPOKE, Stage, status_event

Event = dict[str, Any]
Prepare = Callable[[Stage], Event]
ELSEWHERE = "arn:aws:sqs:us-east-1:111111111111:mine"


def private(stage: Stage) -> Event:
    """In a VPC of its own account, private web server."""
    _, subnets = stage.vpc(SPOKE)
    return status_event(stage.environment(subnets))


def public(stage: Stage) -> Event:
    """In a VPC of its own account, public web server: the database endpoint only."""
    _, subnets = stage.vpc(SPOKE)
    return status_event(stage.environment(subnets, access="PUBLIC_ONLY"))


def cross_account(stage: Stage) -> Event:
    """In the hub's shared VPC, beside somebody else's endpoint and group."""
    vpc, subnets = stage.vpc(HUB, SPOKE)
    _somebody_elses(stage, vpc, subnets)
    return status_event(stage.environment(subnets))


def cross_account_by_ranges(stage: Stage) -> Event:
    """In the hub's shared VPC, where EC2 lets no rule name the participant's groups."""
    stage.aws.switches["sg.cross_account_reference"] = "never"
    _, subnets = stage.vpc(HUB, SPOKE)
    return status_event(stage.environment(subnets, access="PUBLIC_ONLY"))


def nothing_to_do(stage: Stage) -> Event:
    """It runs and has all that it needs."""
    _, subnets = stage.vpc(HUB, SPOKE)
    return status_event(stage.running(subnets))


def deletion(stage: Stage) -> Event:
    """It is gone; somebody else's endpoint and group stay."""
    vpc, subnets = stage.vpc(HUB, SPOKE)
    _somebody_elses(stage, vpc, subnets)
    return _deleted(stage, stage.running(subnets))


def recreation(stage: Stage) -> Event:
    """Deleted without anybody noticing, and made again under the same name."""
    _, subnets = stage.vpc(HUB, SPOKE)
    stage.delete(stage.running(subnets))
    return status_event(stage.environment(subnets))


def recreation_in_another_vpc(stage: Stage) -> Event:
    """The same, in another VPC of the same owner."""
    stage.delete(stage.running(stage.vpc(HUB, SPOKE)[1]))
    return status_event(stage.environment(stage.vpc(HUB, SPOKE)[1]))


def recreation_in_another_account(stage: Stage) -> Event:
    """The same, in a VPC of another owner."""
    stage.delete(stage.running(stage.vpc(HUB, SPOKE)[1]))
    return status_event(stage.environment(stage.vpc(SPOKE)[1]))


def sqs_statement(stage: Stage) -> Event:
    """The VPC's SQS endpoint lets us manage its policy; another environment's queue is in it already."""
    subnets = managed_sqs(stage)
    stage.running(subnets, name="other", access="PUBLIC_ONLY")
    return status_event(stage.environment(subnets, access="PUBLIC_ONLY"))


def sqs_statement_withdrawn(stage: Stage) -> Event:
    """One of two environments in that policy is gone."""
    subnets = managed_sqs(stage)
    stage.running(subnets, name="other", access="PUBLIC_ONLY")
    return _deleted(stage, stage.running(subnets, access="PUBLIC_ONLY"))


def sqs_endpoint(stage: Stage) -> Event:
    """No way to SQS, and the policy says to make one."""
    stage.aws.parameters[DEFAULT_POLICY] = '{"sqs": "create"}'
    _, subnets = stage.vpc(HUB, SPOKE, way_out=False)
    return status_event(stage.environment(subnets, access="PUBLIC_ONLY"))


def sqs_endpoint_stays(stage: Stage) -> Event:
    """The environment for which that endpoint was made is gone; it serves the whole VPC."""
    stage.aws.parameters[DEFAULT_POLICY] = '{"sqs": "create"}'
    _, subnets = stage.vpc(HUB, SPOKE, way_out=False)
    first = stage.running(subnets, access="PUBLIC_ONLY")
    stage.running(subnets, name="other", access="PUBLIC_ONLY")
    return _deleted(stage, first)


SCENARIOS: tuple[Prepare, ...] = (
    private,
    public,
    cross_account,
    cross_account_by_ranges,
    nothing_to_do,
    deletion,
    recreation,
    recreation_in_another_vpc,
    recreation_in_another_account,
    sqs_statement,
    sqs_statement_withdrawn,
    sqs_endpoint,
    sqs_endpoint_stays,
)


def _deleted(stage: Stage, environment: Environment) -> Event:
    stage.delete(environment)
    return status_event(environment, "DELETED")


def _somebody_elses(stage: Stage, vpc: str, subnets: list[str]) -> None:
    group = stage.aws.security_group(HUB, vpc, "theirs")
    stage.aws.ec2.call("CreateVpcEndpoint", stage.spoke(HUB), _interface("logs", vpc, subnets, group))


def managed_sqs(stage: Stage) -> list[str]:
    """The subnets of a shared VPC whose SQS endpoint lets us manage its policy."""
    vpc, subnets = stage.vpc(HUB, SPOKE)
    group = stage.aws.security_group(HUB, vpc, "sqs")
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": ELSEWHERE}
    tags = [{"ResourceType": "vpc-endpoint", "Tags": [{"Key": "groundcrew:manage", "Value": "policy"}]}]
    stage.aws.ec2.call(
        "CreateVpcEndpoint",
        stage.spoke(HUB),
        _interface("sqs", vpc, subnets, group)
        | {"PolicyDocument": json.dumps({"Statement": [statement]}), "TagSpecifications": tags},
    )
    stage.pass_time(5)
    return subnets


def _interface(service: str, vpc: str, subnets: list[str], group: str) -> dict[str, Any]:
    return {
        "VpcEndpointType": "Interface",
        "VpcId": vpc,
        "ServiceName": f"com.amazonaws.{REGION}.{service}",
        "SubnetIds": subnets,
        "SecurityGroupIds": [group],
    }

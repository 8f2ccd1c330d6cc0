"""What it costs in AWS calls: STS and SSM are free, everything else counts."""

import pytest

from localcloud.model.environment import Environment
from tests.support.figures import Figure
from tests.support.stage import DEFAULT_POLICY, HUB, SPOKE, Stage, status_event

NOTHING_TO_DO = 4
OBSERVATIONS = {
    "airflow:GetEnvironment",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeRouteTables",
}


def _by_hand(stage: Stage, vpc: str, subnets: list[str]) -> Environment:
    """Running on an endpoint that somebody else made."""
    environment = stage.environment(subnets, access="PUBLIC_ONLY")
    group = stage.aws.security_group(HUB, vpc, "theirs")
    pair = {"GroupId": environment.groups[0], "UserId": SPOKE}
    stage.aws.ec2.call(
        "AuthorizeSecurityGroupIngress",
        stage.spoke(HUB),
        {"GroupId": group, "IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": [pair]}]},
    )
    params = {"VpcEndpointType": "Interface", "VpcId": vpc, "ServiceName": environment.database_service}
    stage.aws.ec2.call(
        "CreateVpcEndpoint", stage.spoke(HUB), params | {"SubnetIds": subnets, "SecurityGroupIds": [group]}
    )
    stage.pass_time(60)
    assert environment.status == "AVAILABLE"
    return environment


def _steady(stage: Stage, state: str) -> Environment:
    account = {"available, own VPC": SPOKE, "available, in the hub": HUB}.get(state, HUB)
    vpc, subnets = stage.vpc(account, SPOKE)
    match state:
        case "managed by MWAA":
            return stage.environment(stage.vpc(SPOKE)[1], management="SERVICE")
        case "switched off":
            return stage.environment(subnets, tags={"groundcrew:endpoints": "off"})
        case "available, somebody else's endpoint":
            return _by_hand(stage, vpc, subnets)
        case "available, in the hub":
            return stage.running(subnets, HUB)
        case "available, public":
            return stage.running(subnets, access="PUBLIC_ONLY")
    environment = stage.running(subnets)
    if state == "deleting":
        stage.aws.delete_environment(environment)
    if state == "gone and cleaned up":
        stage.delete(environment)
        stage.work(status_event(environment, "DELETED"))
    return environment


@pytest.mark.parametrize(
    "state",
    [
        "available, cross-account",
        "available, own VPC",
        "available, in the hub",
        "available, public",
        "available, somebody else's endpoint",
        "managed by MWAA",
        "switched off",
        "deleting",
        "gone and cleaned up",
    ],
)
def test_nothing_to_do_costs_at_most_four_calls(stage: Stage, state: str, figure: Figure) -> None:
    environment = _steady(stage, state)
    calls = stage.calls(lambda: stage.deliver(status_event(environment)))
    figure(f"AWS calls, nothing to do: {state}", len(calls))
    assert len(calls) <= NOTHING_TO_DO, [call.operation for call in calls]
    assert not any(call.effect for call in calls)


@pytest.mark.parametrize(
    ("name", "owner", "access", "policy", "actions"),
    [
        ("private", SPOKE, "PRIVATE_ONLY", "{}", 4),
        ("public", SPOKE, "PUBLIC_ONLY", "{}", 3),
        ("private, cross-account", HUB, "PRIVATE_ONLY", "{}", 4),
        ("private, with an SQS endpoint", HUB, "PRIVATE_ONLY", '{"sqs": "create"}', 7),
    ],
)
def test_a_creation_costs_its_actions_and_each_observation_once(
    stage: Stage, name: str, owner: str, access: str, policy: str, actions: int, figure: Figure
) -> None:
    stage.aws.parameters[DEFAULT_POLICY] = policy
    environment = stage.environment(stage.vpc(owner, SPOKE, way_out="sqs" not in policy)[1], access=access)
    calls = [call.operation for call in stage.calls(lambda: stage.deliver(status_event(environment)))]
    observations = [operation for operation in calls if operation in OBSERVATIONS]
    rest = [operation for operation in calls if operation not in OBSERVATIONS]
    assert sorted(observations) == sorted(OBSERVATIONS)
    changes = [operation for operation in rest if operation.startswith("ec2:") and "Describe" not in operation]
    assert len(changes) == actions
    assert [operation for operation in rest if operation not in changes] in (
        ["sqs:ChangeMessageVisibility"],
        ["ec2:DescribeVpcs", "sqs:ChangeMessageVisibility"],
    )
    figure(f"AWS calls, creation: {name}", len(calls))


def test_a_removal_costs_its_actions_and_observations(stage: Stage, figure: Figure) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    stage.delete(environment)
    calls = stage.calls(lambda: stage.work(status_event(environment, "DELETED")))
    assert [call.operation for call in calls if call.effect and call.operation.startswith("ec2:")] == [
        "ec2:RevokeSecurityGroupIngress",
        "ec2:DeleteVpcEndpoints",
        "ec2:DeleteSecurityGroup",
    ]
    figure("AWS calls, removal in all its looks", len(calls))


def test_waiting_costs_little(stage: Stage, figure: Figure) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.deliver(status_event(environment))
    calls = stage.calls(lambda: stage.deliver(status_event(environment)))
    figure("AWS calls, one look at a waiting environment", len(calls))
    assert not any(call.operation.startswith("ec2:") and call.effect for call in calls)
    assert len(calls) <= len(OBSERVATIONS) + 1

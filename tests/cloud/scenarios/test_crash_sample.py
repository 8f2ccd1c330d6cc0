"""A sample of what ``tests/faults`` does in process with every call: here on deployed functions, under enforced IAM.

A call goes wrong while an environment is dealt with. After at most one more sweep all is as it would have been.
"""

import itertools
import json
from collections.abc import Callable, Iterable

import pytest

from localcloud.fleet import Environment, Network, foreign_resources, make_network
from localcloud.installation import HUB, REGION
from localcloud.testing.served import unique
from tests.cloud.scenarios.deployed import SPOKE, Deployed
from tests.support.figures import Figure

ROLES = "/groundcrew-(endpoints|observer|network)-"
KINDS = ("throttle", "drop", "error", "denied")
TRIES = 3  # of one call, by the SDK
CREATION = ("sts:AssumeRole", "ec2:CreateSecurityGroup", "ec2:AuthorizeSecurityGroupIngress", "ec2:CreateVpcEndpoint")
LOOKS = ("airflow:GetEnvironment", "ec2:DescribeSubnets", "ec2:DescribeVpcEndpoints", "ssm:GetParameter")
REMOVAL = ("ec2:RevokeSecurityGroupIngress", "ec2:DeleteVpcEndpoints", "ec2:DeleteSecurityGroup")
Case = tuple[str, str]  # call, kind


def sample(calls: Iterable[str], first: str) -> list[Case]:
    """Each call with one kind, in turn from ``first`` on."""
    start = KINDS.index(first)
    return [(call, KINDS[(start + number) % len(KINDS)]) for number, call in enumerate(calls)]


def whole(calls: Iterable[str]) -> list[Case]:
    """Each call with every kind."""
    return list(itertools.product(calls, KINDS))


PRIVATE = sample((*CREATION, *LOOKS), "throttle")
PUBLIC = sample((*CREATION, "ec2:DescribeRouteTables"), "drop")
CROSS_ACCOUNT = sample((*CREATION, "ec2:DescribeSecurityGroups"), "error")
RECREATION = sample(("ec2:CreateVpcEndpoint", "ec2:DeleteVpcEndpoints") * 2 + LOOKS[:1], "denied")
DELETION = sample(("airflow:ListEnvironments", *REMOVAL, *REMOVAL[:2]), "throttle")
SQS_STATEMENT = whole(("ec2:ModifyVpcEndpoint",)) + sample(("ec2:DescribeVpcEndpoints",), "error")
CASES = (PRIVATE, PUBLIC, CROSS_ACCOUNT, RECREATION, DELETION, SQS_STATEMENT)
AT_MOST = 40


def test_the_sample_is_stratified() -> None:
    assert sum(map(len, CASES)) <= AT_MOST
    for call in (*CREATION, "ec2:DeleteVpcEndpoints", "ec2:ModifyVpcEndpoint"):
        assert len({kind for cases in CASES for one, kind in cases if one == call}) >= len(KINDS) - 1, call


def struck(groundcrew: Deployed, cases: list[Case], start: Callable[[int], None]) -> None:
    """Each case in turn: its fault is set, its work started and ended; the fault has fired."""
    for number, (call, kind) in enumerate(cases):
        times = 1 if kind == "denied" else TRIES
        groundcrew.cloud.add_fault(role=ROLES, action=call, kind=kind, times=times)
        start(number)
        groundcrew.until(lambda: groundcrew.cloud.faults()[0]["fired"], f"{kind} of {call}")
        groundcrew.until_idle()
        groundcrew.cloud.clear_faults()


def pending(groundcrew: Deployed, network: Network, mode: str, cases: list[Case]) -> list[Environment]:
    """An environment for each case, of which Groundcrew does not know yet."""
    environments = [groundcrew.environment(SPOKE, network, mode=mode) for _ in cases]
    for environment in environments:
        groundcrew.until_status(environment, "PENDING")
    return environments


@pytest.mark.parametrize(
    ("where", "mode", "cases"),
    [
        pytest.param("own", "PRIVATE_ONLY", PRIVATE, id="private"),
        pytest.param("own", "PUBLIC_ONLY", PUBLIC, id="public"),
        pytest.param("shared", "PRIVATE_ONLY", CROSS_ACCOUNT, id="cross-account"),
    ],
)
def test_creation(groundcrew: Deployed, figure: Figure, where: str, mode: str, cases: list[Case]) -> None:
    network = groundcrew.shared if where == "shared" else make_network(groundcrew.aws, SPOKE, REGION)
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environments = pending(groundcrew, network, mode, cases)
        before = foreign_resources(groundcrew.aws, (HUB, SPOKE), REGION)
        struck(groundcrew, cases, lambda number: groundcrew.request(environments[number]))
        groundcrew.sweep()
        for environment in environments:
            groundcrew.until_right(environment)
        groundcrew.until_idle()
        assert foreign_resources(groundcrew.aws, (HUB, SPOKE), REGION) == before
    figure("calls that failed on the deployed cloud", len(cases))


def test_recreation(groundcrew: Deployed, figure: Figure) -> None:
    cases = RECREATION
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environments = pending(groundcrew, groundcrew.shared, "PRIVATE_ONLY", cases)
        groundcrew.sweep()
        for environment in environments:
            groundcrew.until_right(environment)
        for environment in environments:
            environment.delete()
        for environment in environments:
            groundcrew.until_status(environment, "DELETED")
        for environment in environments:
            environment.create_again(mode="PUBLIC_ONLY")
        for environment in environments:
            groundcrew.until_status(environment, "PENDING")
        struck(groundcrew, cases, lambda number: groundcrew.request(environments[number]))
        groundcrew.sweep()
        for environment in environments:
            groundcrew.until_right(environment)
    figure("calls that failed on the deployed cloud", len(cases))


def test_deletion(groundcrew: Deployed, figure: Figure) -> None:
    cases = DELETION
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environments = pending(groundcrew, groundcrew.shared, "PUBLIC_ONLY", cases)
        groundcrew.sweep()
        for environment in environments:
            groundcrew.until_right(environment)
        groundcrew.until_idle()
        before = foreign_resources(groundcrew.aws, (HUB, SPOKE), REGION)
        for environment in environments:
            environment.delete()
        for environment in environments:
            groundcrew.until_status(environment, "DELETED")
        struck(groundcrew, cases, lambda number: groundcrew.say_status(environments[number], "DELETED"))
        groundcrew.sweep()
        for environment in environments:
            groundcrew.until_gone(environment)
        groundcrew.until_idle()
        assert foreign_resources(groundcrew.aws, (HUB, SPOKE), REGION) == before
    figure("calls that failed on the deployed cloud", len(cases))


def test_sqs_statement(groundcrew: Deployed, figure: Figure) -> None:
    cases = SQS_STATEMENT
    network = make_network(groundcrew.aws, SPOKE, REGION)
    endpoint_id, theirs = managed_sqs(groundcrew, network)
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environments = pending(groundcrew, network, "PUBLIC_ONLY", cases)
        struck(groundcrew, cases, lambda number: groundcrew.request(environments[number]))
        groundcrew.sweep()
        for environment in environments:
            groundcrew.until_right(environment)
        groundcrew.until_idle()
    ec2 = groundcrew.aws.client("ec2", SPOKE)
    (shown,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint_id])["VpcEndpoints"]
    *others, ours = json.loads(shown["PolicyDocument"])["Statement"]
    assert others == [theirs]
    assert set(ours["Resource"]) == {environment.describe()["CeleryExecutorQueue"] for environment in environments}
    figure("calls that failed on the deployed cloud", len(cases))


def managed_sqs(groundcrew: Deployed, network: Network) -> tuple[str, dict[str, str]]:
    """An SQS endpoint whose owner lets Groundcrew manage its policy, and the statement that is in it already."""
    ec2 = groundcrew.aws.client("ec2", network.account)
    group = ec2.create_security_group(GroupName=unique("sqs"), Description="theirs", VpcId=network.vpc_id)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": f"arn:aws:sqs:{REGION}:{HUB}:mine"}
    tags = [{"Key": "groundcrew:manage", "Value": "policy"}]
    made = ec2.create_vpc_endpoint(
        VpcEndpointType="Interface",
        VpcId=network.vpc_id,
        ServiceName=f"com.amazonaws.{REGION}.sqs",
        SubnetIds=list(network.subnet_ids),
        SecurityGroupIds=[group["GroupId"]],
        PolicyDocument=json.dumps({"Statement": [statement]}),
        TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": tags}],
    )
    return str(made["VpcEndpoint"]["VpcEndpointId"]), statement

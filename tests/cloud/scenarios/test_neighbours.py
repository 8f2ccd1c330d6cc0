"""What belongs to others in the same VPC stays as it is; what is Groundcrew's own is kept as it should be."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from localcloud.fleet import Environment, Network, admissions, make_network
from localcloud.installation import HUB, REGION
from localcloud.testing.served import unique
from tests.cloud.scenarios.deployed import SPOKE, Deployed

SQS = f"com.amazonaws.{REGION}.sqs"
CELERY_ACTIONS = {
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "sqs:ReceiveMessage",
    "sqs:SendMessage",
}
# Somebody's policy, in all the shapes that IAM allows; without a Version.
OTHERS: list[dict[str, Any]] = [
    {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": f"arn:aws:sqs:{REGION}:{HUB}:billing*"},
    {"Effect": "Allow", "Principal": {"AWS": HUB}, "Action": ["sqs:SendMessage"], "NotResource": ["arn:aws:sqs:*:*:x"]},
    {"Sid": "No", "Effect": "Deny", "Principal": "*", "NotAction": "sqs:*", "Resource": "*"},
]


@pytest.fixture
def own_vpc(groundcrew: Deployed) -> Network:
    return make_network(groundcrew.aws, SPOKE, REGION)


def shown(groundcrew: Deployed, network: Network, endpoint_id: str) -> dict[str, Any]:
    ec2 = groundcrew.aws.client("ec2", network.account)
    (found,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint_id])["VpcEndpoints"]
    return dict(found)


def somebodys_endpoint(
    groundcrew: Deployed, network: Network, service: str, *, policy: Any = None, tags: dict[str, str] | None = None
) -> str:
    ec2 = groundcrew.aws.client("ec2", network.account)
    group = ec2.create_security_group(GroupName=unique("theirs"), Description="theirs", VpcId=network.vpc_id)
    ec2.authorize_security_group_ingress(
        GroupId=group["GroupId"], IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
    )
    named = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
    made = ec2.create_vpc_endpoint(
        VpcEndpointType="Interface",
        VpcId=network.vpc_id,
        ServiceName=service,
        SubnetIds=list(network.subnet_ids),
        SecurityGroupIds=[group["GroupId"]],
        **({"PolicyDocument": json.dumps({"Statement": policy})} if policy else {}),
        **({"TagSpecifications": [{"ResourceType": "vpc-endpoint", "Tags": named}]} if named else {}),
    )
    endpoint_id = str(made["VpcEndpoint"]["VpcEndpointId"])
    groundcrew.until(lambda: shown(groundcrew, network, endpoint_id)["State"] == "available", "their endpoint")
    return endpoint_id


def statements(endpoint: dict[str, Any]) -> list[dict[str, Any]]:
    return list(json.loads(endpoint["PolicyDocument"])["Statement"])


def test_somebodys_endpoint_for_the_database_counts_and_is_not_touched(groundcrew: Deployed, own_vpc: Network) -> None:
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environment = groundcrew.environment(SPOKE, own_vpc)
        groundcrew.until_status(environment, "PENDING")
        service = environment.describe()["DatabaseVpcEndpointService"]
        theirs = somebodys_endpoint(groundcrew, own_vpc, service)
        before = shown(groundcrew, own_vpc, theirs)
        groundcrew.sweep()
        groundcrew.until_status(environment, "AVAILABLE")
        groundcrew.until_idle()
    (made,) = environment.endpoints()
    assert made["ServiceName"] == environment.describe()["WebserverVpcEndpointService"]
    assert shown(groundcrew, own_vpc, theirs) == before


def test_somebodys_sqs_policy_is_reported_and_not_touched(groundcrew: Deployed, own_vpc: Network) -> None:
    theirs = somebodys_endpoint(groundcrew, own_vpc, SQS, policy=OTHERS)
    before = shown(groundcrew, own_vpc, theirs)
    environment = groundcrew.environment(SPOKE, own_vpc)
    groundcrew.until_right(environment)
    (finding,) = groundcrew.until_fact("Endpoints Blocked", environment)["detail"]["findings"]
    assert finding["cause"] == "QueueNotAdmitted"
    assert environment.describe()["CeleryExecutorQueue"] in finding["remedy"]
    assert shown(groundcrew, own_vpc, theirs) == before


def test_the_sqs_policy_of_an_owner_who_asked_for_it(groundcrew: Deployed, own_vpc: Network) -> None:
    theirs = somebodys_endpoint(groundcrew, own_vpc, SQS, policy=OTHERS, tags={"groundcrew:manage": "policy"})
    both = [groundcrew.environment(SPOKE, own_vpc), groundcrew.environment(SPOKE, own_vpc)]
    for environment in both:
        groundcrew.until_right(environment)
    groundcrew.until_idle()
    queues = {environment.describe()["CeleryExecutorQueue"] for environment in both}
    *others, ours = statements(shown(groundcrew, own_vpc, theirs))
    assert others == OTHERS
    assert (set(ours["Action"]), set(ours["Resource"])) == (CELERY_ACTIONS, queues)
    first, second = both
    queues.remove(first.describe()["CeleryExecutorQueue"])
    first.delete()
    groundcrew.until_gone(first)
    *others, ours = statements(shown(groundcrew, own_vpc, theirs))
    assert others == OTHERS
    assert set(ours["Resource"]) == queues
    second.delete()
    groundcrew.until_gone(second)
    assert statements(shown(groundcrew, own_vpc, theirs)) == OTHERS
    assert shown(groundcrew, own_vpc, theirs)["State"] == "available"


def test_no_way_to_the_queue_is_reported(groundcrew: Deployed) -> None:
    closed = make_network(groundcrew.aws, SPOKE, REGION, way_out=False)
    environment = groundcrew.environment(SPOKE, closed)
    groundcrew.until_right(environment)
    findings = groundcrew.until_fact("Endpoints Blocked", environment)["detail"]["findings"]
    assert [finding["cause"] for finding in findings] == ["NoWayToQueue"]


Rule = tuple[int, int, list[str], int]


def rules(group: dict[str, Any]) -> list[Rule]:
    """Ports, address ranges, and how many groups, of each rule."""
    return sorted(
        (one["FromPort"], one["ToPort"], [block["CidrIp"] for block in one["IpRanges"]], len(one["UserIdGroupPairs"]))
        for one in group["IpPermissions"]
    )


def test_a_policy_that_makes_an_sqs_endpoint_and_admits_two_ports(groundcrew: Deployed) -> None:
    closed = make_network(groundcrew.aws, SPOKE, REGION, way_out=False)
    ec2 = groundcrew.aws.client("ec2", SPOKE)
    shared = [
        {"Name": "vpc-id", "Values": [closed.vpc_id]},
        {"Name": "tag:groundcrew:purpose", "Values": ["sqs"]},
        {"Name": "tag:groundcrew:stack", "Values": ["*"]},
    ]
    with groundcrew.policy(admit="service-ports", sqs="create") as name:
        environment = groundcrew.environment(SPOKE, closed, tags={"groundcrew:endpoints": name})
        groundcrew.until_status(environment, "AVAILABLE")
        groundcrew.until_idle()
        (own,) = environment.groups()
        assert rules(own) == [(443, 443, [], 1), (5432, 5432, [], 1)]
        assert len(environment.endpoints()) == 2
        (made,) = ec2.describe_vpc_endpoints(Filters=shared)["VpcEndpoints"]
        (group,) = ec2.describe_security_groups(Filters=shared)["SecurityGroups"]
        assert (made["ServiceName"], made["State"], made["PrivateDnsEnabled"]) == (SQS, "available", True)
        assert set(made["SubnetIds"]) == set(closed.subnet_ids)
        assert [one["GroupId"] for one in made["Groups"]] == [group["GroupId"]]
        assert rules(group) == [(443, 443, ["10.20.0.0/16"], 0)]
        assert [one["Action"] for one in statements(made)] == ["*"]  # it serves everybody in the VPC
        environment.delete()
        groundcrew.until_gone(environment)
        groundcrew.until_idle()
    (stayed,) = ec2.describe_vpc_endpoints(Filters=shared)["VpcEndpoints"]
    assert (stayed["VpcEndpointId"], stayed["State"]) == (made["VpcEndpointId"], "available")


def tags(environment: Environment) -> dict[str, dict[str, str]]:
    return {one["VpcEndpointId"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in environment.endpoints()}


def lose_tags(environment: Environment) -> None:
    for one in environment.endpoints():
        environment.owner_ec2.delete_tags(Resources=[one["VpcEndpointId"]], Tags=[{"Key": "groundcrew:purpose"}])


def lose_subnet(environment: Environment) -> None:
    endpoint_id, subnet_id = environment.endpoints()[0]["VpcEndpointId"], environment.network.subnet_ids[0]
    environment.owner_ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, RemoveSubnetIds=[subnet_id])


def lose_endpoint(environment: Environment) -> None:
    environment.owner_ec2.delete_vpc_endpoints(VpcEndpointIds=[environment.endpoints()[0]["VpcEndpointId"]])


def lose_rules(environment: Environment) -> None:
    (group,) = environment.groups()
    environment.owner_ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])


def gain_rule(environment: Environment) -> None:
    (group,) = environment.groups()
    pair = {"GroupId": group["GroupId"]}
    environment.owner_ec2.authorize_security_group_ingress(
        GroupId=group["GroupId"], IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [pair]}]
    )


@pytest.mark.parametrize("harm", [lose_subnet, lose_endpoint, lose_rules, gain_rule])
def test_what_was_changed_by_hand_is_put_right(groundcrew: Deployed, harm: Callable[[Environment], None]) -> None:
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    harm(environment)
    assert environment.faults()
    groundcrew.sweep()
    groundcrew.until_right(environment)
    (group,) = environment.groups()
    assert admissions(group) == {("-1", SPOKE, one) for one in environment.group_ids}


def test_lost_tags_are_set_again(groundcrew: Deployed) -> None:
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    before = tags(environment)
    lose_tags(environment)
    assert tags(environment) != before
    groundcrew.sweep()
    groundcrew.until(lambda: tags(environment) == before, "the tags")

"""The road to AWS: roles, the bus, the queue, parameters, the network."""

from typing import Any
from unittest import mock

import pytest

from groundcrew.aws import bus, parameters
from groundcrew.aws.network import Network, ObservedNetwork
from groundcrew.aws.queue import LARGEST_BATCH, SqsQueue, send
from groundcrew.aws.session import Role, Roles
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import AccessDenied, NotFound, PermanentError, TransientError
from groundcrew.events import Fact
from groundcrew.network import Admission
from localcloud.inprocess.faults import Kind
from tests.faults.scenarios import managed_sqs
from tests.unit.stage import HUB, QUEUE_ARN, REGION, SPOKE, Stage

OBSERVER = Role("observer", SPOKE, REGION)


@pytest.fixture
def roles() -> Roles:
    return Roles("aws", REGION, "groundcrew-test")


# ---------------------------------------------------------------------------------------------------------------- roles
@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_a_role_is_named_after_its_region_in_every_partition(partition: str) -> None:
    arn = Role("network", SPOKE, "eu-west-3").arn(partition)
    assert arn == f"arn:{partition}:iam::222222222222:role/groundcrew/groundcrew-network-eu-west-3"


def test_a_role_is_taken_on_once_for_all_its_clients(stage: Stage, roles: Roles) -> None:
    assert roles.client("ec2", OBSERVER) is roles.client("ec2", OBSERVER)
    roles.client("mwaa", OBSERVER)
    roles.client("ec2", Role("observer", HUB, REGION))
    assert [call.attempt.params["RoleSessionName"] for call in stage.aws.calls("sts:*")] == ["groundcrew-test"] * 2


def test_a_missing_role_says_what_to_deploy_where(stage: Stage, roles: Roles) -> None:
    stage.aws.faults.add(Kind.DENIED, "sts:AssumeRole")
    with pytest.raises(AccessDenied, match="groundcrew-observer-us-east-1 in account 222222222222") as caught:
        roles.client("ec2", OBSERVER)
    assert caught.value.cause == "SpokeRoleUnavailable"
    assert "Deploy spoke/template.yaml in account 222222222222, Region us-east-1" in caught.value.remedy


def test_sts_that_is_busy_is_not_a_missing_role(stage: Stage, roles: Roles) -> None:
    stage.aws.faults.add(Kind.THROTTLED, "sts:AssumeRole")
    with pytest.raises(TransientError):
        roles.client("ec2", OBSERVER)


# ------------------------------------------------------------------------------------------------------------------ bus
@pytest.mark.parametrize(("number", "calls"), [(0, 0), (1, 1), (10, 1), (11, 2), (25, 3)])
def test_facts_go_in_batches_of_ten(stage: Stage, number: int, calls: int) -> None:
    facts = [
        Fact("Endpoints Ready", EnvironmentRef(SPOKE, REGION, f"data-{n}"), {"endpoints": {}}) for n in range(number)
    ]
    bus.announce(facts, bus="groundcrew", region=REGION)
    assert len(stage.aws.calls("events:PutEvents")) == calls
    assert [fact["detail"]["environment"]["name"] for fact in stage.facts()] == [f"data-{n}" for n in range(number)]
    assert {(entry["EventBusName"], entry["Source"]) for entry in stage.aws.events} <= {("groundcrew", "groundcrew")}


def test_a_fact_that_is_not_taken_is_an_error(stage: Stage) -> None:
    def partly(_caller: object, entries: list[Any]) -> dict[str, Any]:
        failed = {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}
        return {"FailedEntryCount": 1, "Entries": [failed, *({"EventId": "1"} for _ in entries[1:])]}

    with mock.patch.object(stage.aws.small, "_put_events", partly), pytest.raises(TransientError) as caught:
        bus.announce([Fact("Endpoints Ready"), Fact("Endpoints Ready")], bus="groundcrew", region=REGION)
    assert (caught.value.what, caught.value.cause) == (
        "1 events were not taken: ThrottlingException",
        "ThrottlingException",
    )


# ---------------------------------------------------------------------------------------------------- queue, parameters
def test_a_message_is_hidden_in_its_own_queue(stage: Stage) -> None:
    SqsQueue().hide(QUEUE_ARN, "handle", 30)
    (asked,) = stage.aws.small.visibilities
    assert asked["QueueUrl"].endswith("/111111111111/groundcrew-endpoints")
    assert (asked["ReceiptHandle"], asked["VisibilityTimeout"]) == ("handle", 30)


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([], []),
        ([1] * 10, [10]),
        ([1] * 25, [10, 10, 5]),
        ([LARGEST_BATCH], [1]),
        ([LARGEST_BATCH, 1], [1, 1]),
        ([LARGEST_BATCH // 2] * 3, [2, 1]),
        ([1, LARGEST_BATCH - 1, 1], [2, 1]),
    ],
)
def test_messages_go_in_batches_that_sqs_takes(stage: Stage, sizes: list[int], batches: list[int]) -> None:
    send("https://sqs/1/orders", ("x" * size for size in sizes), region=REGION)
    calls = stage.aws.calls("sqs:SendMessageBatch")
    assert [len(call.attempt.params["Entries"]) for call in calls] == batches
    assert [len(message["MessageBody"]) for message in stage.aws.small.messages] == sizes


def test_messages_that_are_not_taken_stop_no_others(stage: Stage) -> None:
    real = stage.aws.small._send_batch

    def partly(url: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
        failed = {"Id": "0", "SenderFault": True, "Code": "InvalidMessageContents", "Message": "what is this"}
        return real(url, entries[1:]) | {"Failed": [failed]}

    with mock.patch.object(stage.aws.small, "_send_batch", partly), pytest.raises(TransientError) as caught:
        send("https://sqs/1/orders", ["x"] * 12, region=REGION)
    assert caught.value.what == "2 messages were not taken by orders: InvalidMessageContents"
    assert len(stage.aws.small.messages) == 10


@pytest.mark.parametrize("value", ["", "text", "[]", "1", "null"])
def test_a_parameter_that_holds_no_object_is_invalid(stage: Stage, value: str) -> None:
    stage.aws.parameters["/groundcrew/runs/x"] = value
    with pytest.raises(PermanentError) as caught:
        parameters.document("/groundcrew/runs/x", REGION)
    assert (caught.value.cause, caught.value.remedy) == ("InvalidPolicy", "Correct /groundcrew/runs/x.")


def test_a_parameter_may_be_missing(stage: Stage) -> None:
    assert parameters.document_or_none("/groundcrew/runs/x", REGION) is None
    with pytest.raises(NotFound) as caught:
        parameters.document("/groundcrew/runs/x", REGION)
    assert (caught.value.cause, caught.value.remedy) == (
        "MissingPolicy",
        "Make the parameter /groundcrew/runs/x in the hub.",
    )


@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.THROTTLED], ids=lambda kind: kind.name)
def test_a_parameter_that_cannot_be_read_is_not_missing(stage: Stage, kind: Kind) -> None:
    stage.aws.faults.add(kind, "ssm:*")
    with pytest.raises((AccessDenied, TransientError)):
        parameters.document_or_none("/groundcrew/runs/x", REGION)


# -------------------------------------------------------------------------------------------------------------- network
@pytest.fixture
def hub_network(stage: Stage, roles: Roles) -> Network:
    return Network(roles, HUB, REGION)


@pytest.fixture
def observed(stage: Stage, roles: Roles) -> ObservedNetwork:
    return ObservedNetwork(roles, HUB, REGION)


def test_a_way_out_is_looked_up_in_the_subnets_own_table_then_in_the_main_one(
    stage: Stage, observed: ObservedNetwork
) -> None:
    vpc, (first, second) = stage.vpc(HUB, way_out=False)
    assert observed.subnets_with_a_way_out([first, second], vpc) == set()
    table = stage.aws.network.route_out(vpc, subnets=[first])
    assert observed.subnets_with_a_way_out([first, second], vpc) == {first}
    stage.aws.network.route_tables(REGION)[table]["Routes"][-1]["State"] = "blackhole"
    assert observed.subnets_with_a_way_out([first, second], vpc) == set()
    stage.aws.network.route_out(vpc)
    assert observed.subnets_with_a_way_out([first, second], vpc) == {second}


@pytest.mark.parametrize(
    ("route", "leads_out"),
    [
        ({"NatGatewayId": "nat-1"}, True),
        ({"TransitGatewayId": "tgw-1"}, True),
        ({"NetworkInterfaceId": "eni-1"}, True),
        ({"VpcPeeringConnectionId": "pcx-1"}, True),
        ({"GatewayId": "igw-1"}, True),
        ({"GatewayId": "vgw-1", "DestinationCidrBlock": "172.16.0.0/12"}, True),
        ({"GatewayId": "vpce-1", "DestinationCidrBlock": None, "DestinationPrefixListId": "pl-1"}, False),
        ({"GatewayId": "local"}, False),
        ({"NatGatewayId": "nat-1", "State": "blackhole"}, False),
    ],
)
def test_any_active_route_that_leaves_the_vpc_is_a_way_out(
    stage: Stage, observed: ObservedNetwork, route: dict[str, Any], leads_out: bool
) -> None:
    """Where it leads to, a proxy or a firewall, is for its owner to know."""
    vpc, subnets = stage.vpc(HUB)
    (table,) = stage.aws.network.route_tables(REGION).values()
    given = {"DestinationCidrBlock": "0.0.0.0/0", "State": "active"} | route
    table["Routes"][-1] = {key: value for key, value in given.items() if value is not None}
    assert observed.subnets_with_a_way_out(subnets, vpc) == (set(subnets) if leads_out else set())


def test_whatever_a_group_admits_besides_groups_is_read(
    stage: Stage, hub_network: Network, observed: ObservedNetwork
) -> None:
    vpc, _ = stage.vpc(HUB)
    group, other = (stage.aws.security_group(HUB, vpc, name) for name in ("ours", "other"))
    hub_network.admit(group, [Admission(HUB, other)])
    (found,) = observed.groups_by_id([group])
    assert found.admissions == {Admission(HUB, other)}
    assert not found.ranges
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    for sources in (
        {"IpRanges": [{"CidrIp": "10.0.0.0/16"}, {"CidrIp": "10.1.0.0/16"}]},
        {"Ipv6Ranges": [{"CidrIpv6": "2001:db8::/56"}]},
        {"PrefixListIds": [{"PrefixListId": "pl-1"}]},
    ):
        permission: Any = rule | sources
        stage.aws.ec2.call(
            "AuthorizeSecurityGroupIngress", stage.spoke(HUB), {"GroupId": group, "IpPermissions": [permission]}
        )
    (found,) = observed.groups_by_id([group])
    assert found.admissions == {Admission(HUB, other)}
    assert found.ranges == {"10.0.0.0/16", "10.1.0.0/16", "2001:db8::/56", "pl-1"}


def test_a_policy_is_read_as_it_is_now(stage: Stage, observed: ObservedNetwork) -> None:
    managed_sqs(stage)
    (endpoint,) = stage.aws.endpoints()
    assert observed.policy(endpoint.endpoint_id) == endpoint.policy
    with pytest.raises(NotFound):
        observed.policy("vpce-0123456789abcdef0")


def test_a_rule_that_somebody_added_meanwhile_is_looked_at_again(stage: Stage, hub_network: Network) -> None:
    vpc, _ = stage.vpc(HUB)
    group, other = (stage.aws.security_group(HUB, vpc, name) for name in ("ours", "other"))
    hub_network.admit(group, [Admission(HUB, other)])
    with pytest.raises(TransientError, match="meanwhile"):
        hub_network.admit(group, [Admission(HUB, other)])


def test_a_rule_that_is_gone_already_is_looked_at_again(stage: Stage, hub_network: Network) -> None:
    vpc, _ = stage.vpc(HUB)
    group = stage.aws.security_group(HUB, vpc, "ours")
    with pytest.raises(TransientError, match="meanwhile"):
        hub_network.revoke(group, [Admission(HUB, group)])


def test_ranges_are_let_in_once(stage: Stage, hub_network: Network) -> None:
    vpc, _ = stage.vpc(HUB)
    group = stage.aws.security_group(HUB, vpc, "ours")
    hub_network.admit_ranges(group, ["10.0.0.0/16"], 443)
    hub_network.admit_ranges(group, ["10.1.0.0/16", "10.0.0.0/16"], 443)
    (found,) = [item for item in stage.aws.groups(HUB) if item.group_id == group]
    assert [rule.source for rule in found.rules if not rule.egress] == ["10.0.0.0/16", "10.1.0.0/16"]


def test_deleting_what_is_gone_is_no_error(stage: Stage, hub_network: Network) -> None:
    hub_network.delete_endpoints(["vpce-0123456789abcdef0"])
    assert hub_network.delete_group("sg-0123456789abcdef0")


def test_a_group_in_use_is_not_deleted_and_that_is_no_error(stage: Stage, hub_network: Network) -> None:
    vpc, _ = stage.vpc(HUB)
    used, user = (stage.aws.security_group(HUB, vpc, name) for name in ("used", "user"))
    hub_network.admit(user, [Admission(HUB, used)])
    assert not hub_network.delete_group(used)


def test_an_endpoint_that_aws_keeps_is_an_error(stage: Stage, hub_network: Network) -> None:
    environment = stage.environment(stage.vpc(HUB)[1], HUB, management="SERVICE")
    stage.pass_time(60)
    with pytest.raises(PermanentError) as caught:
        hub_network.delete_endpoints(environment.managed)
    assert caught.value.cause == "OperationNotPermitted"


def test_another_refusal_to_delete_a_group_is_an_error(stage: Stage, hub_network: Network) -> None:
    vpc, _ = stage.vpc(HUB)
    (default,) = [group for group in stage.aws.groups(HUB) if group.vpc_id == vpc]
    with pytest.raises(PermanentError) as caught:
        hub_network.delete_group(default.group_id)
    assert caught.value.cause == "CannotDelete"

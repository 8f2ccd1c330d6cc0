"""Networks: read as the observer, changed as the network role."""

from typing import Any

import pytest

from groundcrew.aws.network import Network, ObservedNetwork
from groundcrew.aws.session import Roles
from groundcrew.errors import AlreadyExists, NotFound, PermanentError, TransientError
from groundcrew.network import Admission, AdmittedRange
from tests.faults.scenarios import managed_sqs
from tests.support.stage import HUB, REGION, Stage
from tests.support.worlds import World


@pytest.fixture
def hub_network(roles: Roles) -> Network:
    return Network(roles, HUB, REGION)


@pytest.fixture
def observed(roles: Roles) -> ObservedNetwork:
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
    admitted = {"10.0.0.0/16", "10.1.0.0/16", "2001:db8::/56", "pl-1"}
    assert found.ranges == {AdmittedRange(source, "tcp", 443, 443) for source in admitted}
    assert not any(one.ours for one in found.ranges)


def test_a_policy_is_read_as_it_is_now(stage: Stage, observed: ObservedNetwork) -> None:
    managed_sqs(stage)
    (endpoint,) = stage.aws.endpoints()
    assert observed.policy(endpoint.endpoint_id) == endpoint.policy
    with pytest.raises(NotFound):
        observed.policy("vpce-0123456789abcdef0")


def test_a_rule_that_somebody_added_meanwhile_is_looked_at_again(world: World, hub_network: Network) -> None:
    vpc = world.vpc(HUB)
    group, other = (world.group(HUB, vpc, name) for name in ("ours", "other"))
    hub_network.admit(group, [Admission(HUB, other)])
    with pytest.raises(TransientError, match="meanwhile"):
        hub_network.admit(group, [Admission(HUB, other)])


def test_a_rule_that_is_gone_already_is_looked_at_again(world: World, hub_network: Network) -> None:
    vpc = world.vpc(HUB)
    group = world.group(HUB, vpc, "ours")
    with pytest.raises(TransientError, match="meanwhile"):
        hub_network.revoke(group, [Admission(HUB, group)])


def test_ranges_are_let_in_once(world: World, hub_network: Network, observed: ObservedNetwork) -> None:
    vpc = world.vpc(HUB)
    group = world.group(HUB, vpc, "ours")
    ranges = [AdmittedRange(block, "tcp", 443, 443) for block in ("10.0.0.0/16", "10.1.0.0/16", "2001:db8::/56")]
    hub_network.admit_ranges(group, ranges[:1])
    hub_network.admit_ranges(group, ranges)
    (found,) = observed.groups_by_id([group])
    assert found.ranges == set(ranges)
    assert all(admitted.ours for admitted in found.ranges)
    hub_network.revoke(group, [], ranges[1:])
    (found,) = observed.groups_by_id([group])
    assert found.ranges == set(ranges[:1])


def test_a_group_is_made_once_and_found_by_name_and_by_tag(
    world: World, hub_network: Network, observed: ObservedNetwork
) -> None:
    vpc, tags = world.vpc(HUB), {"groundcrew:stack": "111111111111/us-east-1/groundcrew"}
    group = hub_network.create_group("ours", "of a test", vpc, tags)
    with pytest.raises(AlreadyExists):
        hub_network.create_group("ours", "of a test", vpc, tags)
    for (found,) in (observed.groups_by_name("ours", vpc), observed.groups(tags), observed.groups_by_id([group])):
        assert (found.id, found.owner, found.tags) == (group, HUB, {**tags, "Name": "ours"})
    assert hub_network.delete_group(group)
    assert observed.groups(tags) == []


def test_deleting_what_is_gone_is_no_error(world: World, hub_network: Network) -> None:
    hub_network.delete_endpoints(["vpce-0123456789abcdef0"])
    assert hub_network.delete_group("sg-0123456789abcdef0")


def test_a_group_in_use_is_not_deleted_and_that_is_no_error(stage: Stage, hub_network: Network) -> None:
    """moto deletes it. https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSecurityGroup.html"""
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

"""Endpoints get the addresses that the environment's subnets have."""

import pytest

from endpoints.families import with_address_type
from endpoints.plan import CreateEndpoint, DeleteGroup
from groundcrew.network import Subnet
from localcloud.inprocess.faults import Kind
from tests.support.endpoints.stories import DATABASE, HUB, MINE, SQS, VPC
from tests.support.stage import DEFAULT_POLICY, SPOKE, Stage, status_event

IPV4 = Subnet("subnet-a", VPC, HUB, frozenset({"10.0.0.0/24"}))
IPV6 = Subnet("subnet-b", VPC, HUB, frozenset({"2001:db8::/64"}))
BOTH = Subnet("subnet-c", VPC, HUB, frozenset({"10.0.2.0/24", "2001:db8:0:2::/64"}))
ENDPOINT = CreateEndpoint("r", "database", DATABASE, VPC, ("subnet-a",), "sg-1", None, MINE)
ASKS = "ec2:DescribeVpcEndpointServices"


@pytest.mark.parametrize(
    ("subnets", "dual_stack", "address_type"),
    [
        ([], {DATABASE}, None),
        ([IPV4, IPV4], {DATABASE}, None),
        ([IPV4, BOTH], {DATABASE}, None),
        ([BOTH, BOTH], set(), None),
        ([BOTH, BOTH], {SQS}, None),
        ([BOTH, BOTH], {DATABASE}, "dualstack"),
        ([IPV6, IPV6], set(), "ipv6"),
        ([IPV6, BOTH], {DATABASE}, None),
    ],
)
def test_the_type_follows_all_the_subnets(
    subnets: list[Subnet], dual_stack: set[str], address_type: str | None
) -> None:
    found = with_address_type(ENDPOINT, subnets, frozenset(dual_stack))
    assert isinstance(found, CreateEndpoint)
    assert found.address_type == address_type


def test_other_actions_stay_as_they_are() -> None:
    assert with_address_type(DeleteGroup("r", "sg-1"), [IPV6], frozenset()) == DeleteGroup("r", "sg-1")


@pytest.mark.parametrize(
    ("addresses", "accepted", "address_type", "asked"),
    [
        ("ipv4", ("ipv4", "ipv6"), "ipv4", 0),
        ("dualstack", ("ipv4", "ipv6"), "dualstack", 1),
        ("dualstack", ("ipv4",), "ipv4", 1),
        ("ipv6", ("ipv4", "ipv6"), "ipv6", 0),
    ],
)
def test_an_environment_gets_endpoints_of_its_subnets_type(
    stage: Stage, addresses: str, accepted: tuple[str, ...], address_type: str, asked: int
) -> None:
    stage.aws.switches["vpce.address_types"] = accepted
    environment = stage.environment(stage.vpc(HUB, SPOKE, addresses=addresses)[1])
    stage.work(status_event(environment))
    stage.pass_time(5)
    assert environment.status == "AVAILABLE"
    assert [endpoint.address_type for endpoint in stage.aws.endpoints()] == [address_type] * 2
    assert len(stage.aws.calls(ASKS)) == asked
    assert stage.changes(stage.heal) == []
    assert len(stage.aws.calls(ASKS)) == asked


def test_an_observer_that_may_not_ask_makes_ipv4_endpoints(stage: Stage) -> None:
    """That of a spoke stack which was deployed before Groundcrew asked."""
    stage.aws.switches["vpce.address_types"] = ("ipv4", "ipv6")
    environment = stage.environment(stage.vpc(HUB, SPOKE, addresses="dualstack")[1])
    stage.aws.faults.add(Kind.DENIED, ASKS, nth=None)
    stage.work(status_event(environment))
    assert {endpoint.address_type for endpoint in stage.aws.endpoints()} == {"ipv4"}


def test_services_that_do_not_accept_ipv6_are_a_finding(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE, addresses="ipv6")[1])
    stage.work(status_event(environment))
    assert set(stage.causes()) == {"InvalidParameter"}


def test_the_sqs_endpoint_of_a_dual_stack_vpc_stays_ipv4(stage: Stage) -> None:
    stage.aws.switches["vpce.address_types"] = ("ipv4", "ipv6")
    stage.aws.parameters[DEFAULT_POLICY] = '{"sqs": "create"}'
    subnets = stage.vpc(HUB, SPOKE, way_out=False, addresses="dualstack")[1]
    stage.work(status_event(stage.environment(subnets, access="PUBLIC_ONLY")))
    found = {endpoint.service.endswith(".sqs"): endpoint.address_type for endpoint in stage.aws.endpoints()}
    assert found == {True: "ipv4", False: "dualstack"}


def test_both_families_of_a_participants_subnets_are_admitted_instead_of_its_groups(stage: Stage) -> None:
    stage.aws.switches.update({"vpce.address_types": ("ipv4", "ipv6"), "sg.cross_account_reference": "never"})
    environment = stage.environment(stage.vpc(HUB, SPOKE, addresses="dualstack")[1])
    stage.work(status_event(environment))
    stage.pass_time(5)
    assert environment.status == "AVAILABLE"
    assert stage.changes(stage.heal) == []

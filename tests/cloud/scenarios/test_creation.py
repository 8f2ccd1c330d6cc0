"""Environments that wait in PENDING get exactly the endpoints they need, wherever their VPC is."""

from typing import Any

import pytest

from localcloud.fleet import admissions, make_network
from localcloud.installation import HUB, REGION
from tests.cloud.scenarios.deployed import OTHER, SECOND_REGION, SPOKE, Deployed
from tests.support.figures import Figure


@pytest.mark.parametrize(
    ("account", "mode", "endpoints"),
    [
        (SPOKE, "PRIVATE_ONLY", 2),
        (OTHER, "PUBLIC_ONLY", 1),
        (SPOKE, "PUBLIC_AND_PRIVATE", 2),
        (HUB, "PRIVATE_ONLY", 2),
    ],
)
def test_in_the_shared_vpc(groundcrew: Deployed, figure: Figure, account: str, mode: str, endpoints: int) -> None:
    environment = groundcrew.environment(account, mode=mode)
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    assert len(environment.endpoints()) == endpoints
    assert {one["OwnerId"] for one in environment.endpoints()} == {HUB}
    # Two of its events may be worked on at once; then some calls are made twice, in vain. One job: test_calls.py.
    figure(f"AWS calls for all events of a creation, {mode} in {account}", len(groundcrew.calls(environment)))


@pytest.mark.path
def test_in_its_own_accounts_vpc(groundcrew: Deployed) -> None:
    environment = groundcrew.environment(SPOKE, make_network(groundcrew.aws, SPOKE, REGION))
    groundcrew.until_right(environment)
    assert {one["OwnerId"] for one in environment.endpoints()} == {SPOKE}


def test_in_another_region(groundcrew: Deployed) -> None:
    environment = groundcrew.environment(OTHER, make_network(groundcrew.aws, OTHER, SECOND_REGION))
    groundcrew.until_right(environment)
    assert environment.endpoints()


def test_several_groups_of_another_account_are_admitted(groundcrew: Deployed) -> None:
    environment = groundcrew.environment(SPOKE, groups=3)
    groundcrew.until_right(environment)
    (group,) = environment.groups()
    assert group["OwnerId"] == HUB
    assert admissions(group) == {("-1", SPOKE, one) for one in environment.group_ids}


def test_two_environments_in_one_vpc_do_not_share_anything(groundcrew: Deployed) -> None:
    both = [groundcrew.environment(SPOKE), groundcrew.environment(OTHER)]
    for environment in both:
        groundcrew.until_right(environment)
    groups = [group["GroupId"] for environment in both for group in environment.groups()]
    assert len(set(groups)) == 2


def test_a_web_server_service_that_is_late(groundcrew: Deployed) -> None:
    with groundcrew.switched(**{"mwaa_webserver_service_delay_seconds": 600.0}):
        environment = groundcrew.environment()
        groundcrew.until(environment.endpoints, "the database's endpoint")
        assert environment.describe().get("WebserverVpcEndpointService") is None
    groundcrew.until_right(environment)  # nothing tells of it: the job looks again


def test_a_participants_groups_cannot_be_named(groundcrew: Deployed) -> None:
    with groundcrew.switched(sg_cross_account_reference="never"):
        environment = groundcrew.environment()
        groundcrew.until_status(environment, "AVAILABLE")
        groundcrew.until_idle()
        since = groundcrew.cloud.next_call()
        groundcrew.sweep()
        groundcrew.until_idle()
        changes = groundcrew.cloud.calls(since, role="groundcrew-network")
        assert changes == []
    (group,) = environment.groups()
    (rule,) = group["IpPermissions"]
    assert (rule["IpProtocol"], rule["UserIdGroupPairs"]) == ("-1", [])
    subnets = environment.owner_ec2.describe_subnets(SubnetIds=list(environment.network.subnet_ids))["Subnets"]
    assert {one["CidrIp"] for one in rule["IpRanges"]} == {subnet["CidrBlock"] for subnet in subnets}
    assert groundcrew.facts("Endpoints Blocked", environment) == []


def test_making_an_endpoint_depends_on_looking_at_what_it_names(groundcrew: Deployed) -> None:
    with groundcrew.switched(ec2_dependent_actions=True):
        environment = groundcrew.environment()
        groundcrew.until_right(environment)
    assert groundcrew.facts("Endpoints Blocked", environment) == []


def test_iam_does_not_know_the_tags_of_a_new_group_yet(groundcrew: Deployed) -> None:
    """https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html"""
    with groundcrew.switched(mwaa_event_delivery="drop", ec2_first_call_untagged_seconds=60.0):
        environment = groundcrew.environment()
        groundcrew.until_status(environment, "PENDING")
        since = groundcrew.cloud.next_call()
        groundcrew.sweep()
        groundcrew.until_right(environment)
        assert groundcrew.denied("ec2:AuthorizeSecurityGroupIngress", "groundcrew-network", since)
    assert groundcrew.facts("Endpoints Blocked", environment) == []


@pytest.mark.parametrize("shape", ["lowerCamel", "UpperCamel", "minimal"])
def test_whatever_the_events_detail_looks_like(groundcrew: Deployed, shape: str) -> None:
    with groundcrew.switched(mwaa_event_detail=shape):
        environment = groundcrew.environment()
        groundcrew.until_right(environment)


def test_its_endpoints_are_announced(groundcrew: Deployed) -> None:
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    announced: dict[str, Any] = groundcrew.until_fact("Endpoints Ready", environment)["detail"]["endpoints"]
    assert set(announced) == {"database", "webserver"}
    assert set(announced.values()) == {one["VpcEndpointId"] for one in environment.endpoints()}


def test_endpoints_that_mwaa_makes_itself_are_left_to_it(groundcrew: Deployed) -> None:
    network = make_network(groundcrew.aws, SPOKE, REGION)
    environment = groundcrew.environment(SPOKE, network, management="SERVICE")
    groundcrew.until_status(environment, "AVAILABLE")
    groundcrew.sweep()
    groundcrew.until_idle()
    assert environment.endpoints() == environment.groups() == []
    assert not [call for call in groundcrew.calls(environment) if call.startswith("ec2:")]
    environment.delete()
    groundcrew.until_status(environment, "DELETED")
    groundcrew.cloud.advance(5)  # MWAA's endpoints hold the environment's group while they are being deleted

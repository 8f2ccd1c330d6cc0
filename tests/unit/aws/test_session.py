"""Roles of the spokes, as functions take them on."""

import pytest

from groundcrew.aws.session import Role, Roles
from groundcrew.errors import AccessDenied, TransientError
from localcloud.inprocess.faults import Kind
from tests.support.stage import HUB, REGION, SPOKE, Stage

OBSERVER = Role("observer", SPOKE, REGION)


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

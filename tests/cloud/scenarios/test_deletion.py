"""What was made for an environment goes with it, and nothing else does."""

import json

import pytest

from localcloud.fleet import Environment
from tests.cloud.scenarios.deployed import OTHER, Deployed


def services(environment: Environment) -> set[str]:
    return {one["ServiceName"] for one in environment.endpoints()}


@pytest.mark.path
def test_deleted(groundcrew: Deployed) -> None:
    environment, other = groundcrew.environment(), groundcrew.environment(OTHER)
    for one in (environment, other):
        groundcrew.until_right(one)
    environment.delete()
    groundcrew.until_gone(environment)
    assert other.faults() == []


def test_the_participants_groups_are_free_as_soon_as_the_environment_is_gone(groundcrew: Deployed) -> None:
    """Or the delete of the participant's stack would hang: references go before the endpoints do."""
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    with groundcrew.switched(vpce_deleting_seconds=600.0):
        environment.delete()
        groundcrew.until_status(environment, "DELETED")
        groundcrew.until(lambda: not environment.groups()[0]["IpPermissions"], "the references revoked")
        assert environment.endpoints()
        groundcrew.release(environment)
    groundcrew.cloud.advance(600)


def test_deleted_while_it_waits(groundcrew: Deployed) -> None:
    with groundcrew.switched(vpce_pending_seconds=600.0):
        environment = groundcrew.environment()
        groundcrew.until_status(environment, "PENDING")
        groundcrew.until(lambda: len(environment.endpoints()) == 2, "two endpoints")
        environment.delete()
        groundcrew.until_gone(environment)


def test_created_again_under_the_same_name(groundcrew: Deployed) -> None:
    """Its services are others: the old endpoints go, new ones come; no event told of the deletion."""
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    before = services(environment)
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environment.delete()
        groundcrew.until_status(environment, "DELETED")
    environment.create_again()
    groundcrew.until_right(environment)
    assert not services(environment) & before


def test_created_again_before_the_deletion_was_dealt_with(groundcrew: Deployed) -> None:
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    before = services(environment)
    environment.delete()
    groundcrew.until_status(environment, "DELETED")
    environment.create_again(mode="PUBLIC_ONLY")
    groundcrew.until_right(environment)
    assert not services(environment) & before


def test_not_taken_away_while_the_account_cannot_be_asked(groundcrew: Deployed) -> None:
    """AccessDenied proves nothing: an environment that cannot be seen may well run."""
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    with groundcrew.distrusted("groundcrew-observer-us-east-1", environment.account):
        groundcrew.sweep()
        event = {
            "Source": "aws.airflow",
            "DetailType": "MWAA Environment Status Change",
            "Resources": [environment.arn],
            "Detail": json.dumps({"name": environment.name, "status": "DELETED"}),
        }
        groundcrew.cloud.put_aws_event(environment.account, environment.region, event)
        groundcrew.until_fact("Endpoints Blocked", environment)
        groundcrew.until_idle()
    assert environment.faults() == []

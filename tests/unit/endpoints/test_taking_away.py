"""What is taken away while an environment lives: what is ours and of no use, and only when that is certain."""

import pytest

from endpoints.plan import CorrectEndpoint, DeleteEndpoints, DeleteGroup
from endpoints.planner import RUNNING, SETTLED
from groundcrew.network import Admission
from tests.support.endpoints.stories import (
    ARN,
    BORN,
    EARLIER,
    LATER,
    OWNER,
    endpoint,
    every,
    group,
    kinds,
    plan,
    whole,
)

FORMER = "com.amazonaws.vpce.us-east-1.vpce-svc-former"
OLD = endpoint("database", id="vpce-old", service=FORMER, created_at=EARLIER)
UNSETTLED = ["UPDATING", "UNAVAILABLE", "MAINTENANCE", "ROLLING_BACK", "CREATING_SNAPSHOT"]


@pytest.mark.parametrize("status", sorted(SETTLED))
def test_endpoints_of_a_previous_life_of_the_name_go(status: str) -> None:
    found = plan(*whole(), OLD, status=status)
    assert found.actions == (DeleteEndpoints("endpoints of ours serve nothing any more", ("vpce-old",)),)


def test_the_same_name_with_other_services_gets_new_endpoints_first() -> None:
    assert kinds(plan(OLD, group())) == ["CreateEndpoint", "CreateEndpoint"]


@pytest.mark.parametrize("state", ["pending", "pendingacceptance"])
def test_what_still_works_goes_only_when_all_that_takes_its_place_serves(state: str) -> None:
    assert plan(endpoint("database", state=state), endpoint("webserver"), group(), OLD).actions == ()


@pytest.mark.parametrize("made", [BORN, LATER, None])
def test_an_endpoint_that_is_not_older_than_a_waiting_environment_stays(made: object) -> None:
    assert plan(*whole(), endpoint("database", id="vpce-old", service=FORMER, created_at=made)).actions == ()


def test_nothing_is_older_than_an_environment_of_unknown_age() -> None:
    assert plan(*whole(), OLD, created_at=None).actions == ()


@pytest.mark.parametrize("status", sorted(RUNNING))
def test_a_running_environment_keeps_only_what_it_uses(status: str) -> None:
    newer = endpoint("database", id="vpce-old", service=FORMER, created_at=LATER)
    assert kinds(plan(*whole(), newer, status=status)) == ["DeleteEndpoints"]


def test_the_webserver_endpoint_goes_when_the_environment_has_become_public() -> None:
    found = plan(*whole(), status="AVAILABLE", webserver_access_mode="PUBLIC_ONLY", webserver_service=None)
    assert found.actions == (DeleteEndpoints("endpoints of ours serve nothing any more", ("vpce-webserver",)),)


def test_the_webserver_endpoint_stays_when_mwaa_only_does_not_name_its_service() -> None:
    found = plan(*whole(), status="AVAILABLE", webserver_access_mode="PUBLIC_AND_PRIVATE", webserver_service=None)
    assert found.actions == ()


@pytest.mark.parametrize("state", ["failed", "rejected", "expired"])
def test_broken_endpoints_of_ours_go(state: str) -> None:
    found = plan(endpoint("database", state=state), endpoint("webserver"), group())
    assert kinds(found) == ["CreateEndpoint", "DeleteEndpoints"]
    assert every(found, DeleteEndpoints) == [
        DeleteEndpoints("endpoints of ours have failed, were rejected or expired", ("vpce-database",))
    ]


def test_endpoints_that_are_going_are_not_deleted_again() -> None:
    assert plan(*whole(), endpoint("database", id="vpce-old", state="deleting")).actions == ()


def test_the_sqs_endpoint_of_ours_stays() -> None:
    assert plan(*whole(), endpoint("sqs", private_dns=True), status="AVAILABLE").actions == ()


def test_the_group_in_a_vpc_that_the_environment_has_left_goes_when_nothing_uses_it() -> None:
    left = group(id="sg-left", vpc_id="vpc-2")
    found = plan(*whole(), left)
    assert found.actions == (DeleteGroup("the environment is not in the VPC of this group any more", "sg-left"),)
    using = endpoint("database", id="vpce-old", vpc_id="vpc-2", state="deleting", group_ids=frozenset({"sg-left"}))
    assert every(plan(*whole(), left, using), DeleteGroup) == []


def test_what_is_ours_for_another_environment_stays() -> None:
    others = endpoint("database", id="vpce-other", state="failed", tags=OWNER.tags(ARN + "-2", "database"))
    assert plan(*whole(), others, status="AVAILABLE").actions == ()


@pytest.mark.parametrize("status", UNSETTLED)
def test_nothing_is_taken_away_while_mwaa_changes_the_environment(status: str) -> None:
    extended = group(admissions=group().admissions | {Admission("222222222222", "sg-old")})
    wrong = endpoint("webserver", subnet_ids=frozenset({"subnet-a", "subnet-c"}), group_ids=frozenset({"sg-x"}))
    found = plan(
        endpoint("database"),
        wrong,
        extended,
        OLD,
        endpoint("database", id="vpce-failed", state="failed"),
        group(id="sg-left", vpc_id="vpc-2"),
        status=status,
    )
    assert not {"DeleteEndpoints", "DeleteGroup", "Revoke"} & set(kinds(found))
    (correction,) = every(found, CorrectEndpoint)
    assert (correction.add_subnet_ids, correction.remove_subnet_ids) == (("subnet-b",), ())
    assert (correction.add_group_ids, correction.remove_group_ids) == (("sg-ours",), ())


@pytest.mark.parametrize("status", UNSETTLED)
def test_what_is_missing_is_made_even_while_mwaa_changes_the_environment(status: str) -> None:
    assert kinds(plan(status=status)) == ["CreateGroup", "Admit", "CreateEndpoint", "CreateEndpoint"]

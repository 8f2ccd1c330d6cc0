"""Endpoints that somebody else made: they count as existing, are reported if they are wrong, and are never changed."""

from typing import Any

import pytest

from endpoints.plan import DeleteEndpoints
from groundcrew.network import Admission, AdmittedRange, SecurityGroup
from tests.support.endpoints.stories import (
    HUB,
    OWNER,
    SPOKE,
    VPC,
    causes,
    endpoint,
    every,
    foreign,
    group,
    kinds,
    plan,
    touched,
)

WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("wrong state", {"state": "partial"}, "EndpointNotAvailable", "is partial"),
    ("missing subnet", {"subnet_ids": frozenset({"subnet-a", "subnet-x"})}, "WrongSubnets", "is not in subnet-b"),
    ("missing subnets", {"subnet_ids": frozenset()}, "WrongSubnets", "is not in subnet-a, subnet-b"),
]


def their_group(*admissions: Admission) -> SecurityGroup:
    return SecurityGroup("sg-theirs", "theirs", VPC, HUB, frozenset(admissions))


ADMITTING = their_group(Admission(SPOKE, "sg-env"))


def test_a_right_one_counts_and_needs_nothing_from_us() -> None:
    found = plan(foreign("database"), foreign("webserver"), theirs=(ADMITTING,))
    assert (found.actions, found.findings, found.ready) == ((), (), True)


def test_one_that_is_still_pending_is_waited_for() -> None:
    found = plan(foreign("database", state="pending"), foreign("webserver"), theirs=(ADMITTING,))
    assert (found.actions, found.findings, found.wait) == ((), (), True)


@pytest.mark.parametrize(("wrong", "cause", "what"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_wrong_one_is_reported_and_never_changed(wrong: dict[str, Any], cause: str, what: str) -> None:
    found = plan(foreign("database", **wrong), foreign("webserver"), theirs=(ADMITTING,))
    assert found.actions == ()
    (finding,) = found.findings
    assert finding.cause == cause
    assert finding.evidence.endswith(f"which Groundcrew did not make, {what}")
    assert finding.remedy == "Correct vpce-their-database, or delete it: Groundcrew then makes one."


@pytest.mark.parametrize(
    ("rules", "admits"),
    [
        ([Admission(SPOKE, "sg-env")], True),
        ([Admission(SPOKE, "sg-env", "tcp", 5432, 5432), Admission(SPOKE, "sg-env", "tcp", 443, 443)], True),
        ([Admission(SPOKE, "sg-env", "tcp", 0, 65535)], True),
        ([Admission(SPOKE, "sg-env", "tcp", 443, 443)], False),
        ([Admission(SPOKE, "sg-env", "udp", 0, 65535)], False),
        ([Admission(HUB, "sg-env")], False),
        ([Admission(SPOKE, "sg-other")], False),
        ([], False),
    ],
)
def test_one_behind_a_group_that_does_not_admit_the_environment_is_reported(
    rules: list[Admission], admits: bool
) -> None:
    found = plan(foreign("database"), endpoint("webserver"), group(), theirs=(their_group(*rules),))
    assert found.actions == ()
    assert [
        finding.evidence.endswith("has no group that admits the environment's groups") for finding in found.findings
    ] == ([] if admits else [True])


def test_a_group_that_admits_address_ranges_is_given_the_benefit_of_the_doubt() -> None:
    ranges = SecurityGroup("sg-theirs", "theirs", VPC, HUB, ranges=frozenset({AdmittedRange("10.0.0.0/16")}))
    found = plan(foreign("database"), endpoint("webserver"), group(), theirs=(ranges,))
    assert (found.actions, found.findings) == ((), ())


def test_every_group_of_the_environment_must_be_admitted() -> None:
    found = plan(
        foreign("database"), endpoint("webserver"), group(), theirs=(ADMITTING,), security_group_ids=("sg-env", "sg-2")
    )
    assert causes(found) == ["GroupDoesNotAdmit"]
    assert kinds(found) == ["Admit"]


def test_a_group_that_the_endpoint_does_not_use_does_not_help() -> None:
    elsewhere = SecurityGroup("sg-else", "else", VPC, HUB, ADMITTING.admissions)
    found = plan(foreign("database"), endpoint("webserver"), group(), theirs=(elsewhere,))
    assert causes(found) == ["GroupDoesNotAdmit"]


@pytest.mark.parametrize("state", ["failed", "rejected", "expired"])
def test_a_dead_one_is_replaced_by_ours_and_left_where_it_is(state: str) -> None:
    found = plan(foreign("database", state=state), endpoint("webserver"), group())
    assert kinds(found) == ["CreateEndpoint"]


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param({}, id="no tags"),
        pytest.param(
            OWNER.tags("arn:aws:airflow:us-east-1:222222222222:environment/other", "database"), id="another's"
        ),
        pytest.param(
            OWNER.tags("arn:aws:airflow:us-east-1:222222222222:environment/data", "database")
            | {"groundcrew:stack": "111111111111/us-east-1/other"},
            id="another stack's",
        ),
    ],
)
@pytest.mark.parametrize("status", ["PENDING", "AVAILABLE", "UPDATING"])
@pytest.mark.parametrize("state", ["available", "failed", "rejected"])
def test_without_both_of_our_tags_nothing_is_ever_changed(tags: dict[str, str], status: str, state: str) -> None:
    theirs = foreign("database", state=state, tags=tags, subnet_ids=frozenset({"subnet-x"}))
    found = plan(theirs, endpoint("webserver"), group(), status=status)
    assert theirs.id not in touched(found.actions)


def test_ours_is_preferred_to_somebody_elses_and_the_oldest_of_several() -> None:
    found = plan(
        foreign("database", id="vpce-0"),
        endpoint("database"),
        endpoint("database", id="vpce-zz"),
        endpoint("webserver"),
        group(),
    )
    assert found.serving["database"] == "vpce-database"
    assert every(found, DeleteEndpoints) == []


def test_a_doubled_one_of_ours_goes_when_the_environment_runs() -> None:
    found = plan(
        endpoint("database"), endpoint("database", id="vpce-zz"), endpoint("webserver"), group(), status="AVAILABLE"
    )
    assert found.actions == (DeleteEndpoints("endpoints of ours serve nothing any more", ("vpce-zz",)),)

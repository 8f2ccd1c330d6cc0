"""How long an environment has been PENDING, how bad that is, and what is said of it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from endpoints import watch
from endpoints.plan import CreateEndpoint, DeleteEndpoints
from endpoints.planner import MWAA_WAITS
from fleet.survey import Seen, longest_pending
from groundcrew.places import Place
from localcloud.inprocess.faults import Kind
from tests.support.endpoints.stories import (
    BORN,
    SPOKE,
    causes,
    endpoint,
    environment,
    foreign,
    group,
    kinds,
    plan,
    sqs_endpoint,
    whole,
)
from tests.support.stage import HUB, REGION, Stage, status_event

HOUR = 3600.0
ALWAYS = ("SpokeRoleUnavailable", "SubnetsNotShared")
QUEUE = ("NoWayToQueue", "QueueNotAdmitted")
NETWORK = ("WrongSubnets", "GroupDoesNotAdmit")
MADE = ("InvalidServiceName", "VpcEndpointLimitExceeded", "WebserverServiceMissing")
STATE = ("EndpointNotAvailable", "EndpointNotAccepted", "EndpointRejected")


# ------------------------------------------------------------------------------------------------------------ severity
@pytest.mark.parametrize(
    ("hours", "blocked", "expected"),
    [
        (None, False, None),
        (None, True, "blocked"),
        (0, False, None),
        (3.99, False, None),
        (3.99, True, "blocked"),
        (4, False, "late"),
        (47.99, True, "late"),
        (48, False, "urgent"),
        (71, True, "urgent"),
    ],
)
def test_severity(hours: float | None, blocked: bool, expected: str | None) -> None:
    assert watch.severity(None if hours is None else hours * HOUR, 4, blocked=blocked) == expected


def test_the_limit_is_a_parameter() -> None:
    assert [watch.severity(2 * HOUR, limit, blocked=False) for limit in (1, 2, 3)] == ["late", "late", None]


@pytest.mark.parametrize("cause", watch.REMEDIES)
def test_what_is_said_of_a_wait_names_what_it_waits_for(cause: str) -> None:
    finding = watch.waiting(replace(plan(*whole()), waits_for=cause, reason="so it is"), 5.25 * HOUR)
    assert (finding.cause, finding.remedy) == (cause, watch.REMEDIES[cause])
    assert finding.evidence == "the environment has been PENDING for 5.2 hours: so it is"


def test_every_wait_has_a_remedy() -> None:
    plans = [
        plan(*whole()),
        plan(endpoint("database", state="pending"), endpoint("webserver"), group()),
        plan(endpoint("database"), group(), webserver_service=None),
        plan(),
    ]
    waits = [found.waits_for for found in plans]
    assert waits == [MWAA_WAITS, "EndpointNotAvailable", "WebserverServiceMissing", "EndpointNotAvailable"]
    assert set(waits) <= set(watch.REMEDIES)


# --------------------------------------------------------------------------------------------------------- pending_for
@pytest.mark.parametrize(
    ("status", "created", "updated", "expected"),
    [
        ("PENDING", BORN, None, 2 * HOUR),
        ("PENDING", BORN, BORN + timedelta(hours=1), HOUR),
        ("PENDING", BORN, BORN - timedelta(hours=1), 2 * HOUR),
        ("PENDING", None, BORN, 2 * HOUR),
        ("PENDING", None, None, 0.0),
        ("PENDING", BORN + timedelta(hours=3), None, 0.0),
        ("CREATING", BORN, None, None),
        ("AVAILABLE", BORN, BORN, None),
    ],
)
def test_pending_for(status: str, created: datetime | None, updated: datetime | None, expected: float | None) -> None:
    found = environment(status=status, created_at=created, updated_at=updated)
    assert found.pending_for(BORN + timedelta(hours=2)) == expected


def test_of_a_fleet_the_longest_counts_and_only_of_those_that_wait_for_us() -> None:
    late = BORN - timedelta(hours=9)
    fleet = (
        environment(),
        environment(created_at=BORN - timedelta(hours=1)),
        environment(created_at=late, status="AVAILABLE"),
        environment(created_at=late, endpoint_management="SERVICE"),
        environment(created_at=late, tags={"groundcrew:endpoints": "off"}),
    )
    now = BORN + timedelta(hours=2)
    assert longest_pending([Seen(Place(SPOKE, REGION), fleet), Seen(Place(HUB, REGION))], now) == 3 * HOUR
    assert longest_pending([], now) == 0.0


# ----------------------------------------------------------------------------------------------------------- ruled out
def test_with_everything_in_place_all_is_ruled_out() -> None:
    assert plan(*whole()).ruled_out == (*ALWAYS, *MADE, *STATE, *NETWORK, *QUEUE)


def test_what_is_not_made_yet_rules_nothing_out() -> None:
    assert plan().ruled_out == (*ALWAYS, *QUEUE)
    assert plan(queue_arn=None).ruled_out == ALWAYS


def test_what_is_pending_may_yet_fail() -> None:
    found = plan(endpoint("database", state="pending"), endpoint("webserver"), group())
    assert found.ruled_out == (*ALWAYS, *MADE, *NETWORK, *QUEUE)


def test_what_is_being_corrected_is_not_ruled_out() -> None:
    moved = endpoint("database", subnet_ids=frozenset({"subnet-a"}))
    assert not set(NETWORK) & set(plan(moved, endpoint("webserver"), group()).ruled_out)


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ({"subnet_ids": frozenset({"subnet-a"})}, "WrongSubnets"),
        ({"state": "pendingacceptance"}, "EndpointNotAccepted"),
    ],
)
def test_what_is_found_is_not_ruled_out(wrong: dict[str, object], cause: str) -> None:
    found = plan(foreign("database", **wrong), endpoint("webserver"), group())
    assert causes(found) == [cause]
    assert cause not in found.ruled_out


def test_a_queue_that_is_not_admitted_is_not_ruled_out() -> None:
    closed = sqs_endpoint({"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "arn:aws:sqs:::x"})
    found = plan(*whole(), closed)
    assert causes(found) == ["QueueNotAdmitted"]
    assert "QueueNotAdmitted" not in found.ruled_out


# ---------------------------------------------------------------------------------------------------- endpoints of ours
def test_one_that_waits_for_acceptance_is_said_at_once_and_left_alone() -> None:
    found = plan(endpoint("database", state="pendingacceptance"), endpoint("webserver"), group())
    assert (causes(found), found.actions, found.wait) == (["EndpointNotAccepted"], (), False)


@pytest.mark.parametrize("state", ["failed", "rejected", "expired"])
def test_one_that_came_to_nothing_is_said_at_once_and_made_again_only_once(state: str) -> None:
    found = plan(endpoint("database", state=state), endpoint("webserver"), group())
    assert (causes(found), kinds(found)) == (["EndpointRejected"], [CreateEndpoint.__name__, DeleteEndpoints.__name__])
    assert state in found.findings[0].evidence
    assert not found.look_again


def test_one_that_has_been_replaced_is_not_spoken_of() -> None:
    found = plan(*whole(), endpoint("database", id="vpce-old", state="failed"))
    assert (causes(found), kinds(found)) == ([], [DeleteEndpoints.__name__])
    assert found.look_again


def test_one_of_an_earlier_life_is_not_spoken_of() -> None:
    found = plan(endpoint("database", state="rejected", service="com.amazonaws.vpce.us-east-1.vpce-svc-before"))
    assert causes(found) == []


# ---------------------------------------------------------------------------------------------------------- the worker
def test_a_cause_that_hides_the_network_is_urgent_after_48_hours_too(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.aws.cloud.shares.clear()
    stage.work(status_event(environment))
    stage.pass_time(49 * HOUR)
    stage.work(status_event(environment))
    said = [(detail["severity"], detail["findings"][0]["cause"]) for detail in stage.announced("Endpoints Blocked")]
    assert said == [("blocked", "SubnetsNotShared"), ("urgent", "SubnetsNotShared")]


def test_one_that_is_left_alone_may_wait_as_long_as_it_likes(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1], tags={"groundcrew:endpoints": "off"})
    stage.pass_time(49 * HOUR)
    assert stage.work(status_event(environment)) == 1
    assert stage.facts() == []


def test_what_acting_brought_to_light_is_not_ruled_out(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.aws.faults.add(
        Kind.DENIED, "sts:AssumeRole", nth=None, where=lambda attempt: "-network-" in attempt.params["RoleArn"]
    )
    stage.work(status_event(environment))
    (detail,) = stage.announced("Endpoints Blocked")
    assert detail["findings"][0]["cause"] == "SpokeRoleUnavailable"
    assert "SpokeRoleUnavailable" not in detail["ruled_out"]

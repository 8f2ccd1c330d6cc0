"""Nothing is taken away without proof: MWAA does not find the environment, and its account's complete list does not
have it either.
"""

from typing import TYPE_CHECKING
from unittest import mock

import pytest

from localcloud.inprocess.faults import Attempt, Kind
from localcloud.model.environment import Environment
from localcloud.model.errors import AwsError
from tests.support.stage import HUB, SPOKE, Stage, status_event

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_KIND = [Kind.THROTTLED, Kind.SERVER_ERROR, Kind.DENIED, Kind.TIMED_OUT_AFTER, Kind.RESET_BEFORE]
PRIVATE = ["data-database", "data-webserver", "groundcrew-data-abe42c81"]


@pytest.fixture
def environment(stage: Stage) -> Environment:
    return stage.running(stage.vpc(HUB, SPOKE)[1])


def _observer(attempt: Attempt) -> bool:
    return "observer" in attempt.params["RoleArn"]


@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: kind.name)
@pytest.mark.parametrize("gone", [True, False], ids=["gone", "living"])
@pytest.mark.parametrize("operation", ["airflow:GetEnvironment", "airflow:ListEnvironments", "sts:AssumeRole"])
def test_an_error_is_no_proof(stage: Stage, environment: Environment, operation: str, gone: bool, kind: Kind) -> None:
    if gone:
        stage.delete(environment)
    rule = stage.aws.faults.add(kind, operation, nth=None)
    assert stage.changes(lambda: stage.deliver(status_event(environment, "DELETED"))) == []
    assert stage.ours() == PRIVATE
    if operation != "airflow:ListEnvironments" or gone:
        assert rule.fired


def test_a_missing_role_is_no_proof_and_says_what_to_deploy(stage: Stage, environment: Environment) -> None:
    stage.delete(environment)
    stage.aws.faults.add(Kind.DENIED, "sts:AssumeRole", nth=None, where=_observer)
    assert stage.changes(lambda: stage.deliver(status_event(environment, "DELETED"))) == []
    (blocked,) = stage.announced("Endpoints Blocked")
    assert blocked["findings"][0]["cause"] == "SpokeRoleUnavailable"
    assert "spoke/template.yaml" in blocked["findings"][0]["remedy"]


def test_not_found_while_it_is_still_listed_is_no_proof(stage: Stage, environment: Environment) -> None:
    def lost(*_args: object) -> None:
        raise AwsError("ResourceNotFoundException", "Environment not found", 404)

    with mock.patch.object(stage.aws.mwaa, "get", lost):
        assert stage.changes(lambda: stage.deliver(status_event(environment, "DELETED"))) == []
    assert "nothing is taken away" in stage.log.getvalue()
    assert stage.ours() == PRIVATE


def test_a_list_that_breaks_off_is_no_proof(stage: Stage, environment: Environment) -> None:
    _, subnets = stage.vpc(SPOKE)
    for number in range(30):
        stage.aws.create_environment(SPOKE, "us-east-1", f"more-{number:02}", subnets)
    stage.delete(environment)
    stage.aws.faults.add(Kind.THROTTLED, "airflow:ListEnvironments", nth=2)
    assert stage.changes(lambda: stage.deliver(status_event(environment, "DELETED"))) == []
    assert stage.ours() == PRIVATE
    stage.aws.faults.clear()
    stage.work(status_event(environment, "DELETED"))
    assert stage.ours() == []


@pytest.mark.parametrize("status", ["DELETED", "DELETING", "CREATE_FAILED"])
def test_what_an_event_says_is_no_proof(stage: Stage, environment: Environment, status: str) -> None:
    assert stage.changes(lambda: stage.work(status_event(environment, status))) == []
    assert stage.ours() == PRIVATE


def _retagged(stage: Stage, tags: dict[str, str]) -> None:
    for endpoint in stage.aws.endpoints():
        endpoint.tags.update(tags)
    for group in stage.aws.groups(HUB):
        group.tags.update(tags)


@pytest.mark.parametrize("tags", [{"groundcrew:stack": "other"}, {"groundcrew:environment": "other"}])
def test_without_our_tags_nothing_goes(stage: Stage, environment: Environment, tags: dict[str, str]) -> None:
    stage.delete(environment)
    _retagged(stage, tags)
    work: Callable[[], object] = lambda: stage.work(status_event(environment, "DELETED"))  # noqa: E731
    assert stage.changes(work) == []
    assert stage.changes(stage.heal) == []

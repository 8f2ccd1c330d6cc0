"""The sweep: everything is looked at, nothing stops it, and what is left behind is found."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from fleet.survey import Seen, facts
from groundcrew.aws import airflow
from groundcrew.errors import TransientError
from groundcrew.places import Place
from localcloud.inprocess.faults import Attempt, Kind
from tests.support.endpoints.stories import environment, whole
from tests.support.figures import Figure
from tests.support.stage import HUB, SETTINGS, SPOKE, SPOKE2, Stage, open_stage, status_event

ABOUT = {"account": SPOKE, "region": "us-east-1", "name": "data"}


def _names(stage: Stage) -> list[str]:
    return [detail["environment"]["name"] for detail in stage.announced("Environment Observed")]


def _in(account: str) -> Callable[[Attempt], bool]:
    return lambda attempt: f":{account}:" in attempt.params.get("RoleArn", "")


def test_an_environment_is_observed_with_what_rules_filter_by(stage: Stage) -> None:
    stage.environment(stage.vpc(HUB, SPOKE)[1], tags={"groundcrew:endpoints": "default", "team": "orders"})
    assert stage.sweep() == {"places": 3, "environments": 1, "troubles": 0}
    assert stage.announced("Environment Observed") == [
        {
            "environment": ABOUT,
            "status": "PENDING",
            "endpoint_management": "CUSTOMER",
            "webserver_access_mode": "PRIVATE_ONLY",
            "airflow_version": "3.3.1",
            "tags": {"groundcrew:endpoints": "default"},
        }
    ]


def test_a_fleet_without_environments_is_silent(stage: Stage) -> None:
    assert stage.sweep() == {"places": 3, "environments": 0, "troubles": 0}
    assert stage.facts() == []


def test_every_account_and_region_is_swept() -> None:
    with open_stage(replace(SETTINGS, spoke_regions=("us-east-1", "eu-west-3"))) as stage:
        for account in (HUB, SPOKE, SPOKE2):
            for region in ("us-east-1", "eu-west-3"):
                vpc = stage.aws.network.vpc(owner=account, region=region)
                stage.aws.create_environment(account, region, "data", stage.aws.network.private_subnets(vpc))
        assert stage.sweep() == {"places": 6, "environments": 6, "troubles": 0}


def test_more_than_a_page_of_environments(stage: Stage, figure: Figure) -> None:
    _, subnets = stage.vpc(SPOKE)
    for number in range(60):
        stage.aws.create_environment(SPOKE, "us-east-1", f"data-{number:02}", subnets)
    calls = stage.calls(stage.sweep)
    assert _names(stage) == [f"data-{number:02}" for number in range(60)]
    assert sum(call.operation == "airflow:ListEnvironments" for call in calls) == 2 + 3
    assert sum(call.operation == "events:PutEvents" for call in calls) == 6
    figure("AWS calls, sweep of 60 environments in 3 accounts", len(calls))


# -------------------------------------------------------------------------------------------------- what cannot be seen
def test_an_account_without_the_role_stops_no_other_and_is_reported(stage: Stage) -> None:
    stage.environment(stage.vpc(SPOKE)[1])
    stage.environment(stage.vpc(SPOKE2)[1], SPOKE2, name="other")
    stage.aws.faults.add(Kind.DENIED, "sts:AssumeRole", nth=None, where=_in(SPOKE2))
    assert stage.sweep() == {"places": 3, "environments": 1, "troubles": 1}
    (trouble,) = stage.announced("Environment Needs Attention")
    assert (trouble["account"], trouble["region"], trouble["cause"]) == (SPOKE2, "us-east-1", "SpokeRoleUnavailable")
    assert "spoke/template.yaml" in trouble["remedy"]


@pytest.mark.parametrize(
    "operation", ["airflow:ListEnvironments", "ec2:DescribeVpcEndpoints", "ec2:DescribeSecurityGroups"]
)
@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.DENIED, Kind.RESET_BEFORE], ids=lambda kind: kind.name)
def test_a_place_that_does_not_answer_stops_no_other(stage: Stage, operation: str, kind: Kind) -> None:
    stage.environment(stage.vpc(SPOKE)[1])
    stage.environment(stage.vpc(SPOKE2)[1], SPOKE2, name="other")
    stage.aws.faults.add(kind, operation, nth=None, where=lambda attempt: attempt.account == SPOKE2)
    assert stage.sweep() == {"places": 3, "environments": 1, "troubles": 1}
    assert _names(stage) == ["data"]


def test_an_environment_that_cannot_be_read_stops_no_other_and_is_reported(stage: Stage) -> None:
    _, subnets = stage.vpc(SPOKE)
    for name in ("data", "first", "third"):
        stage.environment(subnets, name=name)

    def first(attempt: Attempt) -> bool:
        return attempt.params.get("Name") == "first"

    stage.aws.faults.add(Kind.DENIED, "airflow:GetEnvironment", nth=None, where=first)
    assert stage.sweep() == {"places": 3, "environments": 2, "troubles": 1}
    assert _names(stage) == ["data", "third"]
    (trouble,) = stage.announced("Environment Needs Attention")
    assert trouble["environment"]["name"] == "first"


@pytest.mark.parametrize("method", ["get_environment", "list_environments"])
def test_a_mistake_of_ours_in_one_place_stops_no_other(stage: Stage, method: str) -> None:
    stage.environment(stage.vpc(SPOKE)[1])
    stage.environment(stage.vpc(SPOKE2)[1], SPOKE2, name="other")
    real = getattr(airflow, method)

    def mistaken(*args: Any) -> Any:
        if SPOKE2 in str(args[1:]):
            raise KeyError("Arn")
        return real(*args)

    with mock.patch(f"fleet.handler.airflow.{method}", mistaken):
        assert stage.sweep()["troubles"] == 1
    assert _names(stage) == ["data"]
    (trouble,) = stage.announced("Environment Needs Attention")
    assert (trouble["account"], trouble["cause"]) == (SPOKE2, "Unexpected")


def test_an_environment_deleted_between_list_and_look_is_no_trouble(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(SPOKE)[1])
    names = stage.aws.mwaa.names
    with mock.patch.object(
        stage.aws.mwaa, "names", lambda *args: {"Environments": [*names(*args)["Environments"], "ghost"]}
    ):
        answer = stage.sweep()
    assert answer["troubles"] == 0
    assert _names(stage) == [environment.name]


def test_facts_that_the_bus_does_not_take_fail_the_sweep_loudly(stage: Stage) -> None:
    stage.environment(stage.vpc(SPOKE)[1])
    stage.aws.faults.add(Kind.SERVER_ERROR, "events:PutEvents", nth=None)
    with pytest.raises(TransientError):
        stage.sweep()


# ---------------------------------------------------------------------------------------------------- what is left over
def test_leftovers_of_an_environment_that_is_gone_are_found_and_go(stage: Stage) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    stage.delete(environment)
    stage.heal()
    assert stage.announced("Environment Observed")[-1] == {
        "environment": ABOUT,
        "status": "DELETED",
        "leftovers": [HUB],
    }
    assert stage.ours() == []


def test_nothing_is_called_gone_when_its_account_could_not_be_listed(stage: Stage) -> None:
    stage.delete(stage.running(stage.vpc(HUB, SPOKE)[1]))
    stage.aws.faults.add(Kind.THROTTLED, "airflow:ListEnvironments", nth=None)
    stage.sweep()
    assert stage.announced("Environment Observed") == []


def test_nothing_is_called_gone_that_could_only_not_be_read(stage: Stage) -> None:
    stage.running(stage.vpc(HUB, SPOKE)[1])
    stage.aws.faults.add(Kind.DENIED, "airflow:GetEnvironment", nth=None)
    stage.sweep()
    assert stage.announced("Environment Observed") == []


def test_what_was_made_for_an_account_that_is_no_longer_configured_is_reported_and_left_alone(stage: Stage) -> None:
    stage.delete(stage.running(stage.vpc(HUB, SPOKE)[1]))
    with mock.patch("fleet.handler.settings", return_value=replace(SETTINGS, spoke_accounts=(HUB,))):
        assert stage.changes(stage.heal) == []
    (trouble,) = stage.announced("Environment Needs Attention")
    assert (trouble["account"], trouble["cause"]) == (HUB, "Orphaned")


@pytest.mark.parametrize("tag", [None, "", "data", "arn:aws:s3:::bucket"])
def test_what_names_no_environment_any_more_is_reported_and_left_alone(stage: Stage, tag: str | None) -> None:
    stage.running(stage.vpc(HUB, SPOKE)[1], access="PUBLIC_ONLY")
    (endpoint,) = stage.aws.endpoints()
    del endpoint.tags["groundcrew:environment"]
    if tag is not None:
        endpoint.tags["groundcrew:environment"] = tag
    assert stage.changes(stage.sweep) == []
    (trouble,) = stage.announced("Environment Needs Attention")
    assert (trouble["account"], trouble["cause"]) == (HUB, "Orphaned")
    assert trouble["evidence"].endswith(f": {endpoint.endpoint_id}")


def test_what_was_made_for_a_region_that_is_no_longer_configured_is_reported(stage: Stage) -> None:
    stage.running(stage.vpc(HUB, SPOKE)[1], access="PUBLIC_ONLY")
    (endpoint,) = stage.aws.endpoints()
    arn = endpoint.tags["groundcrew:environment"]
    endpoint.tags["groundcrew:environment"] = arn.replace("us-east-1", "eu-west-3")
    stage.sweep()
    assert [trouble["cause"] for trouble in stage.announced("Environment Needs Attention")] == ["Orphaned"]


def test_an_environment_whose_endpoints_mwaa_manages_needs_none_of_ours() -> None:
    """Not even one for the service that it names: MWAA has its own for that."""
    made = whole()
    needed = [
        [fact.detail.get("leftovers") for fact in facts([Seen(Place(HUB, "us-east-1"), (lives,), made=made)])]
        for lives in (environment(), environment(endpoint_management="SERVICE"))
    ]
    assert needed == [[None], [[HUB]]]


def test_a_healthy_fleet_has_no_leftovers(stage: Stage) -> None:
    _, subnets = stage.vpc(HUB, SPOKE, SPOKE2)
    stage.running(subnets)
    stage.running(subnets, SPOKE2, access="PUBLIC_ONLY")
    stage.sweep()
    assert not any("leftovers" in detail for detail in stage.announced("Environment Observed"))


def test_lost_events_are_healed_by_the_sweep(stage: Stage) -> None:
    _, subnets = stage.vpc(HUB, SPOKE, SPOKE2)
    environments = [
        stage.environment(subnets, account, name=name) for account in (SPOKE, SPOKE2) for name in ("data", "more")
    ]
    stage.heal()
    stage.pass_time(60)
    assert {environment.status for environment in environments} == {"AVAILABLE"}


def test_one_environments_trouble_does_not_keep_others_waiting(stage: Stage) -> None:
    _, subnets = stage.vpc(HUB, SPOKE)
    bad = stage.environment(subnets, tags={"groundcrew:endpoints": "missing-policy"})
    good = stage.environment(subnets, name="good")
    stage.heal()
    stage.pass_time(60)
    assert (bad.status, good.status) == ("PENDING", "AVAILABLE")
    assert stage.causes() == ["MissingPolicy"]


def test_a_status_event_of_a_swept_environment_changes_nothing_more(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.heal()
    assert stage.changes(lambda: stage.work(status_event(environment))) == []

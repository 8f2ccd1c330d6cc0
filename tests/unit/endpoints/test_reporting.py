"""Plans that are only announced: dry runs, and Mode=report."""

import json
from dataclasses import replace

import pytest

from endpoints.handler import handler
from groundcrew.errors import PermanentError
from localcloud.inprocess.faults import Kind
from tests.support.context import Context
from tests.support.stage import HUB, SETTINGS, SPOKE, SPOKE2, Stage, open_stage, request, status_event

CREATION = ["CreateGroup", "Admit", "CreateEndpoint", "CreateEndpoint"]


def _planned(stage: Stage) -> list[str]:
    (detail,) = stage.announced("Endpoints Planned")
    return [action["action"] for plan in detail["plans"] for action in plan["actions"]]


def test_a_dry_run_announces_the_plan_and_changes_nothing(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    assert stage.changes(lambda: stage.work(request(environment, dry_run=True))) == []
    assert _planned(stage) == CREATION
    assert stage.aws.small.visibilities == []  # and waits for nothing


def test_a_dry_run_announces_that_there_is_nothing_to_do(stage: Stage) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    stage.work(request(environment, dry_run=True))
    (detail,) = stage.announced("Endpoints Planned")
    assert [(plan["reason"], plan["actions"]) for plan in detail["plans"]] == [("all endpoints are available", [])]


def test_a_dry_run_that_cannot_look_says_so_in_the_log_only(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1], tags={"groundcrew:endpoints": "missing"})
    stage.work(request(environment, dry_run=True))
    assert stage.facts() == []
    assert '"cause":"MissingPolicy"' in stage.log.getvalue()


def test_a_dry_run_announces_findings_with_its_plan(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE, way_out=False)[1])
    stage.work(request(environment, dry_run=True))
    assert stage.causes() == []
    (detail,) = stage.announced("Endpoints Planned")
    assert [finding["cause"] for finding in detail["plans"][0]["findings"]] == ["NoWayToQueue"]


def test_a_dry_run_of_a_removal(stage: Stage) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    stage.delete(environment)
    assert stage.changes(lambda: stage.work(request(environment, dry_run=True))) == []
    assert _planned(stage) == ["Revoke", "DeleteEndpoints"]


def test_an_invocation_with_one_request_answers_with_its_plan_as_json(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    answer = handler(request(environment, HUB, dry_run=True), Context())
    assert answer["status"] == "PENDING"
    assert [action["action"] for action in json.loads(json.dumps(answer))["plans"][0]["actions"]] == CREATION
    assert stage.ours() == []


def test_an_invocation_that_is_not_dry_acts(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    handler(request(environment, HUB), Context())
    assert len(stage.ours()) == 3


def test_an_invocation_for_somebody_elses_environment_is_refused(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    with pytest.raises(PermanentError, match="may not ask"):
        handler(request(environment, SPOKE2, dry_run=True), Context())


def test_mode_report_announces_plans_and_changes_nothing() -> None:
    with open_stage(replace(SETTINGS, mode="report")) as stage:
        environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
        assert stage.changes(lambda: stage.work(status_event(environment))) == []
        assert _planned(stage) == CREATION
        stage.delete(environment)
        assert stage.changes(stage.heal) == []


def test_mode_report_says_nothing_when_there_is_nothing_to_do() -> None:
    with open_stage(replace(SETTINGS, mode="report")) as stage:
        environment = stage.environment(stage.vpc(HUB, SPOKE)[1], tags={"groundcrew:endpoints": "off"})
        stage.work(status_event(environment))
        assert stage.facts() == []


def test_mode_report_still_reports_what_is_wrong() -> None:
    with open_stage(replace(SETTINGS, mode="report")) as stage:
        environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
        stage.aws.faults.add(Kind.DENIED, "ec2:DescribeVpcEndpoints")
        stage.work(status_event(environment))
        assert stage.causes() == ["UnauthorizedOperation"]


def test_mode_report_says_what_would_be_done_and_how_late_it_is() -> None:
    with open_stage(replace(SETTINGS, mode="report")) as stage:
        environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
        stage.pass_time(5 * 3600)
        stage.work(status_event(environment))
        assert _planned(stage) == CREATION
        [blocked] = stage.announced("Endpoints Blocked")
        assert blocked["severity"] == "late"

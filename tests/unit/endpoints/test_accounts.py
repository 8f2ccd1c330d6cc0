"""Which accounts are looked at, and what is left behind in those that an environment has moved out of."""

from dataclasses import replace
from typing import Any

import pytest

from groundcrew.settings import Settings
from localcloud.inprocess.faults import Kind
from localcloud.model.environment import Environment
from tests.support.stage import HUB, REGION, SETTINGS, SPOKE, SPOKE2, Stage, open_stage, request, status_event

GROUP = "groundcrew-data-abe42c81"
PRIVATE = ["data-database", "data-webserver", GROUP]


def observed_gone(environment: Environment, *leftovers: str) -> dict[str, Any]:
    """What the sweep announces of an environment that it does not find any more."""
    detail = {"status": "DELETED", "leftovers": list(leftovers)}
    event = request(environment, HUB, **detail)
    return event | {"source": "groundcrew", "detail-type": "Environment Observed"}


def observer_of(account: str) -> Any:
    return lambda attempt: f":{account}:role/groundcrew/groundcrew-observer" in attempt.params["RoleArn"]


# -------------------------------------------------------------------------------------------------- who is looked after
def test_the_hub_is_looked_after_although_nobody_names_it() -> None:
    """It owns the VPCs of the fleet; whoever lists the spokes forgets it."""
    env = {f"GROUNDCREW_{name.upper()}": str(getattr(SETTINGS, name)) for name in SETTINGS.__dataclass_fields__}
    env |= {"AWS_REGION": REGION, "GROUNDCREW_SPOKE_ACCOUNTS": SPOKE, "GROUNDCREW_SPOKE_REGIONS": REGION}
    with open_stage(Settings.from_env(env)) as stage:
        environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
        assert stage.sweep()["places"] == 2
        stage.heal()
        stage.pass_time(5)
        assert (environment.status, stage.ours()) == ("AVAILABLE", PRIVATE)
        stage.delete(environment)
        stage.heal()
        assert stage.ours() == []


def test_subnets_of_an_account_that_is_not_looked_after_are_reported() -> None:
    with open_stage(replace(SETTINGS, spoke_accounts=(HUB, SPOKE))) as stage:
        environment = stage.environment(stage.vpc(SPOKE2, SPOKE)[1])
        assert stage.changes(lambda: stage.work(status_event(environment))) == []
        (blocked,) = stage.announced("Endpoints Blocked")
        assert blocked["status"] == "PENDING"
        (finding,) = blocked["findings"]
        assert (finding["cause"], SPOKE2 in finding["remedy"]) == ("NotConfigured", True)
        assert not any(SPOKE2 in call.attempt.params["RoleArn"] for call in stage.aws.calls("sts:AssumeRole"))


@pytest.mark.parametrize("elsewhere", [{"account": "444444444444"}, {"region": "eu-west-3"}])
def test_an_environment_that_nobody_looks_after_is_refused_without_a_word_on_the_bus(
    stage: Stage, elsewhere: dict[str, str]
) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    event = status_event(environment, resources=[], **elsewhere)
    assert stage.calls(lambda: stage.work(event)) == []
    assert '"cause":"NotConfigured"' in stage.log.getvalue()
    assert stage.facts() == []


# ----------------------------------------------------------------------------------------------- what is left elsewhere
def test_what_an_earlier_life_left_goes_when_mwaa_manages_the_endpoints_now(stage: Stage) -> None:
    """Deleted and made again under the same name, endpoints managed by MWAA; both events were lost."""
    stage.delete(stage.running(stage.vpc(HUB, SPOKE)[1]))
    environment = stage.environment(stage.vpc(SPOKE)[1], management="SERVICE")
    stage.pass_time(60)
    assert (environment.status, stage.ours()) == ("AVAILABLE", PRIVATE)
    stage.heal()
    assert stage.ours() == []
    assert {endpoint.endpoint_id for endpoint in stage.aws.endpoints()} == set(environment.managed)
    since = len(stage.aws.events)
    stage.sweep()
    assert not any("leftovers" in fact["detail"] for fact in stage.facts(since))


def test_what_an_earlier_life_left_in_another_account_goes_and_only_that(stage: Stage) -> None:
    former, subnets = stage.vpc(SPOKE2, SPOKE)
    stage.delete(stage.running(subnets))
    vpc, subnets = stage.vpc(HUB, SPOKE)
    environment = stage.running(subnets)
    stage.heal()
    assert (environment.status, stage.ours(), stage.aws.endpoints(former)) == ("AVAILABLE", PRIVATE, [])
    assert len(stage.aws.endpoints(vpc)) == 2


def test_leftovers_in_the_account_where_it_lives_are_for_its_own_plan(stage: Stage) -> None:
    """The sweep sees too little to know what is needed there; whoever looks closer does."""
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    assert stage.changes(lambda: stage.work(observed_gone(environment, HUB))) == []
    assert (environment.status, stage.ours()) == ("AVAILABLE", PRIVATE)


def test_an_account_that_cannot_be_looked_at_does_not_keep_what_is_left_in_another(stage: Stage) -> None:
    stage.delete(stage.running(stage.vpc(SPOKE2, SPOKE)[1]))
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    stage.delete(environment)
    stage.aws.faults.add(Kind.DENIED, "sts:AssumeRole", nth=None, where=observer_of(SPOKE2))
    stage.work(observed_gone(environment, SPOKE2, HUB))
    assert {endpoint.owner for endpoint in stage.aws.endpoints()} == {SPOKE2}
    assert set(stage.causes()) == {"SpokeRoleUnavailable"}
    assert {detail["status"] for detail in stage.announced("Endpoints Blocked")} == {"DELETED"}
    stage.aws.faults.clear()
    stage.heal()
    assert stage.ours() == []


def test_an_account_that_cannot_be_looked_at_may_have_something_left(stage: Stage) -> None:
    """Nobody knows, so it is reported; what the environment's own account has goes all the same."""
    environment = stage.running(stage.vpc(SPOKE)[1])
    stage.delete(environment)
    stage.aws.faults.add(Kind.DENIED, "sts:AssumeRole", nth=None, where=observer_of(HUB))
    stage.work(status_event(environment, "DELETED"))
    assert stage.ours() == []
    assert set(stage.causes()) == {"SpokeRoleUnavailable"}


def test_leftovers_of_an_environment_that_is_switched_off_stay(stage: Stage) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    environment.tags["groundcrew:endpoints"] = "off"
    assert stage.changes(lambda: stage.work(observed_gone(environment, HUB))) == []


# ------------------------------------------------------------------------------------------------ early and late events
def test_an_event_that_is_ahead_of_mwaas_api_waits_for_it(stage: Stage) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    stage.aws.delete_environment(environment)
    assert environment.status == "DELETING"
    assert stage.deliver(status_event(environment, "DELETING"))
    for status in ("DELETING", "DELETED"):
        environment.status = status
        assert not stage.deliver(status_event(environment, "DELETED"))
    assert stage.ours() == PRIVATE
    environment.status = "DELETING"
    stage.pass_time(5)
    stage.work(status_event(environment, "DELETED"))
    assert stage.ours() == []


def test_in_report_mode_no_event_waits() -> None:
    with open_stage(replace(SETTINGS, mode="report")) as stage:
        environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
        environment.status = "DELETING"
        assert stage.deliver(status_event(environment, "DELETED"))

"""A request for a DAG run, from who sends it to the run's end: one run, and one word of what became of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localcloud.fleet import Environment
from localcloud.installation import HUB, REGION
from localcloud.testing.served import unique
from tests.cloud.scenarios.airflows import TEAM, Fleet, put_in
from tests.cloud.scenarios.deployed import OTHER, SPOKE, Deployed
from tests.support.figures import Figure


def envelope(sender: str, asked: datetime, **detail: Any) -> dict[str, Any]:
    """A request as the rule puts it into the queue."""
    return {
        "version": "0",
        "id": unique("event"),
        "source": "groundcrew.request",
        "detail-type": "DAG Run Requested",
        "account": sender,
        "region": REGION,
        "time": asked.isoformat(),
        "detail": detail,
    }


@pytest.mark.path
# ----------------------------------------------------------------------------------------------------------- it runs
def test_it_is_started_and_its_end_is_told(
    groundcrew: Deployed, fleet: Fleet, environment: Environment, figure: Figure
) -> None:
    groundcrew.until_idle()
    since = groundcrew.cloud.next_call()
    conf = {"day": "2026-11-22", "text": 'it\'s "all" of é \\ $(x)'}
    request_id = fleet.ask_of(environment, conf=conf, note="for the board", wait=True)
    started = fleet.until_told("DAG Run Started", request_id)
    version = environment.describe()["AirflowVersion"]
    assert (started["way"], started["airflow_version"]) == ("rest", version)
    finished = fleet.until_told("DAG Run Finished", request_id)
    assert (finished["state"], finished["run_id"]) == ("success", f"groundcrew__{request_id}")
    assert finished["duration_seconds"] > 0
    (run,) = fleet.runs(environment, request_id)
    assert (run["dag_id"], run["conf"]) == ("load", conf)
    assert run["note"].splitlines()[0] == "for the board"
    calls = [one["action"] for one in groundcrew.cloud.calls(since, role="groundcrew-(observer|airflow)")]
    figure(f"AWS calls about an environment for a run that is waited for, Airflow {version}", len(calls))


def test_a_run_that_fails(groundcrew: Deployed, fleet: Fleet, environment: Environment) -> None:
    request_id = fleet.ask_of(environment, "fails", wait=True)
    assert fleet.until_told("DAG Run Finished", request_id)["state"] == "failed"


@pytest.mark.parametrize("doubled", ["event", "request"])
def test_ten_times_the_same_is_one_run(groundcrew: Deployed, fleet: Fleet, doubled: str) -> None:
    """EventBridge may deliver an event twice; people send a request again."""
    request_id = unique("request")
    detail = {"environments": [fleet.v2.arn, fleet.v3.ref], "dag_id": "load", "request_id": request_id}
    first = envelope(HUB, datetime.now(UTC), **detail)
    others = [first if doubled == "event" else first | {"id": unique("event")} for _ in range(9)]
    put_in(groundcrew, "groundcrew-run-requests", first, *others)
    groundcrew.until(lambda: len(fleet.told("DAG Run Started", request_id)) >= 20, "ten times two", turn=10)
    groundcrew.until_idle()
    for environment in (fleet.v2, fleet.v3):
        assert len(fleet.runs(environment, request_id)) == 1
        told = [one for one in fleet.told("DAG Run Started", request_id) if one["environment"] == environment.ref]
        # None, if the answer to the first start was lost: the next try finds the run.
        assert sum(not one["already"] for one in told) <= 1


def test_without_a_request_id_it_is_the_events(groundcrew: Deployed, fleet: Fleet) -> None:
    event = envelope(SPOKE, datetime.now(UTC), environments=[fleet.v2.name], dag_id="load")
    put_in(groundcrew, "groundcrew-run-requests", event, event)
    groundcrew.until(lambda: len(fleet.told("DAG Run Started", event["id"])) == 2, "both")
    assert len(fleet.runs(fleet.v2, event["id"])) == 1


# ------------------------------------------------------------------------------------------------------ it has to wait
@contextmanager
def updating(groundcrew: Deployed, environment: Environment) -> Iterator[None]:
    """An update that lasts until this is left."""
    with groundcrew.switched(mwaa_updating_seconds=3600.0):
        mwaa = groundcrew.aws.client("mwaa", environment.account)
        mwaa.update_environment(Name=environment.name, MaxWorkers=5, WorkerReplacementStrategy="GRACEFUL")
        assert environment.status() == "UPDATING"
        yield
    groundcrew.cloud.advance(3600, step=600)
    groundcrew.until_status(environment, "AVAILABLE")


def test_not_ready_it_waits(groundcrew: Deployed, fleet: Fleet) -> None:
    with updating(groundcrew, fleet.v3):
        since = groundcrew.cloud.next_call()
        request_id = fleet.ask_of(fleet.v3)
        looks = {"role": "groundcrew-observer", "action": "airflow:GetEnvironment"}
        groundcrew.until(lambda: len(groundcrew.cloud.calls(since, **looks)) >= 2, "two looks", turn=5)
        assert fleet.runs(fleet.v3, request_id) == []
    fleet.until_told("DAG Run Started", request_id, turn=30)
    assert len(fleet.runs(fleet.v3, request_id)) == 1


def test_a_run_of_two_hours_costs_a_few_looks(groundcrew: Deployed, fleet: Fleet, figure: Figure) -> None:
    """The environment is updated meanwhile; the run goes on behind it."""
    request_id = fleet.ask_of(fleet.v3, "long", wait=True)
    fleet.until_told("DAG Run Started", request_id)
    since = groundcrew.cloud.next_call()
    with updating(groundcrew, fleet.v3):
        looks = {"role": "groundcrew-runs-machine", "action": "lambda:InvokeFunction"}
        groundcrew.until(lambda: len(groundcrew.cloud.calls(since, **looks)) >= 3, "looks in vain", turn=10)
        assert fleet.told("DAG Run Finished", request_id) == []
    finished = fleet.until_told("DAG Run Finished", request_id, turn=120)
    assert (finished["state"], finished["duration_seconds"]) == ("success", 7200)
    calls = groundcrew.cloud.calls(since, role="groundcrew-runs-machine", action="lambda:InvokeFunction")
    assert len(calls) < 50
    figure("looks at a run of two hours", len(calls))


def test_expired_it_is_rejected(groundcrew: Deployed, fleet: Fleet) -> None:
    request_id = unique("late")
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    detail = {"environments": [fleet.v3.name], "dag_id": "load", "request_id": request_id, "expires_in": 3600}
    put_in(groundcrew, "groundcrew-run-requests", envelope(OTHER, two_hours_ago, **detail))
    assert fleet.until_told("DAG Run Rejected", request_id)["cause"] == "Expired"
    assert fleet.runs(fleet.v3, request_id) == []


# -------------------------------------------------------------------------------------------------- it is not started
@pytest.mark.parametrize(
    ("dag_id", "more", "cause"),
    [
        ("missing", {}, "UnknownDag"),
        ("paused", {}, "Paused"),
        ("broken", {}, "ImportErrors"),
        ("load", {"conf": {"far": "\x00"}}, "InvalidRequest"),
        ("load", {"logical_date": "2026-02-30T00:00:00Z"}, "InvalidRequest"),
        ("load", {"expires_in": 1}, "InvalidRequest"),
    ],
)
def test_it_is_rejected_with_the_remedy(
    groundcrew: Deployed, fleet: Fleet, environment: Environment, dag_id: str, more: dict[str, Any], cause: str
) -> None:
    request_id = fleet.ask_of(environment, dag_id, **more)
    rejected = fleet.until_told("DAG Run Rejected", request_id)
    assert (rejected["cause"], rejected["sender"]) == (cause, environment.account)
    assert rejected["evidence"]
    assert rejected["remedy"]
    groundcrew.until_idle()
    assert fleet.runs(environment, request_id) == []


def test_a_run_id_that_somebody_elses_run_has(groundcrew: Deployed, fleet: Fleet, environment: Environment) -> None:
    run_id = unique("mine")
    first = fleet.ask_of(environment, run_id=run_id)
    fleet.until_told("DAG Run Started", first)
    second = fleet.ask_of(environment, run_id=run_id)
    assert fleet.until_told("DAG Run Rejected", second)["cause"] == "RunIdTaken"


def test_a_logical_date_that_another_run_has(groundcrew: Deployed, fleet: Fleet, environment: Environment) -> None:
    fleet.until_told("DAG Run Started", fleet.ask_of(environment, logical_date="2026-01-02T03:04:05Z"))
    second = fleet.ask_of(environment, logical_date="2026-01-02T04:04:05+01:00")
    assert fleet.until_told("DAG Run Rejected", second)["cause"] == "LogicalDateTaken"
    assert fleet.runs(environment, second) == []


@pytest.mark.parametrize("if_paused", ["unpause", "queue"])
def test_a_paused_dag(groundcrew: Deployed, fleet: Fleet, environment: Environment, if_paused: str) -> None:
    dag_id = f"paused-{if_paused}"
    request_id = fleet.ask_of(environment, dag_id, if_paused=if_paused, wait=True)
    fleet.until_told("DAG Run Started", request_id)
    if if_paused == "queue":
        groundcrew.until_idle()
        (run,) = fleet.runs(environment, request_id)
        assert run["state"] == "queued"
        fleet.until_told("DAG Run Started", fleet.ask_of(environment, dag_id, if_paused="unpause"))
    assert fleet.until_told("DAG Run Finished", request_id, turn=5)["state"] == "success"


# ------------------------------------------------------------------------------------------------------- who may ask
def test_another_account_is_denied_until_there_is_a_grant(groundcrew: Deployed, fleet: Fleet) -> None:
    """What it may ask for in the same request is done."""
    denied = len(groundcrew.facts("Request Denied", fleet.v2))
    request_id = fleet.ask([fleet.v2.arn, fleet.v3.arn], sender=OTHER)
    fleet.until_told("DAG Run Started", request_id)
    groundcrew.until(lambda: len(groundcrew.facts("Request Denied", fleet.v2)) > denied, "the denial")
    groundcrew.until_idle()
    assert (fleet.runs(fleet.v2, request_id), len(fleet.runs(fleet.v3, request_id))) == ([], 1)
    ssm, name = groundcrew.aws.client("ssm", HUB), f"/groundcrew/grants/{OTHER}"
    grant = {"requests": ["DAG Run Requested"], "environments": [f"{SPOKE}/*"]}
    ssm.put_parameter(Name=name, Type="String", Value=json.dumps(grant))
    try:
        request_id = fleet.ask([fleet.v2.arn], sender=OTHER)
        fleet.until_told("DAG Run Started", request_id)
    finally:
        ssm.delete_parameter(Name=name)
    assert len(fleet.runs(fleet.v2, request_id)) == 1


@pytest.mark.parametrize("policy", ["off", "narrow", "wide"])
def test_what_the_environments_tag_says(groundcrew: Deployed, fleet: Fleet, policy: str) -> None:
    mwaa, ssm = groundcrew.aws.client("mwaa", SPOKE), groundcrew.aws.client("ssm", HUB)
    name = f"/groundcrew/runs/{policy}"
    dags = {"narrow": ["nightly_*"], "wide": ["lo*", "nightly_*"]}.get(policy, ["unused"])
    ssm.put_parameter(Name=name, Type="String", Value=json.dumps({"dags": dags}))
    mwaa.tag_resource(ResourceArn=fleet.v2.arn, Tags={"groundcrew:runs": policy})
    try:
        request_id = fleet.ask_of(fleet.v2)
        if policy == "wide":
            fleet.until_told("DAG Run Started", request_id)
        else:
            cause = {"off": "Off", "narrow": "NotAllowed"}[policy]
            assert fleet.until_told("DAG Run Rejected", request_id)["cause"] == cause
    finally:
        mwaa.untag_resource(ResourceArn=fleet.v2.arn, tagKeys=["groundcrew:runs"])
        ssm.delete_parameter(Name=name)
    assert len(fleet.runs(fleet.v2, request_id)) == (policy == "wide")


@pytest.mark.parametrize(
    ("selector", "sender", "chosen"),
    [
        ({"tags": {"team": TEAM}}, HUB, {"v2", "v3"}),
        ({"all": True}, HUB, {"v2", "v3"}),
        ({"accounts": [OTHER], "regions": [REGION]}, HUB, {"v3"}),
        ({"tags": {"team": TEAM}, "accounts": [SPOKE]}, SPOKE, {"v2"}),
        ({"tags": {"team": "nobody"}}, HUB, "NothingSelected"),
        ({"accounts": [HUB, SPOKE, OTHER]}, HUB, "SelectsEverything"),
        ({}, HUB, "EmptySelector"),
    ],
)
def test_a_selector(
    groundcrew: Deployed, fleet: Fleet, selector: dict[str, Any], sender: str, chosen: set[str] | str
) -> None:
    request_id = fleet.ask(selector, sender=sender)
    if isinstance(chosen, str):
        assert fleet.until_told("DAG Run Rejected", request_id)["cause"] == chosen
        expected = set[str]()
    else:
        expected = chosen
        groundcrew.until(lambda: len(fleet.told("DAG Run Started", request_id)) == len(expected), "all of them")
    groundcrew.until_idle()
    runs = {name: len(fleet.runs(one, request_id)) for name, one in (("v2", fleet.v2), ("v3", fleet.v3))}
    assert runs == {name: int(name in expected) for name in runs}


def test_a_spoke_that_does_not_trust_the_hub(groundcrew: Deployed, fleet: Fleet) -> None:
    with groundcrew.distrusted(f"groundcrew-airflow-{REGION}", OTHER):
        request_id = fleet.ask_of(fleet.v3)
        assert fleet.until_told("DAG Run Rejected", request_id)["cause"] == "SpokeRoleUnavailable"


def test_what_is_no_event_is_rejected(groundcrew: Deployed, fleet: Fleet) -> None:
    """As a route may make one by mistake, or out of a text that closes its quotes and goes on as the hub."""
    before, runs = len(groundcrew.facts("DAG Run Rejected")), len(fleet.runs(fleet.v2))
    event = envelope(OTHER, datetime.now(UTC), environments=[fleet.v2.arn], dag_id="load")
    forged = f'{json.dumps(event)[:-1]}, "account": "{HUB}"}}'
    assert json.loads(forged)["account"] == HUB
    put_in(groundcrew, "groundcrew-run-requests", '{"Records": []}', forged)
    groundcrew.until(lambda: len(groundcrew.facts("DAG Run Rejected")) == before + 2, "both")
    groundcrew.until_idle()
    assert {fact["detail"]["cause"] for fact in groundcrew.facts("DAG Run Rejected")[before:]} == {"MalformedEvent"}
    assert len(fleet.runs(fleet.v2)) == runs

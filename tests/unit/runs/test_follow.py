"""A run that somebody waits for, until it ends or nobody can know any more how."""

import json
from dataclasses import replace
from typing import Any

import pytest

from groundcrew.errors import TransientError
from localcloud.inprocess.faults import Kind
from localcloud.model.environment import Environment
from runs.follow import LOOKS, handler
from runs.watched import Watched
from tests.support.at_once import in_the_middle
from tests.support.context import Context
from tests.support.runs.hub import Hub

VERSIONS = ["2.4.2", "2.7.2", "2.10.3", "3.0.6", "3.3.1"]
DAGS = [
    {"dag_id": "load", "seconds": 600},
    {"dag_id": "fails", "seconds": 60, "state": "failed"},
    {"dag_id": "held", "is_paused": True},
    {"dag_id": "d" * 60, "seconds": 60},
]


def started(hub: Hub, environment: Environment, dag_id: str = "load", **more: Any) -> dict[str, Any]:
    """What the state machine is started with."""
    assert hub.outcome(hub.order(environment, dag_id, wait=True, **more))["said"] == "Started"
    (execution,) = hub.stage.aws.small.executions.values()
    state: dict[str, Any] = json.loads(execution["input"])
    return state


def ended(hub: Hub) -> dict[str, Any]:
    """How it ends, followed to the end."""
    hub.follow()
    ((said, detail),) = hub.facts()
    assert said == "Finished"
    return detail


def why(detail: dict[str, Any]) -> str:
    """Why nobody knows how it ended."""
    assert detail["state"] == "unknown"
    assert detail["evidence"]
    assert detail["remedy"]
    return str(detail["cause"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("dag_id", "state", "seconds"), [("load", "success", 600), ("fails", "failed", 60)])
def test_its_end_is_announced(hub: Hub, version: str, dag_id: str, state: str, seconds: int) -> None:
    started(hub, hub.environment(version, dags=DAGS), dag_id)
    detail = ended(hub)
    assert (detail["state"], detail["duration_seconds"]) == (state, seconds)
    assert detail["start_date"] < detail["end_date"]
    assert (detail["run_id"], detail["request_id"], detail["correlation_id"]) == (
        "groundcrew__ticket-1",
        "ticket-1",
        "event-1",
    )
    assert "cause" not in detail


@pytest.mark.parametrize("version", VERSIONS)
def test_by_command_line(hub: Hub, version: str) -> None:
    environment = hub.environment(version, dags=DAGS)
    hub.refuse_rest()
    started(hub, environment)
    detail = ended(hub)
    assert (detail["state"], detail["duration_seconds"]) == ("success", 600)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_with_long_names_among_many(hub: Hub, version: str) -> None:
    environment = hub.environment(version, dags=[*DAGS, {"dag_id": "d" * 49}])
    started(hub, environment, "d" * 49, run_id="r" * 200)
    assert ended(hub)["state"] == "success"


def test_a_long_run_is_looked_at_less_and_less(hub: Hub) -> None:
    environment = hub.environment(dags=[{"dag_id": "load", "seconds": 86_400}])
    started(hub, environment)
    since = len(hub.stage.aws.calls("airflow:InvokeRestApi"))
    assert ended(hub)["duration_seconds"] == 86_400
    assert len(hub.stage.aws.calls("airflow:InvokeRestApi")) - since < 310


def test_a_paused_run_is_followed_until_somebody_unpauses_it(hub: Hub) -> None:
    environment = hub.environment(dags=DAGS)
    state = started(hub, environment, "held", if_paused="queue")
    for looks in range(1, 10):
        state = handler(state, Context())
        assert (state["ended"], state["looks"]) == (False, looks)
        hub.pass_time(state["seconds"])
    airflow = hub.stage.aws.airflow(environment)
    airflow.state.pause(airflow.state.dags["held"], paused=False)
    assert ended(hub)["state"] == "success"


def test_what_it_keeps_is_what_it_was_given(hub: Hub) -> None:
    state = started(hub, hub.environment(dags=DAGS))
    after = handler(state, Context())
    assert replace(Watched.read(after), looks=0) == Watched.read(state)
    assert after["seconds"] == 5


# ---------------------------------------------------------------------------------------------------------- no end seen
def test_a_run_that_somebody_deletes(hub: Hub) -> None:
    environment = hub.environment(dags=DAGS)
    started(hub, environment)
    hub.stage.aws.airflow(environment).state.runs.clear()
    assert why(ended(hub)) == "RunRemoved"


@pytest.mark.parametrize("status", ["DELETING", None])
def test_an_environment_that_somebody_deletes(hub: Hub, status: str | None) -> None:
    environment = hub.environment(dags=DAGS)
    started(hub, environment)
    if status:
        environment.status = status
    else:
        hub.stage.delete(environment)
    assert why(ended(hub)) == "EnvironmentGone"


@pytest.mark.parametrize("operation", ["sts:AssumeRole", "airflow:*"])
def test_a_spoke_that_lets_nobody_in_any_more(hub: Hub, operation: str) -> None:
    started(hub, hub.environment(dags=DAGS))
    hub.stage.aws.faults.add(Kind.DENIED, operation, nth=None)
    assert why(ended(hub)) in {"SpokeRoleUnavailable", "AccessDeniedException"}


def test_a_run_that_never_ends(hub: Hub) -> None:
    state = started(hub, hub.environment(dags=[{"dag_id": "load", "seconds": 10**9}]))
    assert not handler(state | {"looks": LOOKS - 1}, Context())["ended"]
    assert handler(state | {"looks": LOOKS}, Context())["ended"]
    ((_, detail),) = hub.facts()
    assert why(detail) == "StillRunning"


@pytest.mark.parametrize("answers", ["ValidationException", "answers"])
def test_an_environment_that_is_busy_meanwhile(hub: Hub, answers: str) -> None:
    """Its runs may go on; nothing is known to be lost."""
    hub.stage.aws.switches["mwaa.not_ready"] = answers
    environment = hub.environment(dags=DAGS)
    started(hub, environment)
    hub.busy(environment, 1200)
    assert ended(hub)["state"] == "success"


def test_an_environment_that_begins_to_change_in_the_middle_of_a_look(hub: Hub) -> None:
    environment = hub.environment(dags=DAGS)
    state = started(hub, environment)
    with in_the_middle(hub.stage.aws, 4, lambda: hub.busy(environment, 1200)) as done, pytest.raises(TransientError):
        handler(state, Context())
    assert done
    assert ended(hub)["state"] == "success"


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.SERVER_ERROR, Kind.RESET_BEFORE])
@pytest.mark.parametrize("operation", ["airflow:GetEnvironment", "airflow:InvokeRestApi", "events:PutEvents"])
def test_trouble_is_left_to_the_state_machine(hub: Hub, kind: Kind, operation: str) -> None:
    state = started(hub, hub.environment(dags=DAGS))
    hub.pass_time(1000)
    rule = hub.stage.aws.faults.add(kind, operation, nth=1)
    with pytest.raises(TransientError):
        handler(state, Context())
    assert rule.fired
    assert ended(hub)["state"] == "success"

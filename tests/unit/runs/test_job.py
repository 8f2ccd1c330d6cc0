"""Orders, from the queue to their runs: every way in, on every version, under every limit."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from groundcrew.aws.cli import LONGEST_COMMAND
from localcloud.inprocess.faults import Kind
from tests.support.at_once import in_the_middle
from tests.support.runs.hub import MORE, Hub, open_hub
from tests.support.stage import HUB, SPOKE

VERSIONS = ["2.7.2", "2.10.3", "3.0.6", "3.3.1"]
OLD = "2.4.2"
DATE = datetime(2026, 11, 1, 2, 3, 4, 567, tzinfo=UTC)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_is_started_with_what_was_asked_for(hub: Hub, version: str) -> None:
    environment = hub.environment(version)
    order = hub.order(
        environment, logical_date=DATE, note="for the ticket", conf={"it's": ["a b", None, 1.5, "\u2028"]}
    )
    started = hub.outcome(order)
    assert (started["said"], started["way"], started["already"]) == ("Started", "rest", False)
    assert (started["airflow_version"], started["logical_date"]) == (version, DATE.isoformat())
    (run,) = hub.runs()
    assert (run.dag_id, run.run_id, run.conf, run.logical_date) == ("load", order.run_id, order.conf, DATE)
    assert run.note == f"for the ticket\nGroundcrew request ticket-1 of account {SPOKE}"
    assert len(hub.stage.aws.calls("airflow:*")) == 3


@pytest.mark.parametrize("version", [OLD, *VERSIONS])
def test_an_order_that_comes_twice_starts_one_run(hub: Hub, version: str) -> None:
    environment = hub.environment(version)
    order = hub.order(environment)
    first, again = hub.outcome(order), hub.outcome(replace(order, correlation_id="event-2"))
    assert (first["said"], again["said"], again["already"]) == ("Started", "Started", True)
    assert (first["correlation_id"], again["correlation_id"]) == ("event-1", "event-2")
    assert len(hub.runs()) == 1


@pytest.mark.parametrize("version", [OLD, *VERSIONS])
def test_what_rest_does_not_serve_goes_by_command_line(hub: Hub, version: str) -> None:
    environment = hub.environment(version)
    if version != OLD:
        hub.refuse_rest()
    started = hub.outcome(hub.order(environment, conf={"it's": ["a b", None, "日本"]}))
    assert (started["said"], started["way"], started["airflow_version"]) == ("Started", "cli", version)
    (run,) = hub.runs()
    assert (run.triggered_by, run.note) == ("cli", None)
    assert hub.stage.aws.small.tables.items == {(HUB, "us-east-1", "groundcrew-locks"): {}}
    tokens = len(hub.stage.aws.calls("airflow:CreateCliToken"))
    assert tokens == len(hub.stage.aws.calls("airflow-cli:*"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("by", ["rest", "cli"])
@pytest.mark.parametrize(("if_paused", "state"), [("unpause", "running"), ("queue", "queued")])
def test_a_paused_dag_that_may_run(hub: Hub, version: str, by: str, if_paused: str, state: str) -> None:
    environment = hub.environment(version)
    if by == "cli":
        hub.refuse_rest()
    assert hub.way(hub.order(environment, "held", if_paused=if_paused)) == by
    assert [run.state for run in hub.runs()] == [state]


@pytest.mark.parametrize("status", ["UPDATING", "MAINTENANCE", "CREATING_SNAPSHOT", "PENDING"])
def test_an_environment_that_is_not_ready_is_waited_for(hub: Hub, status: str) -> None:
    environment = hub.environment()
    environment.status = status
    hub.put(hub.order(environment))
    start = hub.now()
    hub.work_off(until=lambda: hub.now() > start + timedelta(hours=2))
    assert (hub.facts(), hub.runs(), len(hub.messages)) == ([], [], 1)
    assert hub.messages[0].received < 40
    environment.status = "UPDATE_FAILED"
    hub.work_off()
    assert [said for said, _ in hub.facts()] == ["Started"]
    assert len(hub.runs()) == 1


@pytest.mark.parametrize("code", ["ValidationException", "ResourceNotFoundException", "InternalServerException"])
@pytest.mark.parametrize("by", ["rest", "cli"])
def test_an_environment_that_begins_to_change_in_the_middle(code: str, by: str) -> None:
    """At every single call of the first try."""
    nth, fired = 0, True
    while fired:
        nth += 1
        with open_hub() as hub:
            hub.stage.aws.switches["mwaa.not_ready"] = code
            environment = hub.environment("3.3.1")
            if by == "cli":
                hub.refuse_rest()
            hub.put(hub.order(environment))
            with in_the_middle(hub.stage.aws, nth, lambda: hub.busy(environment, 300)) as done:  # noqa: B023 - used at once
                hub.deliver(hub.messages[0])
            fired = bool(done)
            hub.work_off()
            assert [said for said, _ in hub.facts()] == ["Started"], nth
            assert len(hub.runs()) == 1, nth


def test_followed_if_somebody_waits_for_it(hub: Hub) -> None:
    environment = hub.environment()
    hub.outcome(hub.order(environment))
    assert hub.stage.aws.small.executions == {}
    hub.outcome(hub.order(environment, run_id="second", wait=True))
    hub.outcome(hub.order(environment, run_id="second", wait=True, correlation_id="event-2"))
    (execution,) = hub.stage.aws.small.executions.values()
    assert json.loads(execution["input"])["run_id"] == "second"


def test_the_way_it_was_confirmed_is_said(hub: Hub) -> None:
    environment = hub.environment()
    order = hub.order(environment)
    hub.refuse_rest()
    assert hub.way(order) == "cli"
    hub.stage.aws.faults.clear()
    assert hub.outcome(order)["way"] == "rest"


@pytest.mark.parametrize("pattern", ["load", "lo*", "*", "l?ad"])
def test_a_policy_that_allows_it(hub: Hub, pattern: str) -> None:
    environment = hub.environment(tags={"groundcrew:runs": "nightly"})
    hub.stage.aws.parameters["/groundcrew/runs/nightly"] = json.dumps({"dags": ["other", pattern]})
    assert hub.way(hub.order(environment)) == "rest"


@pytest.mark.parametrize("by", ["rest", "cli"])
def test_a_private_web_server_from_within_its_vpc(by: str) -> None:
    with open_hub(more=replace(MORE, in_vpc=True)) as hub:
        environment = hub.environment(access="PRIVATE_ONLY")
        subnet = hub.stage.aws.network.subnets("us-east-1")[environment.subnets[0]]
        hub.stage.aws.vpc = subnet["VpcId"]
        if by == "cli":
            hub.refuse_rest()
        assert hub.way(hub.order(environment)) == by


def test_commands_wait_for_each_other(hub: Hub) -> None:
    """Another function holds the lock; it opens when that one is done, or gone for good."""
    environment = hub.environment()
    hub.refuse_rest()
    lock = {"name": {"S": f"cli/{SPOKE}/us-east-1/data"}, "holder": {"S": "another"}, "until": {"N": "0"}}
    held = hub.stage.aws.small.tables.items[HUB, "us-east-1", "groundcrew-locks"]
    held[lock["name"]["S"]] = lock | {"until": {"N": str(round(hub.now().timestamp()) + 200)}}
    start = hub.now()
    assert hub.way(hub.order(environment)) == "cli"
    assert hub.now() >= start + timedelta(seconds=200)
    assert held == {}


def test_a_busy_web_server_is_tried_again(hub: Hub) -> None:
    environment = hub.environment()
    hub.refuse_rest()
    hub.stage.aws.faults.add(Kind.THROTTLED, "airflow-cli:dags trigger", nth=1)
    assert hub.way(hub.order(environment)) == "cli"
    assert hub.messages == []


@pytest.mark.parametrize("kind", [Kind.TIMED_OUT_AFTER, Kind.SERVER_ERROR])
def test_after_a_command_that_was_not_answered_no_other_is_sent(hub: Hub, kind: Kind) -> None:
    environment = hub.environment()
    hub.refuse_rest()
    sent: list[datetime] = []
    hub.stage.aws.faults.add(kind, "airflow-cli:dags trigger", nth=1)
    hub.stage.aws.faults.add(kind, "airflow-cli:*", where=lambda _attempt: bool(sent.append(hub.now())))  # type: ignore[func-returns-value]
    assert hub.outcome(hub.order(environment))["said"] == "Started"
    assert len(hub.runs()) == 1
    assert sent[2] - sent[1] >= timedelta(seconds=LONGEST_COMMAND)

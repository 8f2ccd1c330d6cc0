"""MWAA's command line endpoint and the locks before it: whatever comes back, and what it does to the lock."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest

from groundcrew.aws.cli import LONGEST_COMMAND
from localcloud.inprocess.faults import Kind
from localcloud.model.front_door import FrontDoor
from tests.support.runs.hub import Hub
from tests.support.stage import HUB, SPOKE

LOCK = f"cli/{SPOKE}/us-east-1/data"


def locks(hub: Hub) -> dict[str, Any]:
    return hub.stage.aws.small.tables.items[HUB, "us-east-1", "groundcrew-locks"]


def first_answer(hub: Hub, status: int, body: bytes) -> dict[str, Any]:
    """The order is delivered once, and the first command is answered with this; the message as it is then logged."""
    environment = hub.environment()
    hub.refuse_rest()
    hub.put(hub.order(environment))
    hub.stage.lines()
    with mock.patch.object(FrontDoor, "cli", return_value=(status, body)):
        hub.deliver(hub.messages[0])
    return next(line for line in hub.stage.lines() if "cause" in line and line["message"] != "by command line")


def streams(**streams: bytes) -> bytes:
    return json.dumps({name: base64.b64encode(text).decode() for name, text in streams.items()}).encode()


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_web_server_has_run_nothing(hub: Hub, status: int) -> None:
    assert first_answer(hub, status, b"busy")["cause"] == "CliBusy"
    assert (len(hub.messages), locks(hub)) == (1, {})


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_broken_web_server_may_still_run_it(hub: Hub, status: int) -> None:
    assert first_answer(hub, status, b"broken")["cause"] == "CliBroken"
    assert (len(hub.messages), list(locks(hub))) == (1, [LOCK])
    assert int(locks(hub)[LOCK]["until"]["N"]) == round(hub.now().timestamp() + LONGEST_COMMAND)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_web_server_that_refuses(hub: Hub, status: int) -> None:
    assert first_answer(hub, status, b'{"message": "Forbidden"}')["cause"] == "CliRefused"
    assert (hub.messages, locks(hub)) == ([], {})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"stdout": 7, "stderr": 7}',
        b'{"stdout": "x"}',
        b'{"stdout": "x", "stderr": "x"}',
    ],
)
def test_an_answer_that_is_none(hub: Hub, body: bytes) -> None:
    assert first_answer(hub, 200, body)["cause"] == "NoAnswer"
    assert (len(hub.messages), list(locks(hub))) == (1, [LOCK])


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 502, 503])
def test_output_is_read_whatever_the_status(hub: Hub, status: int) -> None:
    said = b"airflow command error: invalid choice: 'list-runs' " + b"x" * 100_000
    line = first_answer(hub, status, streams(stdout=b"", stderr=said))
    assert line["cause"] == "CommandRefused"
    assert "invalid choice: 'list-runs'" in line["error"]
    assert len(line["error"]) < 500
    assert (hub.messages, locks(hub)) == ([], {})


@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_date_that_is_taken_is_told_whatever_status_the_failed_command_has(hub: Hub, status: int) -> None:
    environment = hub.environment()
    hub.foreign(environment, "by-hand", logical_date="2026-11-20T06:00:00+00:00")
    hub.refuse_rest()
    hub.stage.aws.switches["mwaa.cli_failed_status"] = status
    assert hub.cause(hub.order(environment, logical_date=datetime(2026, 11, 20, 6, tzinfo=UTC))) == "LogicalDateTaken"
    assert (len(hub.runs()), locks(hub)) == (1, {})


def test_a_token_that_is_over_is_replaced_once(hub: Hub) -> None:
    environment = hub.environment()
    hub.refuse_rest()
    hub.stage.aws.faults.add(Kind.DENIED, "airflow-cli:dags trigger", nth=1)
    assert hub.outcome(hub.order(environment))["way"] == "cli"
    assert (len(hub.runs()), locks(hub)) == (1, {})
    sent = hub.stage.aws.calls("airflow-cli:dags trigger")
    assert len(hub.stage.aws.calls("airflow:CreateCliToken")) == len(hub.stage.aws.calls("airflow-cli:*"))
    assert len(sent) == 2


def test_a_token_that_is_too_old_when_it_arrives_is_replaced(hub: Hub) -> None:
    """The local web server takes no token older than a minute."""
    environment = hub.environment()
    hub.refuse_rest()
    really, late = FrontDoor.cli, [61.0]

    def slow(door: FrontDoor, *arguments: Any) -> tuple[int, bytes]:
        if late:
            hub.pass_time(late.pop())
        return really(door, *arguments)

    hub.put(hub.order(environment))
    with mock.patch.object(FrontDoor, "cli", slow):
        hub.deliver(hub.messages[0])
    assert (hub.messages, locks(hub), len(hub.runs())) == ([], {}, 1)


def test_output_that_is_no_text_is_read_all_the_same(hub: Hub) -> None:
    line = first_answer(hub, 200, streams(stdout=b"\xff\xfe[\x00", stderr=b"boom \xff\r\n"))
    assert (line["cause"], "boom" in line["error"]) == ("CommandFailed", True)
    assert locks(hub) == {}


def test_a_lock_whose_taking_was_not_answered_is_taken(hub: Hub) -> None:
    """The SDK asks again, and finds what it has written itself."""
    environment = hub.environment()
    hub.refuse_rest()
    rule = hub.stage.aws.faults.add(Kind.TIMED_OUT_AFTER, "dynamodb:PutItem", nth=1, attempts=1)
    hub.put(hub.order(environment))
    hub.deliver(hub.messages[0])
    assert rule.fired == 1
    assert (hub.messages, locks(hub), len(hub.runs())) == ([], {}, 1)


def test_a_lock_that_was_not_given_up_opens_by_itself(hub: Hub) -> None:
    environment = hub.environment()
    hub.refuse_rest()
    hub.stage.aws.faults.add(Kind.SERVER_ERROR, "dynamodb:DeleteItem", nth=1)
    start = hub.now()
    assert hub.way(hub.order(environment)) == "cli"
    assert timedelta(seconds=LONGEST_COMMAND) <= hub.now() - start < timedelta(seconds=3 * LONGEST_COMMAND)
    assert locks(hub) == {}


def test_a_lock_that_was_lost_is_not_taken_from_its_new_holder(hub: Hub) -> None:
    environment = hub.environment()
    hub.refuse_rest()
    other = {"name": {"S": LOCK}, "holder": {"S": "another"}, "until": {"N": str(round(hub.now().timestamp() + 999))}}
    airflow = hub.stage.aws.airflow(environment)
    really = airflow.cli

    def slow(command: str) -> tuple[int, bytes, bytes]:
        locks(hub)[LOCK] = other
        return really(command)

    airflow.cli = slow  # type: ignore[method-assign]
    hub.put(hub.order(environment))
    hub.deliver(hub.messages[0])
    assert locks(hub) == {LOCK: other}


@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.THROTTLED])
def test_a_table_of_locks_in_trouble_rejects_nobody(hub: Hub, kind: Kind) -> None:
    environment = hub.environment()
    hub.refuse_rest()
    trouble = hub.stage.aws.faults.add(kind, "dynamodb:PutItem")
    assert hub.way(hub.order(environment)) == "cli"
    assert trouble.fired

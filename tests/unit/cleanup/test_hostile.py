"""Events and answers that mean harm, or nothing."""

import json
from typing import Any
from unittest import mock

import pytest

from localcloud.model.airflow import Airflow
from tests.support.cleanup.hub import Hub
from tests.support.context import Context
from tests.support.stage import HUB, REGION, SPOKE, SPOKE2


def nothing_happened(hub: Hub) -> None:
    assert hub.orders() == []
    assert hub.commands() == []


@pytest.mark.parametrize(
    "detail",
    [
        {"reason": "because"},
        {"reason": None},
        {"dry_run": "yes"},
        {"dry_run": 0},
        {"request_id": ""},
        {"request_id": "x" * 129},
        {"request_id": 7},
        {"policy": {"mode": "delete", "days": {"default": 1}}},
        {"tables": ["dag_run"]},
        {"days": 1},
        {"environment": None},
        {"environment": []},
        {"environment": {"account": SPOKE, "region": REGION, "name": "data", "also": "this"}},
        {"environment": {"account": SPOKE, "region": REGION, "name": "data; db reset --yes"}},
        {"environment": {"account": SPOKE, "region": REGION, "name": "../data"}},
        {"environment": {"account": "*", "region": REGION, "name": "data"}},
    ],
    ids=str,
)
def test_a_request_that_is_not_as_its_schema_says_is_refused(hub: Hub, detail: dict[str, Any]) -> None:
    event = hub.request(hub.environment())
    event["detail"] |= detail
    assert hub.deliver(event)
    nothing_happened(hub)


@pytest.mark.parametrize(
    "change",
    [
        {"source": "groundcrew", "account": SPOKE2},
        {"source": "groundcrew", "account": SPOKE},
        {"source": "aws.airflow", "account": SPOKE2},
        {"source": "groundcrew.request", "detail-type": "Metadata Export Requested"},
        {"source": "somebody.else"},
        {"account": "everyone"},
        {"detail": "[]"},
        {"detail": None},
    ],
    ids=str,
)
def test_who_pretends_to_be_somebody_else_is_not_believed(hub: Hub, change: dict[str, Any]) -> None:
    environment = hub.environment()
    assert hub.deliver(hub.request(environment) | change)
    nothing_happened(hub)


def test_an_environment_that_nobody_looks_after(hub: Hub) -> None:
    environment = hub.environment()
    event = hub.request(environment, sender=HUB)
    event["detail"]["environment"]["account"] = "999999999999"
    assert hub.deliver(event)
    nothing_happened(hub)


@pytest.mark.parametrize("body", ["", "null", "[]", "{", '{"a": 1, "a": 2}', "\ud800", "[" * 5000])
def test_a_message_that_is_no_event(hub: Hub, body: str) -> None:
    from cleanup.handler import handler  # noqa: PLC0415 - as in the hub

    record = {
        "messageId": "message-1",
        "receiptHandle": "handle-1",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": hub.queue.now()},
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{HUB}:groundcrew-cleanup",
    }
    assert handler({"Records": [record]}, Context()) == {"batchItemFailures": []}
    nothing_happened(hub)


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        [],
        {"snapshot_at": "yesterday", "tables": {}},
        {
            "snapshot_at": "2026-11-18T00:00:00+00:00",
            "tables": {"log": {"window": {"column": "dttm", "until": "soon"}}},
        },
        {"snapshot_at": "2026-11-18T00:00:00+00:00", "tables": ["log"]},
    ],
    ids=str,
)
def test_a_manifest_that_is_none_covers_nothing(hub: Hub, manifest: Any) -> None:
    environment = hub.environment()
    hub.rows(environment, "log", 100)
    hub.put(f"manifests/{SPOKE}/{REGION}/data/20261118T000000Z-00000000.json", manifest)
    found = hub.clean(environment)
    assert (found["said"], found["cause"]) == ("Failed", "UnreadableManifest")
    assert hub.left(environment, "log") == 1


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [
        ("", ""),
        ("Checking table log\nFound 99999999999999999999999 rows meeting deletion criteria.\n", ""),
        ("Found 0 rows meeting deletion criteria.\n", ""),
        ("Checking table dag\nFound 0 rows meeting deletion criteria.\n", ""),
        ("Checking table log\n", "Traceback (most recent call last):\nMemoryError: \n"),
        ("\x00\x1b[31mChecking table log\x1b[0m\n", ""),
    ],
    ids=repr,
)
def test_an_output_that_is_not_understood_deletes_nothing_and_is_no_success(hub: Hub, stdout: str, stderr: str) -> None:
    environment = hub.environment()
    hub.exported(environment)
    hub.policy(days={"default": 30}, confirm=1)
    hub.rows(environment, "log", 100)
    said = lambda _self, _command: (0, stdout.encode(), stderr.encode())  # noqa: E731
    with mock.patch.object(Airflow, "cli", said):
        found = hub.clean(environment)
    assert found["said"] == "Failed"
    assert found["cause"] == "TableFailed"
    assert hub.left(environment, "log") == 1
    assert all("--dry-run" in command or " log " not in command for command in hub.commands())


def test_what_airflow_prints_goes_nowhere_but_a_few_words(hub: Hub) -> None:
    """A traceback may hold a statement with values, a warning whatever a plugin prints."""
    environment = hub.environment()
    hub.exported(environment)
    secret = "hunter2-" * 3
    text = f"Checking table log\n{secret}\n[SQL: select '{secret}']\n" + f"{secret}\n" * 100
    trouble = (
        f"Traceback (most recent call last):\n  {secret}\nsqlalchemy.exc.DataError: (psycopg2) bad\n[SQL: {secret}]\n"
    )
    said = lambda _self, _command: (1, text.encode(), trouble.encode())  # noqa: E731
    with mock.patch.object(Airflow, "cli", said):
        found = hub.clean(environment)
    assert secret not in json.dumps(found)
    assert secret not in json.dumps(hub.object(found["report"]))
    assert secret not in json.dumps(hub.stage.lines())

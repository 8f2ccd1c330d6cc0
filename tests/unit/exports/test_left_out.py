"""Airflow 3 as MWAA runs it: the role User may not read audit logs, and all else is exported."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from groundcrew import manifests
from localcloud.model.airflow_state import Listed
from localcloud.model.environment import Environment
from tests.support.exports.hub import Hub, open_hub

VERSIONS = ["3.0.6", "3.2.1", "3.3.1"]
TABLES = ["dag_run", "log", "slot_pool"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with open_hub() as hub:
        hub.policy(tables=TABLES, every_hours=6)
        yield hub


def environment(hub: Hub, version: str = "3.3.1") -> Environment:
    """An Airflow 3 with a run and an entry in its audit log."""
    made = hub.environment(version=version)
    airflow = hub.stage.aws.airflow(made, [{"dag_id": "hello"}])
    airflow.rest("POST", "/dags/hello/dagRuns", {}, {"logical_date": None})
    airflow.state.lists["/pools"] = []
    entry(hub, made)
    hub.stage.pass_time(600)
    return made


def entry(hub: Hub, made: Environment) -> None:
    logs = hub.stage.aws.airflow(made).state.lists.setdefault("/eventLogs", [])
    at, number = hub.now(), len(logs) + 1
    logs.append(Listed(number, {"event_log_id": number, "when": at.isoformat(), "event": "trigger"}, at))


def finished(hub: Hub) -> dict[str, Any]:
    ((said, fact),) = hub.facts()
    assert said == "Finished", fact
    return fact


def let_users_read_audit_logs(hub: Hub) -> None:
    hub.stage.aws.switches["mwaa.audit_logs_for"] = "User"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_rest_is_exported_and_what_is_left_out_is_said(hub: Hub, version: str) -> None:
    made = environment(hub, version)
    assert hub.export(made) == ["Succeed"]
    fact = finished(hub)
    assert fact["tables"] == {"dag_run": 1, "slot_pool": 0}
    assert list(fact["left_out"]) == ["log"]
    assert "can read on Audit Logs" in fact["left_out"]["log"]
    (manifest,) = hub.manifests()
    assert (manifest["left_out"], manifest["verified"]) == (["log"], True)
    assert set(manifest["covered"]) == {"dag_run"}
    assert hub.keys("tables/log/") == []


@pytest.mark.parametrize("version", VERSIONS)
def test_where_the_role_may_read_it_it_is_exported(hub: Hub, version: str, tmp_path: Path) -> None:
    let_users_read_audit_logs(hub)
    made = environment(hub, version)
    assert hub.export(made) == ["Succeed"]
    fact = finished(hub)
    assert (fact["tables"]["log"], fact["left_out"]) == (1, {})
    assert [row["event"] for row in hub.exported("log", tmp_path)] == ["trigger"]


def test_what_is_left_out_makes_no_export_due(hub: Hub) -> None:
    """It was covered once: its end never moves on, and a sweep comes every 15 minutes."""
    let_users_read_audit_logs(hub)
    made = environment(hub)
    hub.export(made)
    hub.stage.aws.switches.clear()
    hub.stage.pass_time(7 * 3600)
    for _ in range(4):
        hub.deliver(hub.observed(made))
        hub.play()
        hub.stage.pass_time(15 * 60)
    assert [list(fact["left_out"]) for _, fact in hub.facts()] == [[], ["log"]]


def test_once_it_may_be_read_it_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    let_users_read_audit_logs(hub)
    made = environment(hub)
    hub.export(made)
    hub.stage.aws.switches.clear()
    entry(hub, made)
    hub.stage.pass_time(7 * 3600)
    hub.export(made)
    first, second = hub.manifests()
    assert second["covered"]["log"] == first["covered"]["log"], "what was not read is not covered"
    let_users_read_audit_logs(hub)
    entry(hub, made)
    hub.stage.pass_time(7 * 3600)
    hub.export(made)
    third = hub.manifests()[-1]
    assert third["left_out"] == []
    assert third["covered"]["log"]["until"] > second["snapshot_at"]
    assert {row["id"] for row in hub.exported("log", tmp_path)} == {1, 2, 3}


def test_an_export_of_other_tables_does_not_forget_it(hub: Hub) -> None:
    made = environment(hub)
    hub.export(made)
    hub.stage.pass_time(3600)
    hub.export(made, tables=["dag_run"])
    assert [manifest["left_out"] for manifest in hub.manifests()] == [["log"], ["log"]]
    assert hub.facts()[-1][1]["left_out"] == {}


def test_an_export_of_it_alone_fails_and_says_what_to_do(hub: Hub) -> None:
    made = environment(hub)
    hub.export(made, tables=["log"])
    ((said, fact),) = hub.facts()
    assert (said, fact["cause"]) == ("Failed", "Denied")
    assert "role User" in fact["remedy"]
    assert hub.manifests() == []


def test_a_receipt_cannot_leave_out_what_was_read(hub: Hub) -> None:
    """It lies where tenants may write; what was left out is in the state machine's own order."""
    made = environment(hub)
    hub.export(made)
    (prefix,) = {key.rsplit("/", 1)[0] for key in hub.keys("extracts/") if key.endswith("receipt.json")}
    receipt = json.loads(hub.content(f"{prefix}/receipt.json"))
    assert "left_out" not in receipt
    assert set(receipt["tables"]) == {"dag_run", "slot_pool"}


def test_a_manifest_from_before_left_nothing_out() -> None:
    content = {"verified": True, "export_id": "x", "snapshot_at": "2026-11-27T00:00:00+00:00", "covered": {}}
    assert manifests.Manifest.read(json.dumps(content).encode(), "key").left_out == frozenset()


def test_hours_are_hours(hub: Hub) -> None:
    """The control of the others: an export is due when its schedule says so."""
    made = environment(hub)
    hub.export(made)
    hub.facts()
    hub.stage.pass_time(timedelta(hours=7).total_seconds())
    hub.deliver(hub.observed(made))
    hub.play()
    assert len(hub.facts()) == 1

"""From an event to the report, on Airflow 3."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cleanup.converged import hours_behind
from cleanup.step import handler as step
from groundcrew.aws.objects import Bucket
from groundcrew.environment import EnvironmentRef
from localcloud.inprocess.faults import Kind
from tests.support.cleanup.hub import BUCKET, Hub, open_hub
from tests.support.context import Context
from tests.support.stage import HUB, REGION, SETTINGS, SPOKE2


@pytest.mark.parametrize("version", ["3.0.6", "3.2.1", "3.3.1"])
def test_what_is_old_and_exported_goes_and_is_reported(hub: Hub, version: str) -> None:
    environment = hub.environment(version)
    hub.exported(environment)
    hub.rows(environment, "log", 100, 40, 2)
    hub.rows(environment, "xcom", 100, 31, 29)
    hub.rows(environment, "import_error", 100)
    found = hub.clean(environment, request_id="ticket-1")
    assert (found["said"], found["engine"], found["mode"]) == ("Finished", "outside", "delete")
    assert [hub.left(environment, table) for table in ("log", "xcom", "import_error")] == [1, 1, 1]
    assert found["tables"]["log"] | {"longest_seconds": 0} == {
        "before": (hub.now() - timedelta(days=30)).replace(microsecond=0).isoformat(),
        "examined": 2, "deleted": 2, "left": 0, "kept": None, "longest_seconds": 0,
    }  # fmt: skip
    assert "neither exported nor expendable" in found["tables"]["import_error"]["kept"]
    assert not found["converged"], "import_error is kept against the policy's days"
    assert hub.object(found["report"])["tables"] == found["tables"]


def test_a_policy_that_reports_deletes_nothing(hub: Hub) -> None:
    hub.policy(mode="report")
    environment = hub.environment()
    hub.exported(environment)
    hub.rows(environment, "log", 100, 40, 2)
    found = hub.clean(environment)
    assert (found["mode"], hub.left(environment, "log")) == ("report", 3)
    assert found["tables"]["log"]["left"] == 2
    assert all("--dry-run" in command for command in hub.commands())


def test_neither_does_a_dry_run(hub: Hub) -> None:
    environment = hub.environment()
    hub.exported(environment)
    hub.rows(environment, "log", 100)
    assert hub.clean(environment, dry_run=True)["mode"] == "report"
    assert hub.left(environment, "log") == 1


def test_nor_a_stack_that_only_reports() -> None:
    with open_hub(replace(SETTINGS, mode="report")) as hub:
        environment = hub.environment()
        hub.exported(environment)
        hub.rows(environment, "log", 100)
        assert hub.clean(environment)["mode"] == "report"
        assert hub.left(environment, "log") == 1


def test_without_the_tag_nothing_is_asked(hub: Hub) -> None:
    environment = hub.environment(tag=None)
    assert hub.deliver(hub.observed(environment))
    assert hub.orders() == []
    found = hub.clean(environment)
    assert (found["said"], found["cause"]) == ("Failed", "NoPolicy")
    assert hub.orders() == []


@pytest.mark.parametrize(
    ("policy", "cause"),
    [
        ({"days": {"default": 0}}, "InvalidPolicy"),
        ({"days": {"default": -7}}, "InvalidPolicy"),
        ({"mode": "DELETE!"}, "InvalidPolicy"),
    ],
)
def test_an_invalid_policy_stops_everything(hub: Hub, policy: dict[str, Any], cause: str) -> None:
    environment = hub.environment()
    hub.policy(**policy)
    assert hub.clean(environment)["cause"] == cause
    assert hub.commands() == []
    since = len(hub.facts())
    assert hub.deliver(hub.observed(environment))
    assert hub.orders() == []
    ((said, found),) = hub.facts()[since:]
    assert (said, found["cause"], found["reason"], found["policy"]) == ("Failed", cause, "due", "careful")


def test_a_policy_that_is_not_there_is_no_policy(hub: Hub) -> None:
    environment = hub.environment(tag="imagined")
    assert hub.clean(environment)["cause"] == "MissingPolicy"


@pytest.mark.parametrize(
    ("version", "policy", "cause"),
    [
        ("3.1.0", {}, "UnknownVersion"),
        ("4.0.0", {}, "UnknownVersion"),
        ("3.3.1", {"keep_newest": 3}, "PolicyNotHonoured"),
        ("3.3.1", {"protected_dags": ["a*"]}, "PolicyNotHonoured"),
        ("3.0.6", {"days": {"default": 3, "dags": {"a*": 9}}}, "PolicyNotHonoured"),
    ],
)
def test_what_cannot_be_honoured_is_refused(hub: Hub, version: str, policy: dict[str, Any], cause: str) -> None:
    environment = hub.environment(version)
    hub.policy(**policy)
    found = hub.clean(environment)
    assert (found["said"], found["cause"]) == ("Failed", cause)
    assert hub.commands() == []


def test_an_export_is_asked_for_and_waited_for(hub: Hub) -> None:
    environment = hub.environment()
    hub.exported(environment, ago=timedelta(days=3))
    hub.rows(environment, "log", 100)
    hub.deliver(hub.request(environment, request_id="ticket-1"))

    def made(state: dict[str, Any]) -> bool:
        if state["next"] == "export" and not made.done:  # type: ignore[attr-defined]
            made.done = True  # type: ignore[attr-defined]
            hub.stage.pass_time(600)
            hub.exported(environment, ago=timedelta(0))
        return False

    made.done = False  # type: ignore[attr-defined]
    assert hub.play(made) == ["Succeed"]
    asked = [fact for fact in hub.stage.facts() if fact["detail-type"] == "Metadata Export Requested"]
    assert [(one["source"], one["account"]) for one in asked] == [("groundcrew.request", HUB)]
    assert hub.left(environment, "log") == 0


def test_exports_of_another_environment_that_had_the_name_cover_nothing(hub: Hub) -> None:
    environment = hub.environment()
    hub.exported(environment)
    environment.created = hub.now().timestamp()
    hub.rows(environment, "log", 100)
    hub.deliver(hub.request(environment))
    assert hub.play(lambda state: state["next"] == "export" and state["asked"]) != ["Succeed"]
    assert hub.left(environment, "log") == 1


def test_without_an_export_nothing_is_deleted(hub: Hub) -> None:
    environment = hub.environment()
    hub.rows(environment, "log", 100)
    hub.rows(environment, "xcom", 100)
    found = hub.clean(environment)
    assert (found["said"], found["cause"]) == ("Failed", "NotExported")
    assert hub.commands() == []


def test_an_export_that_nobody_can_read_is_none(hub: Hub) -> None:
    environment = hub.environment()
    hub.put(f"manifests/{environment.caller.account}/{environment.caller.region}/data/2026-x.json", {"tables": 3})
    assert hub.clean(environment)["cause"] == "UnreadableManifest"


def test_runs_that_are_not_finished_keep_all_that_is_younger(hub: Hub) -> None:
    environment = hub.environment()
    hub.exported(environment)
    airflow = hub.airflow(environment)
    airflow.rest("PATCH", "/dags/load", {}, {"is_paused": True})
    due = (hub.now() - timedelta(days=90)).isoformat()
    body = {"dag_run_id": "waits", "logical_date": None, "run_after": due}
    assert airflow.rest("POST", "/dags/load/dagRuns", {}, body)[0] == 200
    hub.rows(environment, "xcom", 100, 60)
    hub.rows(environment, "log", 100, 60)
    found = hub.clean(environment)
    assert (hub.left(environment, "xcom"), hub.left(environment, "log")) == (1, 0)
    assert found["tables"]["xcom"]["before"] == due.replace("+00:00", "+00:00")
    assert not found["converged"]


def test_it_is_cleaned_once_a_period_however_often_it_is_seen(hub: Hub) -> None:
    environment = hub.environment()
    hub.exported(environment)
    for _ in range(3):
        assert hub.deliver(hub.observed(environment))
    assert len(hub.orders()) == 1
    hub.play()
    hub.deliver(hub.observed(environment))
    assert len(hub.orders()) == 1
    hub.stage.pass_time(86_400)
    hub.deliver(hub.observed(environment))
    assert len(hub.orders()) == 2


def test_the_same_request_is_carried_out_once(hub: Hub) -> None:
    environment = hub.environment()
    hub.exported(environment)
    event = hub.request(environment, request_id="ticket-1")
    assert hub.deliver(event)
    hub.stage.pass_time(90)  # EventBridge delivers at least once
    assert hub.deliver(event | {"id": "another", "time": "2999-01-01T00:00:00Z"})
    (order,) = hub.orders()
    assert order["ordered_at"] < hub.now().isoformat()


def test_two_requests_at_once_count_each_row_once(hub: Hub) -> None:
    environment = hub.environment()
    hub.exported(environment)
    hub.rows(environment, "log", 100, 90, 80)
    hub.deliver(hub.request(environment, request_id="a"))
    hub.deliver(hub.request(environment, request_id="b"))
    assert hub.play() == ["Succeed", "Succeed"]
    assert sorted(found["tables"]["log"]["deleted"] for _, found in hub.facts()) == [0, 3]


def test_a_closed_window_is_waited_for(hub: Hub) -> None:
    environment = hub.environment()
    hub.exported(environment)
    opens = hub.now() + timedelta(hours=2)
    hub.policy(window={"from": f"{opens:%H:%M}", "until": f"{opens + timedelta(hours=1):%H:%M}"})
    hub.deliver(hub.observed(environment))
    assert hub.orders() == []
    hub.stage.pass_time(2 * 3600 + 60)
    hub.deliver(hub.observed(environment))
    assert len(hub.orders()) == 1


def test_a_window_that_closes_ends_the_clean_up_and_the_next_one_goes_on(hub: Hub) -> None:
    environment = hub.environment()
    hub.exported(environment)
    hub.rows(environment, "log", 100)
    hub.rows(environment, "xcom", 100)
    window = {"from": f"{hub.now():%H:%M}", "until": f"{hub.now() + timedelta(hours=1):%H:%M}"}
    hub.policy(window=window, seconds_per_run=86_400)
    hub.deliver(hub.observed(environment))

    def late(state: dict[str, Any]) -> bool:
        if state["work"] and state["work"]["results"] and hub.left(environment, "log") == 0:
            hub.stage.pass_time(3700 if hub.left(environment, "xcom") else 0)
        return False

    hub.play(late)
    ((said, found),) = hub.facts()
    assert (said, found["converged"]) == ("Finished", False)
    assert "window" in found["tables"]["xcom"]["kept"]
    assert (hub.left(environment, "log"), hub.left(environment, "xcom")) == (0, 1)
    hub.stage.pass_time(86_400)
    hub.exported(environment)
    hub.policy()
    assert hub.clean(environment)["tables"]["xcom"]["deleted"] == 1


def test_an_environment_that_is_updated_is_waited_for(hub: Hub) -> None:
    environment = hub.environment()
    hub.exported(environment)
    hub.rows(environment, "log", 100)
    hub.deliver(hub.request(environment))

    def updated(state: dict[str, Any]) -> bool:
        if state["seconds"] == 300:
            environment.status = "AVAILABLE"
        elif state["work"] and not state["work"]["results"]:
            environment.status = "UPDATING"
        return False

    assert hub.play(updated) == ["Succeed"]
    assert hub.left(environment, "log") == 0


def test_who_may_not_ask_is_denied(hub: Hub) -> None:
    environment = hub.environment()
    assert hub.deliver(hub.request(environment, sender=SPOKE2))
    ((said, _),) = hub.facts()
    assert said == "Request Denied"
    assert hub.orders() == []


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.SERVER_ERROR])
def test_trouble_is_waited_out(hub: Hub, kind: Kind) -> None:
    environment = hub.environment()
    hub.exported(environment)
    hub.rows(environment, "log", 100)
    hub.stage.aws.faults.add(kind, "airflow-cli:db clean", nth=2)
    found = hub.clean(environment)
    assert (found["said"], hub.left(environment, "log")) == ("Finished", 0)


def test_what_nothing_cures_is_reported_with_what_was_done(hub: Hub) -> None:
    environment = hub.environment()
    hub.exported(environment)
    hub.rows(environment, "job", 100)
    hub.rows(environment, "log", 100)

    def denied(state: dict[str, Any]) -> bool:
        if state["work"] and hub.left(environment, "job") == 0 and not denied.done:  # type: ignore[attr-defined]
            denied.done = True  # type: ignore[attr-defined]
            hub.stage.aws.faults.add(Kind.DENIED, "airflow:CreateCliToken", nth=None)
        return False

    denied.done = False  # type: ignore[attr-defined]
    hub.deliver(hub.request(environment))
    assert hub.play(denied) == ["Fail"]
    ((said, found),) = hub.facts()
    assert said == "Failed"
    assert found["remedy"]
    assert hub.left(environment, "log") == 1
    assert found["tables"]["log"]["kept"] == "it could not go on"


def test_how_far_behind_the_worst_is(hub: Hub) -> None:
    environment = hub.environment()
    hub.deliver(hub.observed(environment))
    hub.play()  # in vain: nothing is exported
    hub.stage.pass_time(8 * 86_400 - 6 * 3600)
    hub.facts()
    ref = EnvironmentRef(environment.caller.account, environment.caller.region, environment.name)
    bucket = Bucket.own(BUCKET, HUB, REGION)
    assert hours_behind(bucket, ref, hub.now()) == pytest.approx(8 * 24, abs=1)
    hub.policy(export_required=False)
    assert hub.clean(environment)["converged"]
    assert hours_behind(bucket, ref, hub.now()) < 1


@pytest.mark.parametrize(
    ("error", "evidence"),
    [
        ({"Error": "Lambda.Unknown", "Cause": "The function ran out of memory"}, "The function ran out of memory"),
        ({"Error": "States.Timeout"}, "States.Timeout"),  # Step Functions gives no cause then
        ({"Error": "States.Timeout", "Cause": ""}, "States.Timeout"),
    ],
)
def test_a_step_that_failed_for_hours_is_reported_with_its_cause(
    hub: Hub, error: dict[str, str], evidence: str
) -> None:
    environment = hub.environment()
    hub.exported(environment)
    hub.deliver(hub.request(environment))
    (order,) = hub.orders()
    step({"step": "report", "order": order, "error": error, "now": hub.now().isoformat()}, Context())
    ((said, found),) = hub.facts()
    assert (said, found["cause"], found["evidence"]) == ("Failed", "StepFailed", evidence)

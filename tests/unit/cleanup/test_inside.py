"""The hub's side of clean-ups inside Airflow 2: ship, order, start once, follow, read the report."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest

from cleanup.inside import DAG_ID, SYNCED, until
from cleanup.policy import Policy
from groundcrew import shipping
from groundcrew_cleaning.order import Ask, Order
from localcloud.inprocess.faults import Kind
from localcloud.model.environment import Environment
from tests.support.cleanup.hub import BUCKET, Hub
from tests.support.stage import HUB, REGION, SPOKE

OURS = {"groundcrew_cleanup.py": b"# a DAG"}
CLEAN = {"log": {"examined": 2, "deleted": 2, "left": 0, "kept": None, "bytes_before": 8192, "bytes_after": 0}}


@pytest.fixture(autouse=True)
def dag_is_built() -> Iterator[None]:
    with mock.patch("cleanup.inside.source", return_value=OURS):
        yield


def environment(hub: Hub, **more: Any) -> Environment:
    made = hub.environment("2.10.3", dags=[{"dag_id": DAG_ID, "seconds": 600, **more}])
    hub.exported(made)
    return made


def lying(hub: Hub, made: Environment, key: str) -> bytes:
    """An object in the environment's bucket."""
    name = made.setting("SourceBucketArn").rpartition(":")[2]
    content = hub.stage.aws.objects.buckets[name].content(key)
    assert content is not None
    return content


def orders(hub: Hub, made: Environment) -> list[str]:
    """The keys of the orders in the environment's bucket."""
    bucket = hub.stage.aws.objects.buckets[made.setting("SourceBucketArn").rpartition(":")[2]]
    return [key for key, versions in bucket.keys.items() if "/orders/" in key and versions]


def reports(hub: Hub, made: Environment, content: Any) -> Any:
    """What the run writes, once it is there."""

    def write(_state: dict[str, Any]) -> bool:
        for run in hub.airflow(made).runs():
            if content is not None:
                hub.put(f"extracts/{SPOKE}/{REGION}/data/{run.conf['cleanup_id']}/cleanup.json", content)
        return False

    return write


def clean(hub: Hub, made: Environment, content: Any, **detail: Any) -> dict[str, Any]:
    hub.deliver(hub.request(made, **detail))
    hub.play(reports(hub, made, content))
    ((said, found),) = hub.facts()
    return {"said": said} | found


def test_with_the_tag_off_what_was_shipped_goes(hub: Hub) -> None:
    made = environment(hub)
    clean(hub, made, {"converged": True, "tables": CLEAN})
    bucket = hub.stage.aws.objects.buckets[made.setting("SourceBucketArn").rpartition(":")[2]]
    assert bucket.content("dags/groundcrew/groundcrew_cleanup.py")
    made.tags["groundcrew:cleanup"] = "off"
    assert hub.deliver(hub.observed(made))
    assert [key for key in bucket.keys if bucket.current(key)] == []


@pytest.mark.parametrize("tag", [None, "data"])
def test_without_off_nothing_is_taken_back(hub: Hub, tag: str | None) -> None:
    """Another hub, or the owner, may have put it there."""
    made = environment(hub)
    clean(hub, made, {"converged": True, "tables": CLEAN})
    before = orders(hub, made)
    made.tags = {"groundcrew:cleanup": tag} if tag else {}
    hub.deliver(hub.observed(made))
    assert lying(hub, made, "dags/groundcrew/groundcrew_cleanup.py")
    assert orders(hub, made) == before


@pytest.mark.parametrize("status", ["UPDATING", "UNAVAILABLE", "DELETING"])
def test_off_waits_for_an_environment_that_is_ready(hub: Hub, status: str) -> None:
    made = environment(hub)
    clean(hub, made, {"converged": True, "tables": CLEAN})
    made.tags["groundcrew:cleanup"], made.status = "off", status
    assert hub.deliver(hub.observed(made))
    assert lying(hub, made, "dags/groundcrew/groundcrew_cleanup.py")


@pytest.mark.parametrize("action", ["sts:AssumeRole", "s3:ListObjectVersions", "s3:DeleteObject"])
@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.THROTTLED, Kind.TIMED_OUT_AFTER])
def test_what_cannot_be_taken_back_now_goes_the_next_time(hub: Hub, kind: Kind, action: str) -> None:
    made = environment(hub)
    clean(hub, made, {"converged": True, "tables": CLEAN})
    bucket = hub.stage.aws.objects.buckets[made.setting("SourceBucketArn").rpartition(":")[2]]
    made.tags["groundcrew:cleanup"] = "off"
    hub.stage.aws.faults.add(kind, action, nth=None)
    assert hub.deliver(hub.observed(made)) is (kind is Kind.DENIED)
    hub.stage.aws.faults.clear()
    assert hub.facts() == []
    for _ in range(2):  # an event may come twice
        assert hub.deliver(hub.observed(made))
        assert [key for key in bucket.keys if bucket.current(key)] == []


def test_it_is_shipped_started_once_followed_and_reported(hub: Hub) -> None:
    made = environment(hub)
    found = clean(hub, made, {"tables": CLEAN, "converged": True})
    assert (found["said"], found["engine"], found["converged"]) == ("Finished", "inside", True)
    assert found["tables"] == CLEAN
    assert lying(hub, made, "dags/groundcrew/groundcrew_cleanup.py") == b"# a DAG"
    (run,) = hub.airflow(made).runs()
    assert (run.dag_id, run.run_id) == (DAG_ID, f"groundcrew__{found['cleanup_id']}")


def test_the_conf_only_names_the_order_that_is_shipped_beside_the_dag(hub: Hub) -> None:
    made = environment(hub)
    began = hub.now()
    found = clean(hub, made, {"tables": CLEAN, "converged": True})
    (run,) = hub.airflow(made).runs()
    content = lying(hub, made, f"dags/groundcrew/orders/{found['cleanup_id']}.json")
    assert run.conf == {"cleanup_id": found["cleanup_id"], "sha256": hashlib.sha256(content).hexdigest()}
    assert run.queued_at - began >= SYNCED
    ask = Ask.of(run.conf, run.run_id, 1)
    order = Order.of(content, ask, "data", run.queued_at)
    assert order.deletes
    assert order.policy["days"] == {"default": 30}
    assert order.covered["log"]["column"] == "dttm"
    assert (order.place.bucket, order.place.owner) == (BUCKET, HUB)
    assert order.report_key == f"extracts/{SPOKE}/{REGION}/data/{found['cleanup_id']}/cleanup.json"
    assert order.seconds == 1800


def test_an_order_takes_the_place_of_the_one_before(hub: Hub) -> None:
    made = environment(hub)
    clean(hub, made, {"tables": CLEAN, "converged": True})
    found = clean(hub, made, {"tables": CLEAN, "converged": True})
    assert orders(hub, made) == [f"dags/groundcrew/orders/{found['cleanup_id']}.json"]


def test_a_dry_run_is_ordered_as_one(hub: Hub) -> None:
    made = environment(hub)
    found = clean(hub, made, {"tables": CLEAN, "converged": False}, dry_run=True)
    content = lying(hub, made, f"dags/groundcrew/orders/{found['cleanup_id']}.json")
    assert json.loads(content)["mode"] == found["mode"] == "report"


def test_a_paused_dag_is_unpaused(hub: Hub) -> None:
    made = environment(hub, is_paused=True)
    assert clean(hub, made, {"tables": CLEAN, "converged": True})["said"] == "Finished"


def test_a_dag_that_airflow_does_not_see_is_waited_for_and_then_reported(hub: Hub) -> None:
    made = hub.environment("2.10.3")
    hub.exported(made)
    found = clean(hub, made, None)
    assert (found["said"], found["cause"]) == ("Failed", "DagNotSeen")


ABSURD: list[Any] = [
    None,
    {},
    "text",
    {"tables": []},
    {"tables": {"log": 3}, "converged": True},
    {"tables": {"log": {"deleted": -1}}, "converged": True},
    {"tables": {"log": {"deleted": "all"}}, "converged": True},
    {"tables": {"log": {"longest_seconds": "long"}}, "converged": True},
    {"tables": {"log": {"kept": ["x"]}}, "converged": True},
    {"tables": {"Robert'); drop table": {}}, "converged": True},
    {"tables": {"t" * (number + 1): {} for number in range(63)} | {"u" * (n + 1): {} for n in range(63)}},
]


@pytest.mark.parametrize("content", ABSURD)
def test_a_run_without_a_report_that_can_be_read_has_failed(hub: Hub, content: Any) -> None:
    found = clean(hub, environment(hub), content)
    assert (found["said"], found["cause"]) == ("Failed", "NoReport")


def test_a_run_that_failed_says_what_it_had_done(hub: Hub) -> None:
    made = environment(hub, state="failed")
    found = clean(hub, made, {"tables": CLEAN, "converged": False})
    assert (found["said"], found["cause"], found["tables"]) == ("Failed", "RunFailed", CLEAN)


@pytest.mark.parametrize("kind", [Kind.TIMED_OUT_AFTER, Kind.KILLED_AFTER])
def test_a_start_without_an_answer_starts_no_second_run(hub: Hub, kind: Kind) -> None:
    made = environment(hub)
    starts = lambda attempt: str(attempt.params.get("Path", "")).endswith("/dagRuns")  # noqa: E731
    hub.stage.aws.faults.add(kind, "airflow:InvokeRestApi", where=starts)
    assert clean(hub, made, {"tables": CLEAN, "converged": True})["said"] == "Finished"
    assert len(hub.airflow(made).runs()) == 1


def test_without_the_dag_in_the_build_nothing_is_begun(hub: Hub) -> None:
    made = environment(hub)
    nowhere = mock.patch.object(shipping, "SOURCE", shipping.SOURCE / "nowhere")
    with mock.patch("cleanup.inside.source", shipping.source), nowhere:
        found = clean(hub, made, None)
    assert (found["said"], found["cause"]) == ("Failed", "Misconfigured")
    assert hub.airflow(made).runs() == []


def test_a_run_ends_with_the_window() -> None:
    window = {"from": "22:00", "until": "04:00"}
    policy = Policy.read({"days": {"default": 30}, "window": window, "seconds_per_run": 7200}, "p")
    at = datetime(2026, 11, 27, 3, 30, tzinfo=UTC)
    assert until(policy, "due", at) == at + timedelta(minutes=30)
    assert until(policy, "upgrade", at) == at + timedelta(hours=3)
    assert until(policy, "due", at - timedelta(hours=5)) == at - timedelta(hours=2)


def test_it_does_not_begin_when_its_window_has_closed_meanwhile(hub: Hub) -> None:
    """The export took too long."""
    made = environment(hub)
    now = hub.now()
    window = {"from": f"{now:%H:%M}", "until": f"{now + timedelta(minutes=1):%H:%M}"}
    hub.policy(window=window)
    hub.deliver(hub.observed(made))
    hub.stage.pass_time(600)
    hub.play()
    ((said, found),) = hub.facts()
    assert (said, found["cause"]) == ("Failed", "OutOfTime")
    assert (orders(hub, made), hub.airflow(made).runs()) == ([], [])


def test_an_environment_that_is_busy_for_too_long_is_not_cleaned_any_more(hub: Hub) -> None:
    made = environment(hub)
    hub.deliver(hub.request(made))
    hub.play(lambda state: busy(made, state))
    ((said, found),) = hub.facts()
    assert (said, found["cause"]) == ("Failed", "OutOfTime")
    assert hub.airflow(made).runs() == []


def busy(made: Environment, state: dict[str, Any]) -> bool:
    """It is updated as soon as it is planned, and for ever."""
    if state["planned_at"]:
        made.status = "UPDATING"
    return False


def test_a_run_that_does_not_end_is_not_waited_for_for_ever(hub: Hub) -> None:
    made = environment(hub, seconds=1_000_000)
    found = clean(hub, made, None)
    assert (found["said"], found["cause"], found["tables"]) == ("Failed", "RunTooSlow", {})
    assert clean(hub, made, None)["cause"] == "RunTooSlow"  # and the next clean-up may try


def test_a_run_says_why_it_has_failed(hub: Hub) -> None:
    made = environment(hub, state="failed")
    found = clean(hub, made, {"tables": {}, "converged": False, "failure": "this schema is not known"})
    assert "this schema is not known" in found["evidence"]

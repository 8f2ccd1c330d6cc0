"""The part from event to manifest, with the inside engine: what it exports, when, and what stops it."""

import gzip
import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from groundcrew.aws.locks import Locks
from groundcrew.aws.objects import Bucket
from localcloud.inprocess.faults import Kind
from tests.support.exports.hub import BUCKET, Hub
from tests.support.stage import HUB, REGION, SPOKE


def test_the_first_export_carries_everything_and_says_so(hub: Hub, tmp_path: Path) -> None:
    environment = hub.environment()
    hub.note(1, "one")
    hub.note(2, "")
    assert hub.export(environment, reason="because") == ["Succeed"]
    ((said, finished),) = hub.facts()
    assert (said, finished["reason"], finished["engine"]) == ("Finished", "because", "inside")
    assert finished["tables"] == {"dag_run_note": 2, "slot_pool": 1}
    assert hub.view(tmp_path) == {1: "one", 2: ""}
    (manifest,) = hub.manifests()
    assert manifest["verified"] is True
    assert hub.keys("manifests/") == [finished["manifest"]]
    note = manifest["tables"]["dag_run_note"]
    assert (note["rows"], note["window"]["from"]) == (2, None)
    assert [column["name"] for column in note["columns"]] == ["dag_run_id", "content", "created_at", "updated_at"]
    for file in note["files"] + note["parts"]:
        content = hub.content(file["key"])
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    assert manifest["covered"]["dag_run_note"]["column"] == "updated_at"
    assert "slot_pool" not in manifest["covered"]
    (row,) = hub.exported("slot_pool", tmp_path)
    assert {row[name] for name in ("account", "environment", "region")} == {"222222222222", "data", "us-east-1"}
    assert row["export_id"] == manifest["export_id"]
    assert row["include_deferred"] is False


def test_the_next_one_goes_on_where_the_last_verified_one_ended(hub: Hub, tmp_path: Path) -> None:
    environment = hub.environment()
    hub.note(1, "one")
    hub.note(2, "two")
    hub.policy(overlap_minutes=5)
    hub.stage.pass_time(600)
    hub.export(environment)
    hub.stage.pass_time(2 * 3600)
    hub.note(2, "changed")
    hub.note(3, "new")
    hub.stage.pass_time(10)
    assert hub.export(environment) == ["Succeed"]
    first, second = hub.manifests()
    window = second["tables"]["dag_run_note"]["window"]
    assert window["from"] < first["covered"]["dag_run_note"]["until"] <= window["until"]
    assert second["tables"]["dag_run_note"]["rows"] == 2
    assert hub.view(tmp_path) == {1: "one", 2: "changed", 3: "new"}


def test_no_rows_are_a_fact(hub: Hub, tmp_path: Path) -> None:
    environment = hub.environment()
    hub.engine.pools = []
    assert hub.export(environment) == ["Succeed"]
    (manifest,) = hub.manifests()
    for name, table in manifest["tables"].items():
        (file,) = table["files"]
        assert (table["rows"], file["rows"], hub.exported(name, tmp_path)) == (0, 0, [])


def test_the_sweep_begins_what_is_due_once_and_nothing_else(hub: Hub) -> None:
    environment = hub.environment()
    for _ in range(3):
        assert hub.deliver(hub.observed(environment))
    assert hub.play() == ["Succeed"]
    hub.stage.pass_time(23 * 3600)
    hub.deliver(hub.observed(environment))
    assert hub.play() == []
    hub.stage.pass_time(2 * 3600)
    hub.deliver(hub.observed(environment))
    assert hub.play() == ["Succeed"]
    assert [said for said, _ in hub.facts()] == ["Finished", "Finished"]


def test_a_backfill_comes_in_slices_one_after_the_other(hub: Hub, tmp_path: Path) -> None:
    environment = hub.environment()
    hub.policy(backfill_days=60, slice_days=30)
    hub.note(1, "old")
    hub.stage.pass_time(50 * 86400)
    hub.note(2, "newer")
    hub.stage.pass_time(20 * 86400)
    rows = []
    while True:
        hub.deliver(hub.observed(environment))
        if not hub.play():
            break
        rows.append(hub.manifests()[-1]["tables"]["dag_run_note"]["rows"])
    assert len(rows) == 3
    assert hub.view(tmp_path) == {1: "old", 2: "newer"}
    windows = [one["tables"]["dag_run_note"]["window"] for one in hub.manifests()]
    assert all(later["from"] < earlier["until"] for earlier, later in pairwise(windows))


@pytest.mark.parametrize(
    ("detail", "cause"),
    [
        ({"tables": ["connection"]}, "UnknownTable"),
        ({"tables": ["xcom"]}, "NotOptedIn"),
        ({"tables": ["asset_event"]}, "NoSuchTable"),
        ({"window": {"from": "2026-11-02T00:00:00Z", "until": "2026-11-01T00:00:00Z"}}, "ReversedWindow"),
        ({"window": {"from": None, "until": "2099-01-01T00:00:00Z"}}, "FutureWindow"),
        ({"window": {"from": "2099-01-01T00:00:00Z", "until": None}}, "FutureWindow"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(hub: Hub, detail: dict[str, Any], cause: str) -> None:
    environment = hub.environment()
    assert hub.export(environment, **detail) == ["Plan"]
    ((said, failed),) = hub.facts()
    assert (said, failed["cause"]) == ("Failed", cause)
    assert failed["remedy"]
    assert hub.keys() == []


def test_a_window_without_a_zone_is_refused_before_anything_begins(hub: Hub) -> None:
    environment = hub.environment()
    assert hub.export(environment, window={"from": "2026-11-01", "until": None}) == []
    ((said, failed),) = hub.facts()
    assert (said, failed["cause"]) == ("Failed", "InvalidRequest")


def test_a_window_of_its_own_leaves_what_is_covered_without_a_gap(hub: Hub) -> None:
    environment = hub.environment()
    hub.export(environment)
    covered = hub.manifests()[-1]["covered"]
    hub.stage.pass_time(10 * 86400)
    since = (hub.now() - timedelta(days=2)).isoformat()
    assert hub.export(environment, window={"from": since, "until": None}) == ["Succeed"]
    assert hub.manifests()[-1]["covered"] == covered


def test_nothing_is_exported_without_the_tag(hub: Hub) -> None:
    environment = hub.environment(tag=None)
    hub.deliver(hub.observed(environment))
    assert hub.play() == []
    assert hub.export(environment) == []
    ((said, failed),) = hub.facts()
    assert (said, failed["cause"]) == ("Failed", "NoPolicy")


def test_with_the_tag_off_what_was_shipped_goes(hub: Hub) -> None:
    environment = hub.environment()
    hub.export(environment)
    (bucket,) = [one for name, one in hub.stage.aws.objects.buckets.items() if name != BUCKET]
    assert bucket.content("dags/groundcrew/groundcrew_export.py")
    environment.tags["groundcrew:exports"] = "off"
    assert hub.deliver(hub.observed(environment))
    assert [key for key in bucket.keys if bucket.current(key)] == []


def test_somebody_else_may_not_ask(hub: Hub) -> None:
    environment = hub.environment()
    hub.deliver(hub.request(environment, sender="333333333333"))
    assert hub.play() == []
    assert [said for said, _ in hub.facts()] == ["Request Denied"]


def test_a_dag_that_the_scheduler_never_knows(hub: Hub) -> None:
    environment = hub.environment(known=False)
    assert hub.export(environment) == ["Extract"]
    ((_, failed),) = hub.facts()
    assert failed["cause"] == "DagNeverParsed"
    assert hub.manifests() == []


def test_a_run_that_fails_is_tried_again_and_then_a_redrive_tries_anew(hub: Hub) -> None:
    environment = hub.environment()
    state = hub.stage.aws.airflow(environment).state
    dag = state.dags["groundcrew_export"]
    dag.state = "failed"
    assert hub.export(environment) == ["Extract"]
    ((_, failed),) = hub.facts()
    assert failed["cause"] == "ExtractFailed"
    assert len(state.runs) == 3
    dag.state = "success"
    assert hub.redrive() == "Succeed"
    assert len(state.runs) == 4
    assert len(hub.manifests()) == 1


def test_after_one_that_failed_the_next_waits_an_hour_for_its_redrive(hub: Hub) -> None:
    environment = hub.environment()
    dag = hub.stage.aws.airflow(environment).state.dags["groundcrew_export"]
    dag.state = "failed"
    assert hub.export(environment) == ["Extract"]
    failed_at, dag.state = hub.now(), "success"
    assert hub.export(environment) == ["Succeed"]
    assert any("TransientError" in failure for failure in hub.failures)
    assert hub.now() - failed_at < timedelta(hours=1, minutes=15)


def test_a_run_that_does_not_end(hub: Hub) -> None:
    environment = hub.environment()
    state = hub.stage.aws.airflow(environment).state
    state.dags["groundcrew_export"].seconds = 9 * 3600
    assert hub.export(environment) == ["Extract"]
    ((_, failed),) = hub.facts()
    assert failed["cause"] == "ExtractTooSlow"
    assert hub.manifests() == []


def test_an_airflow_whose_clock_is_half_a_day_behind(hub: Hub) -> None:
    environment = hub.environment()
    state, clock = hub.stage.aws.airflow(environment).state, hub.stage.aws.clock
    state.clock = lambda: clock.now() - 12 * 3600
    state.dags["groundcrew_export"].seconds = 600
    assert hub.export(environment) == ["Succeed"]
    assert len(state.runs) == len(hub.manifests()) == 1


def _longer(receipt: dict[str, Any], parts: dict[str, bytes]) -> None:
    """A part that was changed after it was uploaded."""
    key = receipt["tables"]["dag_run_note"]["parts"][0]["key"]
    parts[key] += b"\0"


def _rewritten(receipt: dict[str, Any], parts: dict[str, bytes], change: Any) -> None:
    part = receipt["tables"]["dag_run_note"]["parts"][0]
    parts[part["key"]] = body = gzip.compress(change(gzip.decompress(parts[part["key"]])))
    part |= {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def _later(text: str, **by: float) -> str:
    return (datetime.fromisoformat(text) + timedelta(**by)).isoformat()


TROUBLES: dict[str, tuple[Any, str]] = {
    "a part was changed": (_longer, "CorruptPart"),
    "a part is missing": (lambda _receipt, parts: parts.pop(next(iter(parts))), "MissingPart"),
    "a row is missing": (
        lambda receipt, parts: _rewritten(receipt, parts, lambda text: text[: text[:-1].rindex(b"\n") + 1]),
        "WrongCount",
    ),
    "a row is there twice": (
        lambda receipt, parts: _rewritten(receipt, parts, lambda text: text + text.splitlines(keepends=True)[-1]),
        "WrongCount",
    ),
    "a value is not of its type": (
        lambda receipt, parts: _rewritten(receipt, parts, lambda text: text.replace(b"\n1,", b"\none,")),
        "UnreadablePart",
    ),
    "not UTF-8": (
        lambda receipt, parts: _rewritten(receipt, parts, lambda text: text.replace(b"first", b"f\xff\xfe")),
        "UnreadablePart",
    ),
    "a column more": (
        lambda receipt, parts: _rewritten(receipt, parts, lambda text: text.replace(b"\n", b",x\n")),
        "UnreadablePart",
    ),
    "a column has another name": (
        lambda receipt, parts: _rewritten(receipt, parts, lambda text: text.replace(b"content", b"comment")),
        "UnreadablePart",
    ),
    "a column appeared": (
        lambda receipt, _parts: receipt["tables"]["dag_run_note"]["columns"].append("user_id"),
        "BadReceipt",
    ),
    "the source counted more": (
        lambda receipt, _parts: receipt["tables"]["dag_run_note"].update(rows=3),
        "BadReceipt",
    ),
    "another window": (
        lambda receipt, _parts: receipt["tables"]["dag_run_note"]["window"].update(
            {"from": "2026-01-01T00:00:00+00:00"}
        ),
        "BadReceipt",
    ),
    "it says that it covers more": (
        lambda receipt, _parts: receipt["tables"]["dag_run_note"]["window"].update(
            until=_later(receipt["tables"]["dag_run_note"]["window"]["until"], hours=1)
        ),
        "BadReceipt",
    ),
    "it begins earlier, which it was not asked for": (
        lambda receipt, _parts: receipt["tables"]["slot_pool"]["window"].update(
            {"from": "2026-01-01T00:00:00+00:00", "column": "updated_at"}
        ),
        "BadReceipt",
    ),
    "its window is of another column": (
        lambda receipt, _parts: receipt["tables"]["dag_run_note"]["window"].update(column="created_at"),
        "BadReceipt",
    ),
    "a snapshot of the future": (
        lambda receipt, _parts: receipt.update(snapshot_at=_later(receipt["snapshot_at"], minutes=6)),
        "BadReceipt",
    ),
    "a snapshot from before the order": (
        lambda receipt, _parts: receipt.update(snapshot_at=_later(receipt["snapshot_at"], minutes=-6)),
        "BadReceipt",
    ),
    "another environment's": (lambda receipt, _parts: receipt["environment"].update(name="other"), "BadReceipt"),
    "a table is missing": (lambda receipt, _parts: receipt["tables"].pop("slot_pool"), "BadReceipt"),
    "a part elsewhere": (
        lambda receipt, _parts: receipt["tables"]["slot_pool"]["parts"][0].update(key="manifests/x.csv.gz"),
        "BadReceipt",
    ),
    "no receipt": (lambda receipt, _parts: receipt.clear(), "BadReceipt"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_what_is_not_as_it_was_said_is_no_export(hub: Hub, name: str, tmp_path: Path) -> None:
    environment = hub.environment()
    hub.note(1, "first")
    hub.note(2, "second")
    hub.engine.spoil, cause = TROUBLES[name]
    assert hub.export(environment) == ["Verify"]
    ((said, failed),) = hub.facts()
    assert (said, failed["cause"]) == ("Failed", cause)
    assert hub.keys("manifests/") + hub.keys("tables/") + hub.keys("verified/") == []
    assert "first" not in json.dumps(failed)
    hub.engine.spoil = lambda _receipt, _parts: None
    assert hub.export(environment, request_id="again") == ["Succeed"]
    assert hub.view(tmp_path) == {1: "first", 2: "second"}


@pytest.mark.parametrize(
    ("happens", "cause"),
    [
        (lambda hub, key: hub.put(key, hub.content(key)[:-1] + b"?"), "ChangedFile"),
        (lambda hub, key: hub.put(key, b""), "ChangedFile"),
        (lambda _hub, key: Bucket.own(BUCKET, HUB, REGION).delete(key), "MissingFile"),
    ],
)
def test_what_is_not_there_as_it_was_verified_gets_no_manifest(
    hub: Hub, happens: Callable[[Hub, str], None], cause: str
) -> None:
    environment = hub.environment()
    hub.note(1, "one")
    denied = hub.stage.aws.faults.add(Kind.DENIED, "s3:HeadObject")
    assert hub.export(environment) == ["Publish"]
    assert denied.fired
    hub.facts()
    happens(hub, hub.keys("tables/dag_run_note/")[0])
    assert hub.redrive() == "Publish"
    ((said, failed),) = hub.facts()
    assert (said, failed["cause"], hub.manifests()) == ("Failed", cause, [])
    assert hub.export(environment) == ["Succeed"]


def test_what_is_covered_is_no_younger_than_the_snapshot(hub: Hub) -> None:
    environment = hub.environment()
    behind = hub.now() - timedelta(minutes=4)  # the clock of its database
    hub.engine.spoil = lambda receipt, _parts: receipt.update(snapshot_at=behind.isoformat())
    assert hub.export(environment) == ["Succeed"]
    assert hub.manifests()[0]["covered"]["dag_run_note"]["until"] == behind.isoformat()


def test_an_environment_that_was_made_anew_begins_anew(hub: Hub) -> None:
    former = hub.environment()
    hub.export(former)
    hub.stage.delete(former)
    hub.made.clear()
    environment = hub.environment()
    since = hub.now().isoformat()
    hub.stage.pass_time(600)
    # A window of its own would go on from what was covered of the other database.
    assert hub.export(environment, window={"from": since, "until": None}) == ["Succeed"]
    first, second = hub.manifests()
    assert "dag_run_note" in first["covered"]
    assert second["covered"] == {}
    hub.stage.pass_time(25 * 3600)
    assert hub.deliver(hub.observed(environment))
    assert hub.play() == ["Succeed"]
    assert hub.manifests()[-1]["tables"]["dag_run_note"]["window"]["from"] is None


def test_an_environment_that_was_made_anew_is_due_at_once(hub: Hub) -> None:
    former = hub.environment()
    hub.export(former)
    hub.stage.delete(former)
    hub.made.clear()
    environment = hub.environment()
    assert hub.deliver(hub.observed(environment))
    assert hub.play() == ["Succeed"]
    assert hub.manifests()[-1]["reason"] == "there is no verified export yet"


def test_two_at_once_wait_for_each_other(hub: Hub) -> None:
    environment = hub.environment()
    Locks("groundcrew-locks", REGION).lease(f"exports/{SPOKE}/{REGION}/data", "another", 600)
    assert hub.export(environment) == ["Succeed"]
    assert any("TransientError" in failure for failure in hub.failures)
    Locks("groundcrew-locks", REGION).lease(f"exports/{SPOKE}/{REGION}/data", "another", 7 * 86400)
    hub.stage.pass_time(25 * 3600)
    hub.deliver(hub.observed(environment))
    assert hub.play() == ["Succeed"]  # what is due does not wait: the sweep comes back
    assert len(hub.manifests()) == 1


@pytest.mark.parametrize(("tag", "cause"), [("imagined", "MissingPolicy"), ("daily", "InvalidPolicy")])
def test_an_environment_that_is_never_due_is_said(hub: Hub, tag: str, cause: str) -> None:
    environment = hub.environment(tag)
    hub.policy(every_hours=-1)
    assert hub.deliver(hub.observed(environment))
    assert hub.stage.aws.small.executions == {}
    ((said, found),) = hub.facts()
    assert (said, found["cause"], found["reason"], found["policy"]) == ("Failed", cause, "due", tag)


def test_the_same_request_is_carried_out_once_whenever_it_comes(hub: Hub) -> None:
    environment = hub.environment()
    event = hub.request(environment, request_id="ticket-1")
    assert hub.deliver(event)
    hub.stage.pass_time(90)  # EventBridge delivers at least once
    assert hub.deliver(event | {"id": "another", "time": "2999-01-01T00:00:00Z"})
    (execution,) = hub.stage.aws.small.executions.values()
    assert json.loads(execution["input"])["ordered_at"] < hub.now().isoformat()

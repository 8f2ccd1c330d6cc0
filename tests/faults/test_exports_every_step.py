"""Every call of an export fails in turn, before and after it took effect, and the process dies: nothing is spoilt.

After the state machine's own retries or one redrive the rows are those of an export without the fault, and whatever
happens in between, no manifest describes what is not there.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from exports import step
from groundcrew.aws.objects import Bucket, Stored
from localcloud.inprocess.faults import Kind
from tests.support.exports.hub import BUCKET, Hub, open_hub
from tests.support.tiers import Sample

KINDS = (Kind.THROTTLED, Kind.TIMED_OUT_AFTER, Kind.KILLED_BEFORE, Kind.KILLED_AFTER)
WANTED = {1: "one", 2: "changed", 3: "three"}


def export_twice(hub: Hub, strike: Any = None) -> None:
    """Two exports, the second of them with a fault; whoever asks or watches does what the documentation says."""
    environment = hub.environment()
    hub.note(1, "one")
    hub.note(2, "two")
    hub.export(environment)
    hub.stage.pass_time(2 * 3600)
    hub.note(2, "changed")
    hub.note(3, "three")
    hub.stage.aws.journal.clear()
    if strike:
        strike(hub)
    event = hub.request(environment)
    for _ in range(3):
        try:
            if hub.deliver(event):
                break
        except BaseException as error:  # the function died; SQS delivers again
            hub.failures.append(repr(error))
    for end in hub.play():
        if end != "Succeed":
            hub.stage.aws.faults.clear()
            assert hub.redrive() == "Succeed"


def lies(hub: Hub) -> list[str]:
    """What manifests say and is not so."""
    found = []
    for manifest in hub.manifests():
        for name, table in manifest["tables"].items():
            if sum(file["rows"] for file in table["files"]) != table["rows"]:
                found.append(f"{name}: not all rows are in files")
            for file in table["files"]:
                content = hub.stage.aws.objects.buckets[BUCKET].content(file["key"])
                if content is None or hashlib.sha256(content).hexdigest() != file["sha256"]:
                    found.append(f"{file['key']} is not there")
    return found


@cache
def calls() -> int:
    """Number of calls that an export without a fault makes."""
    with open_hub() as hub:
        export_twice(hub)
        return len(hub.stage.aws.calls("*"))


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_call_fails_the_rows_are_the_same(kind: Kind, tmp_path: Path, sample: Sample[int]) -> None:
    assert calls() > 30
    for number in sample(range(1, calls() + 1)):
        with open_hub() as hub:
            rules: list[Any] = []

            def strike(hub: Hub, number: int = number, rules: list[Any] = rules) -> None:
                rules.append(hub.stage.aws.faults.add(kind, nth=number))

            export_twice(hub, strike)
            assert rules[0].fired, (kind, number)
            assert hub.view(tmp_path) == WANTED, (kind, number, hub.failures)
            assert lies(hub) == [], (kind, number)
            assert len(hub.manifests()) == 2
            said = [said for said, _ in hub.facts()]
            assert said[0] == "Finished"
            assert "Finished" in said[1:]


@contextmanager
def manifest_first() -> Iterator[None]:
    """A step that publishes before it has looked."""
    stock = step.Step.publish

    def publish(self: step.Step) -> Any:
        order, bucket = self._order, self._bucket
        manifest = {"verified": True, "export_id": order.export_id, "covered": {}, "tables": {}}
        manifest["tables"] = {"slot_pool": {"rows": 1, "files": [{"key": "tables/x", "rows": 1, "sha256": ""}]}}
        bucket.put(f"manifests/{order.environment}/{order.export_id}.json", json.dumps(manifest).encode())
        return stock(self)

    with mock.patch.object(step.Step, "publish", publish):
        yield


def test_a_manifest_that_is_written_too_early_is_found() -> None:
    """The negative control of ``lies``."""
    with manifest_first(), open_hub() as hub:

        def strike(hub: Hub) -> None:
            hub.stage.aws.faults.add(Kind.THROTTLED, "s3:HeadObject", nth=None)

        with mock.patch.object(Hub, "redrive", return_value="Succeed"):
            export_twice(hub, strike)
        assert lies(hub)


def test_a_verify_that_loses_rows_is_found(tmp_path: Path) -> None:
    """The negative control of the rows: the second export's Parquet is not written."""
    stock = Bucket.put

    def put(self: Bucket, key: str, content: bytes, **more: Any) -> Any:
        if key.startswith("tables/"):
            seen.append(key)
            if len(seen) > 2:
                return Stored(key, None, etag='"lost"')
        return stock(self, key, content, **more)

    seen: list[str] = []
    with mock.patch.object(Bucket, "put", put), open_hub() as hub:
        with pytest.raises(AssertionError):
            export_twice(hub)
        assert hub.view(tmp_path) != WANTED

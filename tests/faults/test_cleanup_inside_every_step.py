"""Every single call of the hub fails in turn while it has Airflow 2 cleaned: no order is carried out twice, nothing
young goes, what is said is true, the next clean-up finishes. Its run reads the order as the shipped DAG does.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from typing import Any
from unittest import mock

import pytest

from cleanup import inside
from groundcrew_cleaning.order import Ask, Order, OrderError
from localcloud.inprocess.aws import Entry
from localcloud.inprocess.faults import Kind
from localcloud.model.airflow_state import Run
from localcloud.model.environment import Environment
from tests.faults.cleanup_harness import ONLY_READ, run, run_with
from tests.support.cleanup.hub import BUCKET, Hub, open_hub
from tests.support.figures import Figure
from tests.support.tiers import Sample

OLD, YOUNG = (100.0, 40.0), (2.0,)


@dataclass
class Inside:
    """The runs of an environment: each reads its order once it is due, deletes, and writes its report."""

    hub: Hub
    environment: Environment
    carried_out: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def each(self, _state: dict[str, Any]) -> bool:
        self.hub.airflow(self.environment).state.settle()
        for one in self.hub.airflow(self.environment).state.runs:
            if one.start_date and one.run_id not in self.carried_out + self.refused:
                self._begin(one)
        return False

    def _begin(self, one: Run) -> None:
        objects = self.hub.stage.aws.objects.buckets
        bucket = objects[self.environment.setting("SourceBucketArn").rpartition(":")[2]]
        try:
            ask = Ask.of(one.conf, one.run_id, 1)
            content = bucket.content(f"dags/groundcrew/orders/{ask.cleanup_id}.json") or b""
            if hashlib.sha256(content).hexdigest() != ask.sha256:
                raise OrderError("no such order")
            order = Order.of(content, ask, self.environment.name, self.hub.now())
        except OrderError:
            self.refused.append(one.run_id)
            return
        self.carried_out.append(one.run_id)
        before = self.hub.left(self.environment, "xcom")
        self.hub.rows(self.environment, "xcom", *YOUNG)
        gone = {"examined": before, "deleted": before - len(YOUNG), "left": 0, "kept": None}
        exports = objects[BUCKET]
        like = next(versions[-1] for versions in exports.keys.values() if versions)
        report = json.dumps({"tables": {"xcom": gone}, "converged": True}).encode()
        exports.keys[order.report_key].append(replace(like, id=one.run_id, content=report))


@contextmanager
def made() -> Iterator[Inside]:
    with open_hub() as hub:
        environment = hub.environment("2.10.3", dags=[{"dag_id": inside.DAG_ID, "seconds": 200}])
        hub.exported(environment)
        hub.rows(environment, "xcom", *OLD, *YOUNG)
        yield Inside(hub, environment)


@cache
def calls() -> tuple[Entry, ...]:
    """The calls of a clean-up without a fault."""
    with made() as there:
        since = len(there.hub.stage.aws.journal)
        run(there.hub, there.environment, there.each)
        return tuple({entry.attempt.invocation: entry for entry in there.hub.stage.aws.journal[since:]}.values())


def problems(kind: Kind, nth: int) -> list[str]:
    """What is not as it should be, if this call fails in this way."""
    with made() as there:
        found = run_with(there.hub, there.environment, kind, nth, there.each)
        found += judged(there)
        there.hub.stage.pass_time(3600)  # leases end
        run(there.hub, there.environment, there.each)
        found += [f"next: {one}" for one in judged(there, healed=True)]
        return [f"call {nth} ({kind.value}): {one}" for one in found]


def judged(there: Inside, *, healed: bool = False) -> list[str]:
    """What was said, against what is there."""
    found, facts = [], there.hub.facts()
    left = there.hub.left(there.environment, "xcom")
    if left < len(YOUNG) or there.refused:
        found.append(f"{left} rows are left, and these runs were refused: {there.refused}")
    if healed and (left != len(YOUNG) or [said for said, _ in facts] != ["Finished"]):
        found.append(f"{left} rows are left, and said is {facts}")
    runs = [one.run_id for one in there.hub.airflow(there.environment).state.runs]
    if len(set(runs)) != len(runs) or sorted(set(there.carried_out)) != sorted(there.carried_out):
        found.append(f"a run was there twice: {runs}, {there.carried_out}")
    for said, detail in facts:
        if said == "Finished" and (left != len(YOUNG) or detail["tables"]["xcom"]["left"] != 0):
            found.append(f"it is said to be clean: {detail}")
    return found


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name.lower())
def test_whatever_fails_nothing_young_goes_and_the_next_one_finishes(
    kind: Kind, figure: Figure, sample: Sample[int]
) -> None:
    tried: Sequence[int] = [number for number, call in enumerate(calls(), 1) if call.effect or kind in ONLY_READ]
    assert tried
    tried = sample(tried)
    figure("fault cases, clean-ups inside", len(tried))
    assert [problem for number in tried for problem in problems(kind, number)] == []


def test_without_a_fault_it_is_done_at_once() -> None:
    with made() as there:
        run(there.hub, there.environment, there.each)
        assert judged(there, healed=True) == []
        assert len(there.carried_out) == 1
        assert not any(there.hub.stage.aws.small.tables.items.values()), "a lock is left shut"


# ------------------------------------------------------------------ negative controls
def test_one_that_starts_a_run_with_another_order_than_it_has_shipped_is_caught() -> None:
    start = inside.Inside.start

    def hasty(engine: inside.Inside, sha256: str) -> bool:
        return start(engine, hashlib.sha256(sha256.encode()).hexdigest())

    with mock.patch.object(inside.Inside, "start", hasty):
        assert any("refused" in problem for problem in problems(Kind.THROTTLED, 1))


def test_one_that_starts_a_run_anew_with_each_try_is_caught() -> None:
    start, tries = inside.Inside.start, count()

    def forgetful(engine: inside.Inside, sha256: str) -> bool:
        again = replace(engine.order, cleanup_id=f"{engine.order.cleanup_id}-{next(tries)}")
        return start(replace(engine, order=again), sha256)

    nth = next(
        number for number, call in enumerate(calls(), 1) if "/dagRuns" in str(call.attempt.params) and call.effect
    )
    with mock.patch.object(inside.Inside, "start", forgetful):
        assert problems(Kind.KILLED_AFTER, nth)

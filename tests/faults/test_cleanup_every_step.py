"""Every single call of a clean-up fails in turn: nothing young goes, what is said is true, the next one finishes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from unittest import mock

import pytest

from cleanup import outside_plan, outside_slices
from cleanup.outside_output import Cleaned
from cleanup.outside_versions import capability
from localcloud.inprocess.aws import Entry
from localcloud.inprocess.faults import Kind
from localcloud.model.environment import Environment
from tests.faults.cleanup_harness import ONLY_READ, run, run_with
from tests.support.cleanup.hub import Hub, open_hub
from tests.support.figures import Figure
from tests.support.tiers import Sample

OLD = {"log": (100.0, 40.0), "xcom": (90.0,)}
YOUNG = {"log": (2.0,), "xcom": (29.0,)}


@contextmanager
def made() -> Iterator[tuple[Hub, Environment]]:
    """An environment with old rows and young ones, and an export; of its tables, two are cleaned."""
    can = capability("3.3.1")
    few = replace(can, tables={table: can.tables[table] for table in OLD})
    with open_hub() as hub, mock.patch("cleanup.step.capability", return_value=few):
        environment = hub.environment()
        hub.exported(environment)
        for table, days in OLD.items():
            hub.rows(environment, table, *days, *YOUNG[table])
        yield hub, environment


@cache
def calls() -> tuple[Entry, ...]:
    """The calls of a clean-up without a fault."""
    with made() as (hub, environment):
        since = len(hub.stage.aws.journal)
        run(hub, environment)
        return tuple({entry.attempt.invocation: entry for entry in hub.stage.aws.journal[since:]}.values())


def problems(kind: Kind, nth: int) -> list[str]:
    """What is not as it should be, if this call fails in this way."""
    with made() as (hub, environment):
        found = run_with(hub, environment, kind, nth)
        found += judged(hub, environment)
        hub.stage.pass_time(3600)  # leases end
        run(hub, environment)
        found += [f"next: {one}" for one in judged(hub, environment, healed=True)]
        return [f"call {nth} ({kind.value}): {one}" for one in found]


def judged(hub: Hub, environment: Environment, *, healed: bool = False) -> list[str]:
    """What was said, against what is there."""
    found, facts = [], hub.facts()
    left = {table: hub.left(environment, table) for table in OLD}
    old = {table: rows - len(YOUNG[table]) for table, rows in left.items()}
    if any(rows < 0 for rows in old.values()):
        found.append(f"young rows are gone: {left}")
    if healed and (any(old.values()) or [said for said, _ in facts] != ["Finished"]):
        found.append(f"{old} are left, and said is {facts}")
    for said, detail in facts:
        for table, about in detail["tables"].items():
            if about["deleted"] > len(OLD[table]):
                found.append(f"{said}: more is said to be deleted than there was: {table}: {about}")
            if said == "Finished" and about["kept"] is None and (about["left"], old[table]) != (0, 0):
                found.append(f"{table} is said to be clean: {about}, and {old[table]} are left")
    return found


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name.lower())
def test_whatever_fails_nothing_young_goes_and_the_next_one_finishes(
    kind: Kind, figure: Figure, sample: Sample[int]
) -> None:
    tried: Sequence[int] = [
        number for number, call in enumerate(calls(), 1) if call.effect or kind in ONLY_READ or _asks(call)
    ]
    assert tried
    tried = sample(tried)
    figure("fault cases, clean-ups", len(tried))
    assert [problem for number in tried for problem in problems(kind, number)] == []


def test_without_a_fault_it_is_done_at_once() -> None:
    with made() as (hub, environment):
        run(hub, environment)
        assert judged(hub, environment, healed=True) == []
        assert not any(hub.stage.aws.small.tables.items.values()), "a lock is left shut"


def _asks(call: Entry) -> bool:
    return call.operation == "airflow:InvokeRestApi" or call.operation.startswith("airflow-cli:")


# ------------------------------------------------------------------ negative controls
def test_one_that_takes_every_row_is_caught() -> None:
    everything = mock.patch.object(
        outside_plan, "timedelta", side_effect=lambda **_: outside_slices.SECOND
    )  # days are seconds
    with everything, made() as (hub, environment):
        run(hub, environment)
        assert any("young rows are gone" in problem for problem in judged(hub, environment))


def test_one_that_believes_what_was_not_answered_is_caught() -> None:
    """A command without an answer is taken for done: then one that did not arrive is said to have cleaned."""

    def believing(progress: outside_slices.Progress) -> outside_slices.Progress:
        return replace(progress, stage="done", deleted=dict(progress.rows))

    nth = next(number for number, call in enumerate(calls(), 1) if _deletes(call))
    with mock.patch.object(outside_slices.Progress, "_unanswered", believing):
        assert problems(Kind.RESET_BEFORE, nth)


def _deletes(call: Entry) -> bool:
    return call.operation.startswith("airflow-cli:") and "--yes" in str(call.attempt.params)


def test_one_that_does_not_look_again_is_caught() -> None:
    """What a command prints is believed; the one that lies about its end is not noticed."""
    seen: list[str] = []

    def believing(progress: outside_slices.Progress, answer: Cleaned) -> outside_slices.Progress:
        seen.append(progress.target.table)
        return replace(progress, stage="done", deleted=dict(progress.rows))

    with (
        mock.patch.object(outside_slices.Progress, "_proved", believing),
        mock.patch("localcloud.model.airflow_clean.Cleaner._delete"),
        made() as (hub, environment),
    ):
        run(hub, environment)
        assert seen
        assert any("is said to be clean" in problem for problem in judged(hub, environment))

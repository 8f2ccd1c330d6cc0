"""Which runs go, where no database is needed to say so; the oracle on real ones is in ``tests/airflow``."""

from datetime import UTC, datetime, timedelta

import pytest

from groundcrew_cleaning.plan import Run, plan

NOW = datetime(2026, 11, 22, tzinfo=UTC)
OLD = NOW - timedelta(days=400)


def going(*types: str) -> list[int]:
    """Of old runs of one DAG, the newest first, those that go."""
    runs = [Run(number, "load", kind, "success", OLD) for number, kind in enumerate(types)]
    return list(plan(runs, {"days": {"default": 7}}, {"dag_run": []}, NOW).going)


@pytest.mark.parametrize("newest", ["manual", "dataset_triggered", "scheduled"])
def test_the_newest_of_each_kind_stays(newest: str) -> None:
    kinds = ["manual", "dataset_triggered", "scheduled"]
    others = [kind for kind in kinds if kind != newest]
    assert going(newest, newest, *others, *others) == [1, 4, 5]


def test_a_backfill_stands_for_the_schedule() -> None:
    assert going("backfill", "scheduled", "scheduled") == [1, 2]

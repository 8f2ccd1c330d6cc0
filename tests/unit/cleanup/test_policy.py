import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cleanup.policy import EXPENDABLE, Policy
from groundcrew.errors import PermanentError

EXAMPLES = sorted((Path(__file__).parents[3] / "examples/policies").glob("cleanup-*.json"))
PLAIN: dict[str, Any] = {"days": {"default": 30}}


def read(**more: Any) -> Policy:
    return Policy.read(PLAIN | more, "/groundcrew/cleanup/plain")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_policy_deletes_nothing_until_it_says_so() -> None:
    assert not read().deletes
    assert not read(mode="report").deletes
    assert read(mode="delete").deletes


def test_what_a_policy_does_not_say_is_the_careful_choice() -> None:
    policy = read()
    assert policy.export_required
    assert policy.expendable == EXPENDABLE
    assert policy.confirm == 0.5
    assert policy.days_of("log") == 30


def test_a_table_may_have_days_of_its_own_or_be_kept() -> None:
    policy = read(days={"default": 30, "tables": {"log": 90, "job": None}})
    assert [policy.days_of(table) for table in ("log", "job", "xcom")] == [90, None, 30]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_policies_that_only_report(path: Path) -> None:
    assert not Policy.read(json.loads(path.read_text()), path.stem).deletes


@pytest.mark.parametrize(
    "change",
    [
        {"days": {}},
        {"days": {"default": 0}},
        {"days": {"default": -1}},
        {"days": {"default": 3651}},
        {"days": {"default": 10**30}},
        {"days": {"default": 1.5}},
        {"days": {"default": True}},
        {"days": {"default": "30"}},
        {"days": {"default": None}},
        {"days": {"default": 30, "tables": {"dag": 30}}},
        {"days": {"default": 30, "tables": {"dag_version": 30}}},
        {"days": {"default": 30, "tables": {"serialized_dag": 30}}},
        {"days": {"default": 30, "tables": {"no_such_table": 30}}},
        {"days": {"default": 30, "tables": {"log": 0}}},
        {"days": {"default": 30, "dags": {"a; drop table dag_run": 3}}},
        {"days": {"default": 30, "run_types": {"imagined": 3}}},
        {"mode": "DELETE"},
        {"mode": True},
        {"keep_newest": 0},
        {"keep_newest": -3},
        {"export_required": "no"},
        {"expendable": ["dag"]},
        {"expendable": ["log", "log"]},
        {"expendable": "log"},
        {"confirm": 0},
        {"confirm": 1.01},
        {"confirm": True},
        {"rows_per_transaction": 0},
        {"rows_per_transaction": 10**9},
        {"lock_timeout_seconds": 0},
        {"statement_timeout_seconds": 0},
        {"seconds_per_run": 0},
        {"window": {"from": "22:00"}},
        {"window": {"from": "24:00", "until": "04:00"}},
        {"window": {"from": "22:00", "until": "22:00"}},
        {"window": {"from": "22:00", "until": "04:00", "days": []}},
        {"keep_last": 3},
    ],
    ids=str,
)
def test_what_is_invalid_or_absurd_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PermanentError) as caught:
        read(**change)
    assert caught.value.cause == "InvalidPolicy"
    assert "/groundcrew/cleanup/plain" in caught.value.remedy


@pytest.mark.parametrize(
    ("now", "is_open"),
    [
        ("2026-11-27 21:59", False),
        ("2026-11-27 22:00", True),  # a Friday
        ("2026-11-28 03:59", True),
        ("2026-11-28 04:00", False),
        ("2026-11-28 23:00", False),
        ("2026-11-27 03:00", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens(now: str, is_open: bool) -> None:
    policy = read(window={"from": "22:00", "until": "04:00", "days": ["fri"]})
    assert policy.may_run(at(now)) is is_open


def test_a_window_within_a_day() -> None:
    policy = read(window={"from": "01:00", "until": "05:30"})
    assert policy.may_run(at("2026-11-27 01:00"))
    assert policy.may_run(at("2026-11-27 05:29"))
    assert not policy.may_run(at("2026-11-27 05:30"))
    assert not policy.may_run(at("2026-11-27 00:59"))


def test_without_a_window_any_time_is_right() -> None:
    assert read().may_run(at("2026-11-27 12:00"))

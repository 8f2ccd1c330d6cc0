"""The event: its id, its moments, and what of a run's configuration goes along."""

import json
import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import fastjsonschema
import pytest

from groundcrew.events import schema
from groundcrew_listener.environment import Environment
from groundcrew_listener.event import LARGEST_CONF, Change, entry, small
from tests.support.listener.runs import START, Run

ORDERS = Environment("222222222222", "us-east-1", "orders")
VALID = fastjsonschema.compile(schema("dag-run-state-change.json"))


def detail(state: str = "success", environment: Environment = ORDERS, **columns: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(entry(Change.of(Run(**columns), state), environment, "2.10.3")["Detail"])
    VALID(told)
    return told


def test_the_same_change_has_the_same_request_id() -> None:
    first = detail(start_date=START, conf={"try": 1})
    second = detail(start_date=START + timedelta(minutes=1), conf={"try": 2})
    assert first["request_id"] == second["request_id"] == "chain-4a23b8fc1ff2155569f1203f55612fa6d7638821"


@pytest.mark.parametrize(
    "other",
    [
        {"state": "failed"},
        {"dag_id": "other"},
        {"run_id": "other"},
        {"clear_number": 1},
        {"environment": ORDERS._replace(account="333333333333")},
        {"environment": ORDERS._replace(region="eu-west-1")},
        {"environment": ORDERS._replace(name="other")},
        {"dag_id": "orders_dailymanual_", "run_id": "_1"},
    ],
    ids=str,
)
def test_another_change_has_another_request_id(other: dict[str, Any]) -> None:
    assert detail(**other)["request_id"] != detail()["request_id"]


def test_airflow_2_calls_the_logical_date_otherwise_and_2_7_has_no_clear_number() -> None:
    told = detail(logical_date=None, execution_date=START, clear_number=None)
    assert told["logical_date"] == "2026-11-22T12:00:00+00:00"
    assert told["request_id"] == detail(clear_number=0)["request_id"]


def test_a_run_of_airflow_3_may_have_no_logical_date() -> None:
    assert detail(logical_date=None)["logical_date"] is None


def test_moments_are_utc() -> None:
    paris = datetime(2026, 11, 22, 13, 0, tzinfo=timezone(timedelta(hours=1)))
    told = detail(start_date=paris, end_date=paris)
    assert told["start_date"] == told["end_date"] == "2026-11-22T12:00:00+00:00"


def test_the_event_says_when_it_happened_however_late_it_is_sent() -> None:
    change = Change.of(Run(), "success")._replace(at=START.timestamp())
    assert entry(change, ORDERS, "3.3.1")["Time"] == START.astimezone(UTC)


class Hostile(dict[str, Any]):
    def items(self) -> Any:
        raise ZeroDivisionError


CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE
DEEP: dict[str, Any] = {}
for _ in range(100_000):
    DEEP = {"in": DEEP}


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ({}, {}),
        ({"a": [1, "é", None, {"b": 1.5}]}, {"a": [1, "é", None, {"b": 1.5}]}),
        (OrderedDict(a=1), {"a": 1}),
        ({1: 2}, {"1": 2}),
        ({"a": "x" * (LARGEST_CONF - 9)}, {"a": "x" * (LARGEST_CONF - 9)}),
        ({"a": "x" * (LARGEST_CONF - 8)}, None),
        ({"a": "é" * (LARGEST_CONF // 6)}, None),
        (None, None),
        ([1], None),
        ("text", None),
        ({"a": object()}, None),
        ({"a": START}, None),
        ({("a",): 1}, None),
        ({"a": float("nan")}, None),
        (CYCLE, None),
        (DEEP, None),
        (Hostile(a=1), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_conf_goes_along_if_it_is_a_small_json_object(conf: object, told: object) -> None:
    assert detail(conf=conf)["conf"] == told


def test_a_huge_conf_is_given_up_soon() -> None:
    huge = {str(number): "x" * 100 for number in range(1_000_000)}
    before = time.thread_time()
    assert small(huge) is None
    assert time.thread_time() - before < 0.1

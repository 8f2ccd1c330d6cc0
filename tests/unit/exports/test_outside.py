"""The outside engine on the double: what it asks, what it writes, and what stops it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from exports import outside, outside_parts, outside_walk
from exports.outside import Order
from exports.outside_columns import SAID, is_said
from exports.outside_routes import Route
from groundcrew.errors import AccessDenied, PermanentError, TransientError
from groundcrew_metadata.declaration import Kind
from localcloud.model.airflow_state import Dag
from tests.support.exports.outside_world import BEGIN, INSTANCES, PREFIX, View, World

VERSIONS = ["3.0.6", "3.3.1"]
WHOLE = {"task_instance": None, "log": None, "slot_pool": None}


@pytest.fixture(params=VERSIONS)
def world(request: pytest.FixtureRequest) -> World:
    made = World(request.param)
    for number in range(250):
        made.instance(f"host {number}", note="why,\nthough" if number == 7 else None)
        made.log()
    made.pool("default")
    made.seconds += 120
    return made


def test_everything_comes_once(world: World) -> None:
    receipt = world.export({**WHOLE, "task_instance_note": None})
    assert {row["hostname"] for row in world.rows("task_instance")} == {f"host {number}" for number in range(250)}
    assert [row["content"] for row in world.rows("task_instance_note")] == ["why,\nthough"]
    assert {name: table["rows"] for name, table in receipt["tables"].items()} == {
        "task_instance": 250, "task_instance_note": 1, "log": 250, "slot_pool": 1,
    }  # fmt: skip


def test_a_window_that_holds_nothing_has_a_part_with_only_a_header(world: World) -> None:
    receipt = world.export({"log": world.now.isoformat()})
    assert world.rows("log") == []
    assert [part["rows"] for part in receipt["tables"]["log"]["parts"]] == [0]


def test_a_window_ends_where_all_is_settled(world: World) -> None:
    before = world.now
    receipt = world.export({"log": None})
    assert receipt["tables"]["log"]["window"]["until"] == (before - outside.SETTLED).isoformat()
    assert receipt["snapshot_at"] == before.isoformat()


def test_a_window_that_is_not_settled_at_all_is_empty(world: World) -> None:
    world.log()
    since = (world.now - timedelta(seconds=30)).isoformat()
    receipt = world.export({"log": since})
    assert receipt["tables"]["log"]["window"] == {"column": "dttm", "from": since, "until": since}
    assert receipt["tables"]["log"]["rows"] == 0


@pytest.mark.parametrize("version", ["3.0.6", "3.2.1", "3.3.1"])
def test_every_table_of_an_airflow_that_runs_dags(version: str) -> None:
    world = World(version)
    world.airflow.state.dags["hello"] = Dag("hello", seconds=1)
    world.airflow.state.dags["broken"] = Dag("broken", has_import_errors=True)
    for number in range(120):
        body = {"logical_date": None, "conf": {"n": number}, "note": "why"}
        assert world.airflow.rest("POST", "/dags/hello/dagRuns", {}, body)[0] == 200
    world.seconds += 120
    receipt = world.export(dict.fromkeys(name for name in SAID if is_said(name, version)))
    counted = {name: table["rows"] for name, table in receipt["tables"].items() if table["rows"]}
    assert counted == {"dag_run": 120, "dag": 2, "import_error": 1}
    assert {row["conf"] for row in world.rows("dag_run")} == {f'{{"n": {number}}}' for number in range(120)}


def test_calls_are_linear_in_rows(world: World) -> None:
    world.export({"task_instance": None})
    few = len(world.calls)
    for _ in range(1000):
        world.instance()
    world.seconds += 120
    world.export({"task_instance": None})
    assert len(world.calls) - few == few + 10


def test_half_the_rate_is_kept(world: World) -> None:
    began = world.seconds
    world.export(WHOLE)
    assert len(world.calls) - 3 <= 5 * (world.seconds - began)


def test_rows_without_a_time_come_too(world: World) -> None:
    world.instance("timeless", timed=False)
    world.export({"task_instance": None})
    assert "timeless" in {row["hostname"] for row in world.rows("task_instance")}
    world.export({"task_instance": (world.now - timedelta(hours=2)).isoformat()})
    assert "timeless" not in {row["hostname"] for row in world.rows("task_instance")}


@pytest.mark.parametrize("stop", range(1, 8))
def test_it_reads_on_where_it_ended(world: World, stop: int) -> None:
    questions = iter(range(100_000))
    world.export(WHOLE, has_time=lambda: next(questions) % (stop + 1) != stop)
    assert len(world.rows("task_instance")) == 250
    assert len({row["id"] for row in world.rows("log")}) == 250
    keys = [key for key in world.objects if "/log/" in key]
    assert len(keys) == len(set(keys))


def test_a_part_is_never_written_twice_under_one_name(world: World) -> None:
    written: list[str] = []
    world.objects = Recording(written)
    questions = iter(range(100_000))
    world.export(WHOLE, has_time=lambda: next(questions) % 3 != 2)
    assert len(written) == len(set(written))
    assert written[-1] == f"{PREFIX}/receipt.json"


class Recording(dict[str, bytes]):
    def __init__(self, written: list[str]) -> None:
        super().__init__()
        self._written = written

    def __setitem__(self, key: str, body: bytes) -> None:
        self._written.append(key)
        super().__setitem__(key, body)


@pytest.mark.parametrize(
    ("kind", "value", "field"),
    [
        (Kind.TEXT, None, ""), (Kind.TEXT, "", '""'), (Kind.TEXT, "a,b", '"a,b"'),
        (Kind.TEXT, 'say "no"', '"say ""no"""'),
        (Kind.TEXT, "two\nlines", '"two\nlines"'), (Kind.TEXT, "\r", '"\r"'), (Kind.TEXT, "\\.", '"\\."'),
        (Kind.TEXT, " ", " "),
        (Kind.BOOLEAN, True, "t"), (Kind.BOOLEAN, False, "f"), (Kind.BOOLEAN, None, ""), (Kind.INTEGER, 0, "0"),
        (Kind.DOUBLE, 50.0, "50"), (Kind.DOUBLE, 0.1, "0.1"), (Kind.DOUBLE, 7, "7"), (Kind.DOUBLE, None, ""),
        (Kind.JSON, {}, "{}"), (Kind.JSON, {"ü": [None, 1.5]}, '"{""ü"": [null, 1.5]}"'), (Kind.JSON, None, ""),
        (Kind.TIMESTAMP, "2026-11-27T04:30:00.123400Z", "2026-11-27 04:30:00.1234+00"),
        (Kind.TIMESTAMP, "2026-11-27T04:30:00+02:00", "2026-11-27 02:30:00+00"),
        (Kind.TIMESTAMP, "0044-03-15T12:00:00Z", "0044-03-15 12:00:00+00"),
        (Kind.TIMESTAMP, "9999-12-31T23:59:59.999999Z", "infinity"),
        (Kind.TIMESTAMP, "0001-01-01T00:00:00Z", "-infinity"), (Kind.TIMESTAMP, None, ""),
    ],
    ids=str,
)  # fmt: skip
def test_fields_are_as_copy_writes_them(kind: Kind, value: Any, field: str) -> None:
    assert outside_parts.FORMATS[kind](value) == field


# ---------------------------------------------------------------------- trouble
def failing(world: World, when: Callable[[int], bool], error: Exception | tuple[int, Any]) -> Any:
    """An ask that fails at some calls, counted from 0."""
    number = iter(range(100_000))

    def ask(path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        if when(next(number)):
            if isinstance(error, Exception):
                raise error
            return error
        return world.ask(path, query)

    return ask


THROTTLED = TransientError("Rate exceeded", cause="ThrottlingException")
BROKEN = TransientError("Airflow answered 500", cause="AirflowBroken")


@pytest.mark.parametrize("error", [THROTTLED, BROKEN, (429, {}), (502, "Bad Gateway")], ids=str)
@pytest.mark.parametrize("at", range(14))
def test_every_call_may_fail_once(world: World, error: Any, at: int) -> None:
    world.export(WHOLE, failing(world, lambda number: number == at, error))
    assert len({row["task_id"] for row in world.rows("task_instance")}) == 250
    assert len({row["id"] for row in world.rows("log")}) == 250


def test_throttles_are_waited_for_longer_and_longer(world: World) -> None:
    world.export({"slot_pool": None}, failing(world, lambda number: number < 4, THROTTLED))
    assert world.slept > (2 + 4 + 8 + 16) / 2 - 1


def test_an_answer_that_is_too_large_is_asked_for_in_halves_until_it_is_not(world: World) -> None:
    world.most_bytes = len(json.dumps(world.airflow.rest("GET", INSTANCES, {"limit": "13"}, None)[1]))
    world.export({"task_instance": None})
    assert len(world.rows("task_instance")) == 250
    sizes = {int(query["limit"]) for path, query in world.calls if path == INSTANCES}
    assert {100, 50, 25, 12} <= sizes
    assert min(sizes - {0}) >= 1


def test_an_entry_that_airflow_cannot_show_is_not_taken_for_trouble(world: World) -> None:
    broken = world.lists[INSTANCES][137].shown["id"]

    def ask(path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        status, body = world.ask(path, query)
        shown = broken in {entry.get("id") for entry in body.get("task_instances", ())}
        return (500, "Internal Server Error") if shown else (status, body)

    with pytest.raises(PermanentError) as refused:
        world.export({"task_instance": None}, ask)
    assert refused.value.cause == "BrokenEntry"
    before = 250 - 138 if world.version == "3.0.6" else 137
    assert f"after {before} entries" in refused.value.what


def test_pages_grow_again_after_trouble(world: World) -> None:
    for _ in range(4000):
        world.instance()
    world.seconds += 120
    world.export({"task_instance": None}, failing(world, lambda number: number in (6, 7, 8), BROKEN))
    assert [query["limit"] for path, query in world.calls if path == INSTANCES].count("100") > 10


def test_long_trouble_is_given_up_for_now_and_costs_nothing(world: World) -> None:
    with pytest.raises(TransientError):
        world.export(WHOLE, failing(world, lambda _number: True, THROTTLED))
    assert world.objects == {}


def test_where_an_empty_cursor_gets_lost_pages_are_counted(world: World) -> None:
    def ask(path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        return world.ask(path, {name: value for name, value in query.items() if value})

    world.export({"task_instance": None}, ask)
    assert len({row["task_id"] for row in world.rows("task_instance")}) == 250
    assert len([query for _, query in world.calls if query["limit"] != "0"]) <= 4


def test_what_was_read_before_long_trouble_is_kept(world: World) -> None:
    world.export(WHOLE, failing(world, lambda number: 6 <= number < 6 + outside.MOST_TROUBLES, THROTTLED))
    assert len({row["task_id"] for row in world.rows("task_instance")}) == 250
    first = [query for path, query in world.calls if path == INSTANCES and query["limit"] != "0"]
    assert len(first) == 3, "a page was read twice"


@pytest.mark.parametrize(("status", "family"), [(401, AccessDenied), (403, AccessDenied), (404, PermanentError)])
def test_a_refusal_has_a_remedy(world: World, status: int, family: type[PermanentError]) -> None:
    with pytest.raises(family) as refused:
        world.export(WHOLE, failing(world, lambda _number: True, (status, {"detail": "no"})))
    assert refused.value.remedy


@pytest.mark.parametrize("lost", ["updated_at_gte", "updated_at_lte", "before", "after"])
def test_a_filter_that_is_ignored_is_noticed(world: World, lost: str) -> None:
    since = (world.now - timedelta(hours=2)).isoformat()
    with pytest.raises(PermanentError) as refused:
        world.export({"task_instance": since, "log": since}, without(world, lost))
    assert refused.value.cause == "FilterIgnored"


def without(world: World, lost: str) -> Any:
    """An Airflow that does not know a filter, and ignores it."""

    def ask(path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        return world.ask(path, {name: value for name, value in query.items() if name != lost})

    return ask


def test_entries_that_a_filter_should_have_kept_back_are_noticed(world: World) -> None:
    since = (world.now - timedelta(seconds=100)).isoformat()
    world.log()
    world.seconds += 120

    def ask(path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        reads = query["limit"] != "0"
        return world.ask(path, {name: value for name, value in query.items() if not (reads and name == "after")})

    with pytest.raises(PermanentError) as refused:
        world.export({"log": since}, ask)
    assert refused.value.cause == "FilterIgnored"


def add(world: World, name: str) -> None:
    world.pool(name)


def test_a_list_that_never_rests_is_given_up_for_now(world: World) -> None:
    world.before_call = lambda _number: add(world, f"pool {world.seconds}")
    with pytest.raises(TransientError) as given_up:
        world.export({"slot_pool": None})
    assert given_up.value.cause == "Unsettled"


def test_a_list_that_changed_once_is_read_again(world: World) -> None:
    world.before_call = lambda number: add(world, "another") if number == 1 else None
    world.export({"slot_pool": None})
    assert {row["pool"] for row in world.rows("slot_pool")} == {"default", "another"}


@pytest.mark.parametrize("name", ["connection", "variable", "task_fail", "xcom", "dag_run_note", "nope"])
def test_what_is_not_said_cannot_be_asked_for(world: World, name: str) -> None:
    with pytest.raises(PermanentError) as refused:
        world.export({name: None})
    assert refused.value.cause == "UnknownTable"
    assert world.calls == []


def test_tables_of_one_list_are_read_in_the_widest_window() -> None:
    asked = {
        "export_id": "x",
        "environment": {"account": "222222222222", "region": "us-east-1", "name": "data"},
        "airflow_version": "3.3.1",
        "tables": {
            "task_instance": {"from": "2026-01-02T00:00:00+00:00", "until": "2026-01-03T00:00:00+00:00"},
            "task_instance_note": {"from": "2026-01-01T00:00:00+00:00", "until": "2026-01-02T00:00:00+00:00"},
        },
    }
    order = Order.of(asked)
    route = next(order.routes())
    lane = order.lane(route, World().now)
    assert lane.since is not None
    assert lane.until is not None
    assert (lane.since.day, lane.until.day) == (1, 3)


# ---------------------------------------------------------------------- a scheduler that writes meanwhile
def busy(world: World) -> None:
    """Before each call some instance is written again, some new one comes, and something is logged."""

    def write(number: int) -> None:
        entries = world.lists[INSTANCES]
        world.write(entries[(number * 37) % len(entries)], hostname=f"again {number}")
        world.write(entries[number % len(entries)], hostname=f"again and again {number}")
        world.instance(f"new {number}")
        world.log()

    world.before_call = write


@pytest.mark.parametrize("since", [None, BEGIN.isoformat()])
def test_nothing_is_lost_while_the_scheduler_writes(world: World, since: str | None) -> None:
    busy(world)
    view = View(world, since)
    for _ in range(5):
        view.export()
        world.seconds += 30
    world.before_call = lambda _number: None
    assert view.differences() == []


# Negative controls: each of these engines is wrong in one way, and the view shows it.
def drops_the_last_page(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = outside_walk.Lane.answered

    def broken(lane: Any, walk: Any, body: Any) -> Any:
        after, entries = answered(lane, walk, body)
        last = walk.step is outside_walk.Step.READ and after.step is not outside_walk.Step.READ
        return after, () if last else entries

    monkeypatch.setattr(outside_walk.Lane, "answered", broken)


def counts_from_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(lane: Any, walk: Any) -> dict[str, str]:
        return {"limit": str(walk.size), "offset": str(max(0, walk.counted - walk.at))}

    monkeypatch.setattr(outside_walk.Lane, "_page", broken)
    monkeypatch.setattr(
        outside_walk.Lane,
        "_recounted",
        lambda _lane, walk, _total: replace(walk, step=outside_walk.Step.DONE),
    )
    monkeypatch.setattr(Route, "has_cursor", lambda _route, _version: False)


def reads_up_to_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "SETTLED", timedelta(seconds=-60))
    monkeypatch.setattr(
        outside_walk.Lane,
        "_recounted",
        lambda _lane, walk, _total: replace(walk, step=outside_walk.Step.DONE),
    )


@pytest.mark.parametrize("breaks", [drops_the_last_page, counts_from_the_front, reads_up_to_now])
def test_a_broken_engine_is_found(monkeypatch: pytest.MonkeyPatch, world: World, breaks: Any) -> None:
    breaks(monkeypatch)
    busy(world)
    view = View(world, BEGIN.isoformat())
    for _ in range(5):
        view.export()
        world.seconds += 30
    world.before_call = lambda _number: None
    assert view.differences() != []


def test_an_engine_that_trusts_its_filters_is_found(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    def trusting(lane: Any, walk: Any, total: int) -> Any:
        if walk.step in (outside_walk.Step.PROVE_LOWER, outside_walk.Step.PROVE_UPPER):
            total = 0
        return counted(lane, walk, total)

    counted = outside_walk.Lane._counted
    monkeypatch.setattr(outside_walk.Lane, "_counted", trusting)
    since = (world.now - timedelta(hours=2)).isoformat()
    world.seconds += 3600
    for _ in range(100):
        world.instance()
    receipt = world.export({"task_instance": since}, without(world, "updated_at_lte"))
    assert receipt["tables"]["task_instance"]["rows"] == 350

"""Whatever is written between two calls of an export, the view ends as what Airflow holds."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exports import outside_walk
from tests.support.exports.outside_world import BEGIN, INSTANCES, LOGS, View, World

WRITES = ("new", "again", "first", "last", "burst", "retry", "log", "nothing")


@st.composite
def histories(draw: st.DrawFn) -> dict[str, Any]:
    """What there is at first, what is written before each call, and how long an export waits for the next."""
    return {
        "version": draw(st.sampled_from(["3.0.6", "3.2.1", "3.3.1"])),
        "instances": draw(st.integers(0, 420)),
        "timeless": draw(st.integers(0, 3)),  # before the first export, which is to find them
        "writes": draw(st.lists(st.sampled_from(WRITES), min_size=1, max_size=40)),
        "pauses": draw(st.lists(st.sampled_from([0, 1, 30, 61, 600]), min_size=1, max_size=4)),
        "stops": draw(st.integers(1, 9)),
        "since": draw(st.sampled_from([None, BEGIN.isoformat()])),
        "seed": draw(st.integers(0, 1000)),
    }


def played(history: dict[str, Any]) -> tuple[World, View]:
    """A world in which that happens, and its view after some exports."""
    world = World(history["version"])
    dice = random.Random(history["seed"])
    for _ in range(history["instances"]):
        world.instance("old")
        world.log()
    for _ in range(0 if history["since"] else history["timeless"]):
        world.instance("timeless", timed=False)
    world.seconds += 120

    def write(number: int) -> None:
        entries = world.lists[INSTANCES]
        what = history["writes"][number % len(history["writes"])]
        if what == "new" or (what != "nothing" and not entries):
            world.instance(f"new {number}")
        elif what == "again":
            world.write(dice.choice(entries), hostname=f"again {number}")
        elif what == "first":
            world.write(entries[0], hostname=f"first {number}")
        elif what == "last":
            world.write(entries[-1], hostname=f"last {number}")
        elif what == "burst":
            for entry in dice.sample(entries, min(150, len(entries))):
                world.write(entry, hostname=f"burst {number}")
        elif what == "retry":
            retried(world, dice.choice(entries), number)
        elif what == "log":
            world.log()

    world.before_call = write
    view = View(world, history["since"])
    for pause in history["pauses"]:
        view.export()
        world.seconds += pause
    world.before_call = lambda _number: None
    return world, view


def retried(world: World, entry: Any, number: int) -> None:
    """The next try: the instance has another id, behind all others."""
    world.remove(INSTANCES, entry)
    fresh = world.instance(f"retried {number}")
    identity = {name: entry.shown[name] for name in ("dag_id", "task_id", "dag_run_id", "map_index")}
    fresh.shown.update(identity)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_the_view_ends_as_what_airflow_holds(history: dict[str, Any]) -> None:
    _world, view = played(history)
    assert view.differences() == []


def breaks(stop: int) -> Callable[[], bool]:
    """No time at every so-manieth question."""
    questions = iter(range(10**6))
    return lambda: next(questions) % (stop + 1) != stop


@settings(max_examples=40, deadline=None)
@given(histories())
def test_an_export_that_is_broken_off_gives_what_a_whole_one_gives(history: dict[str, Any]) -> None:
    found = []
    for stop in (10**6, history["stops"]):
        world = World(history["version"])
        for number in range(history["instances"]):
            world.instance(f"{number}")
            world.log()
        world.seconds += 120
        world.export({"task_instance": None, "log": None}, has_time=breaks(stop))
        found.append([sorted(map(repr, world.rows(name))) for name in ("task_instance", "log")])
    assert found[0] == found[1]


def test_these_histories_find_an_engine_that_loses_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: entries that were written meanwhile are taken for read."""
    answered = outside_walk.Lane.answered

    def broken(lane: Any, walk: Any, body: Any) -> Any:
        after, entries = answered(lane, walk, body)
        return after, [entry for entry in entries if not str(entry.get("hostname")).startswith("burst")]

    monkeypatch.setattr(outside_walk.Lane, "answered", broken)
    history = {
        "version": "3.0.6", "instances": 300, "timeless": 0, "writes": ["burst", "nothing"], "pauses": [61, 61],
        "stops": 1, "since": None, "seed": 1,
    }  # fmt: skip
    world, view = played(history)
    assert view.differences() != []
    assert world.lists[LOGS]

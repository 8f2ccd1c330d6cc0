"""The harness finds what it is there to find: four handlers broken on purpose, each caught by a case."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from groundcrew.errors import GroundcrewError
from groundcrew.events import Fact
from groundcrew.ways.rest import RestWay
from groundcrew.ways.seen import Start
from localcloud.inprocess.faults import Kind
from runs import handler
from runs.job import Job
from runs.order import STARTED
from tests.faults.runs_harness import Case, Variant, cases, problems
from tests.faults.runs_scenarios import conflict, gone, start_on_2, start_on_3


@contextmanager
def takes_every_409_for_its_own() -> Iterator[None]:
    """Whatever run Airflow has, it is the one that was asked for."""
    start = RestWay.start

    def started(self: RestWay, asked: Start) -> bool:
        return start(self, asked) or True

    with mock.patch.object(RestWay, "start", started):
        yield


@contextmanager
def names_each_try_differently() -> Iterator[None]:
    """Each try is a run of its own, as with Airflow's own run ids."""
    start = RestWay.start

    def start_another(self: RestWay, asked: Start) -> bool:
        return start(self, replace(asked, ref=replace(asked.ref, run_id=f"manual__{uuid.uuid4()}")))

    with mock.patch.object(RestWay, "start", start_another):
        yield


@contextmanager
def announces_before_it_starts() -> Iterator[None]:
    """Says what it is about to do."""
    do = Job.do

    def announce_and_do(self: Job, *args: Any) -> Any:
        order = self._order
        detail = {"way": "rest", "airflow_version": "", "logical_date": None, "already": False}
        handler._announce(self._config, Fact(STARTED, order.environment, order.about | detail))
        return do(self, *args)

    with mock.patch.object(Job, "do", announce_and_do):
        yield


@contextmanager
def swallows_errors() -> Iterator[None]:
    """Says "done" whatever has happened."""
    work = handler._work

    def done(*args: Any) -> Any:
        try:
            return work(*args)
        except GroundcrewError:
            return None

    with mock.patch("runs.handler._work", done):
        yield


CONTROLS: list[tuple[Variant, Callable[[], Iterator[Case]], str]] = [
    (takes_every_409_for_its_own, lambda: cases(conflict, Kind.THROTTLED), "there is no run"),
    (names_each_try_differently, lambda: cases(start_on_2, Kind.KILLED_AFTER), "2 runs"),
    (announces_before_it_starts, lambda: cases(gone, Kind.KILLED_AFTER), "there is no run"),
    (swallows_errors, lambda: cases(start_on_3, Kind.SERVER_ERROR), "nothing is announced"),
]


@pytest.mark.parametrize(("variant", "tried", "caught"), CONTROLS, ids=[control[0].__name__ for control in CONTROLS])
def test_a_broken_handler_is_caught(variant: Variant, tried: Callable[[], Iterator[Case]], caught: str) -> None:
    found = [problem for case in tried() for problem in problems(case, variant)]
    assert any(caught in problem for problem in found), found


@pytest.mark.parametrize(("variant", "tried", "caught"), CONTROLS, ids=[control[0].__name__ for control in CONTROLS])
def test_the_handler_that_is_not_broken_is_not(
    variant: Variant, tried: Callable[[], Iterator[Case]], caught: str
) -> None:
    tried_cases = list(tried())
    assert tried_cases
    assert [problem for case in tried_cases for problem in problems(case)] == []


def test_a_fault_that_does_not_fire_is_a_problem() -> None:
    assert "the fault did not fire" in problems(Case(gone, Kind.DENIED, 1000, "none"))[0]

"""Every line fails in turn: nothing leaves a hook, and the next change goes out all the same."""

import os
import threading
from collections.abc import Callable
from itertools import count
from typing import Any
from unittest import mock

import pytest
from botocore.session import Session

from groundcrew_listener import hooks, outbox
from groundcrew_listener.event import Change
from localcloud.testing.waiting import eventually
from tests.support.bus import Bus
from tests.support.figures import Figure
from tests.support.listener.faults import Fault, ForcedError
from tests.support.listener.runs import Run, end

Hook = Callable[[Any], None]


def fresh() -> None:
    """As in a process that has not run a hook yet."""
    if box := hooks.OUTBOXES.pop(os.getpid(), None):
        end(box)
    hooks._say_once.cache_clear()


def warm() -> None:
    """As in one that has."""
    hooks._say_once.cache_clear()


def escapes(hook: Hook, run: object, before: Callable[[], None]) -> tuple[int, list[str]]:
    """How many lines of a call were made to fail, one in each call, and at which of them the error left the hook."""
    escaped = []
    for nth in count(1):
        before()
        fault = Fault(nth)
        with fault.here():
            try:
                hook(run)
            except ForcedError:
                escaped.append(fault.at)
        if not fault.at:
            return nth - 1, escaped
    raise AssertionError


def knows(bus: Bus, run_id: str) -> bool:
    return run_id in [told["run_id"] for told in bus.details]


def delivered(bus: Bus, run_id: str) -> bool:
    """Whether a new change goes out; one that finds the thread ending stays until the next one starts another."""
    hooks.on_dag_run_success(Run(run_id=run_id))
    return knows(bus, run_id)


@pytest.mark.parametrize("before", [fresh, warm])
@pytest.mark.parametrize("run", [Run(), object()], ids=["a run", "no run"])
def test_no_line_of_a_hook_lets_an_error_out(run: object, before: Callable[[], None], bus: Bus, figure: Figure) -> None:
    hooks.on_dag_run_success(Run(run_id="before"))
    lines, escaped = escapes(hooks.on_dag_run_success, run, before)
    figure("lines of the listener's hook that failed", lines)
    assert lines >= 4
    assert escaped == []
    hooks.on_dag_run_success(Run(run_id="after"))
    eventually(lambda: knows(bus, "after"))


def test_nor_when_the_queue_is_full(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks.on_dag_run_success(Run())
    monkeypatch.setattr(outbox, "CAPACITY", 0)
    lines, escaped = escapes(hooks.on_dag_run_success, Run(), warm)
    assert lines >= 4
    assert escaped == []


def test_nor_when_the_log_is_broken_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks.log, "warning", mock.Mock(side_effect=OSError))
    hooks.on_dag_run_success(object())


def test_without_the_guard_every_line_lets_it_out(bus: Bus) -> None:
    """The control: the same steps, unguarded."""

    def unguarded(run: object) -> None:
        hooks.OUTBOXES[os.getpid()].put(Change.of(run, "success"))

    hooks.on_dag_run_success(Run())
    eventually(lambda: bus.entries)
    lines, escaped = escapes(unguarded, Run(), warm)
    assert len(escaped) == lines >= 4


class KeptSession(Session):
    """Makes each client once. No line of botocore is made to fail, and a client takes a tenth of a second."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, Any] = {}

    def create_client(self, service_name: str, *args: Any, **options: Any) -> Any:
        if service_name not in self._kept:
            self._kept[service_name] = super().create_client(service_name, *args, **options)
        return self._kept[service_name]


def failed(nth: int, bus: Bus) -> str:
    """The line of a new thread that was made to fail, if it has so many; the next change goes out in any case."""
    fault = Fault(nth)
    with fault.in_new_threads():
        fresh()
        hooks.on_dag_run_success(Run(run_id=f"during {nth}"))
        eventually(lambda: fault.at or knows(bus, f"during {nth}"))
    eventually(lambda: delivered(bus, f"after {nth}"))
    return fault.at


def test_no_line_of_the_thread_stops_the_changes_that_follow(
    bus: Bus, figure: Figure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does an error leave the thread."""
    left: list[object] = []
    monkeypatch.setattr(threading, "excepthook", left.append)
    session = KeptSession()
    monkeypatch.setattr("groundcrew_listener.bus.Session", lambda: session)
    monkeypatch.setattr(outbox, "GATHER_SECONDS", 0.001)
    nth = next(nth for nth in count(1) if not failed(nth, bus))
    figure("lines of the listener's thread that failed", nth - 1)
    assert nth > 50
    assert left == []

"""The queue and its thread: what is lost when, who hears of it, and that nobody waits."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from groundcrew_listener import hooks, outbox
from groundcrew_listener.outbox import CAPACITY, Outbox
from localcloud.testing.waiting import eventually
from tests.support.bus import Bus
from tests.support.listener.runs import Run, change, end


@pytest.fixture
def box() -> Iterator[Outbox]:
    box = Outbox()
    yield box
    end(box)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_more_than_it_holds_is_lost_and_said_once(bus: Bus, box: Outbox, said: Callable[[], list[str]]) -> None:
    bus.mood = "silent"
    box.put(change(run_id="first"))
    eventually(lambda: bus.calls)
    for number in range(CAPACITY + 50):
        box.put(change(run_id=str(number)))
    bus.mood = "takes"
    bus.release()
    eventually(lambda: len(bus.entries) == CAPACITY)
    eventually(lambda: len(said()) == 2)
    assert said() == ["run states are being lost reason=ConnectionClosedError", "run states go out again lost=51"]


def test_a_bus_that_fails_for_long_is_said_once(
    bus: Bus, box: Outbox, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundcrew_listener.bus.PAUSES", ())

    def burst(number: int) -> None:
        bus.mood = "throttles"
        for _ in range(100):
            box.put(change())
        eventually(lambda: box._losses._seen == 100 * number)
        bus.mood = "takes"
        box.put(change())
        eventually(lambda: len(said()) == 2 * number)

    burst(1)
    burst(2)
    assert said() == ["run states are being lost reason=ThrottlingException", "run states go out again lost=100"] * 2


def test_without_a_connection_each_try_starts_anew(
    bus: Bus, box: Outbox, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    box.put(change())
    eventually(lambda: said() == ["run states are being lost reason=EndpointConnectionError"])
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", bus.url)
    box.put(change())
    eventually(lambda: bus.entries)


def test_nobody_waits_for_a_bus_out_of_reach(bus: Bus, box: Outbox) -> None:
    with bus.out_of_reach():
        box.put(change())
        eventually(lambda: box._taken)
        before = time.thread_time()
        for _ in range(CAPACITY * 2):
            box.put(change())
        assert time.thread_time() - before < 0.5
        assert box._queue.qsize() <= CAPACITY


def test_a_process_that_can_start_no_thread_loses_changes_until_it_can(
    bus: Bus, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(10):
            hooks.on_dag_run_success(Run(run_id="lost"))
    hooks.on_dag_run_success(Run())
    eventually(lambda: bus.entries)
    assert [told["run_id"] for told in bus.details] == ["manual__1"]
    assert said() == ["a run state was lost in its hook, there may be more reason=RuntimeError"]


def test_threads_that_come_together_start_one(bus: Bus, box: Outbox) -> None:
    before = set(threading.enumerate())
    together = threading.Barrier(8)

    def put() -> None:
        together.wait()
        box.put(change())

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: len(bus.entries) == 8)
    new = set(threading.enumerate()) - before
    assert [thread for thread in new if thread.name == "groundcrew-listener"] == [box._thread]


LONGEST_SECONDS = 120
"""The deadline of a process; one second is typical."""

PATIENT = f"outbox.AT_EXIT_SECONDS = {10 * LONGEST_SECONDS}"

FORK = """
import os, sys
from groundcrew_listener import hooks, outbox
from localcloud.testing.waiting import eventually
from tests.support.listener.runs import Run
sys.modules["airflow"] = sys.modules["airflow.version"] = type(sys)("airflow")
sys.modules["airflow"].version = "2.10.3"
{parent}
if (child := os.fork()) == 0:
    {child}
    os._exit(0)
{after}
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def run(bus: Bus, parent: str = "", child: str = "", after: str = "") -> None:
    """Run a process that forks, to its end."""
    code = FORK.format(parent=parent, child=child, after=after)
    environment = bus.environment() | {"PYTHONPATH": "layers/airflow/plugins:."}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        check=True,
        timeout=LONGEST_SECONDS,
    )


HOOK = "hooks.on_dag_run_success(Run(run_id='{}'))"
SENT = "eventually(lambda: hooks.OUTBOXES[os.getpid()]._sent)"


def test_a_forked_process_sends_its_own_changes_and_no_others(bus: Bus) -> None:
    lines = [HOOK.format("parent"), SENT, *(HOOK.format(f"parent-{number}") for number in range(50))]
    run(bus, parent="\n".join(lines), child="; ".join((HOOK.format("child"), SENT)))
    expected = ["child", "parent", *(f"parent-{number}" for number in range(50))]
    assert sorted(told["run_id"] for told in bus.details) == sorted(expected)


IMPORTING = "\n".join((HOOK.format("parent"), "eventually(lambda: 'botocore' in sys.modules)"))
IMPORT = "import signal; signal.alarm({}); import botocore.session, botocore.endpoint"


def test_a_process_forked_while_the_thread_imports_can_import_the_same(bus: Bus) -> None:
    run(bus, parent=IMPORTING, child=IMPORT.format(LONGEST_SECONDS))


def test_without_the_lock_it_waits_for_ever(bus: Bus) -> None:
    """It inherits the lock of the module that is being imported, and not the thread that would release it."""
    unlocked = "import contextlib; from groundcrew_listener import outbox; outbox._importing = contextlib.nullcontext()"
    with pytest.raises(subprocess.CalledProcessError):
        run(bus, parent="\n".join((unlocked, IMPORTING)), child=IMPORT.format(3))


def test_the_last_changes_go_out_at_the_end(bus: Bus) -> None:
    run(bus, parent="\n".join((HOOK.format("first"), SENT)), after="\n".join((PATIENT, HOOK.format("last"))))
    assert [told["run_id"] for told in bus.details] == ["first", "last"]


def test_a_process_ends_in_time_though_the_bus_does_not_answer(bus: Bus) -> None:
    """It ends while the first call waits for its answer; all of them would take half a minute."""
    bus.mood = "silent"
    run(bus, after="\n".join(HOOK.format(number) for number in range(100)))
    assert bus.calls < 100 / outbox.AT_ONCE


def test_a_process_without_changes_ends_at_once(bus: Bus) -> None:
    run(bus, after="\n".join((PATIENT, HOOK.format("one"), SENT)))

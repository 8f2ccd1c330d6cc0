"""Between the hooks and the bus: a bounded queue, and the thread that empties it."""

import atexit
import logging
import os
import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

from groundcrew_listener.environment import Environment, NotAnEnvironmentError
from groundcrew_listener.event import Change

if TYPE_CHECKING:
    from groundcrew_listener.bus import Bus

CAPACITY = 1000
"""Changes that wait; more are lost, so that the scheduler is not."""

AT_ONCE = 10
"""Entries of one ``PutEvents`` (EventBridge quota)."""

GATHER_SECONDS = 0.1
"""How long the thread lets changes gather, so that a burst wakes it once and not at each change."""

AT_EXIT_SECONDS = 2.0
"""How long a process that ends waits at most for its last changes to go out."""

log = logging.getLogger("groundcrew_listener")

_importing = threading.Lock()
# A child forked in the middle of an import waits for that module forever, so a fork waits for the import to end.
os.register_at_fork(before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release)


class Outbox:
    """One process's changes on their way to the bus: each is sent once or lost. Making one starts nothing."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._queue: SimpleQueue[Change | None] = SimpleQueue()  # its ``put`` never waits
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._off = False
        self._refused = self._taken = self._sent = 0
        self._losses = Losses()

    def put(self, change: Change) -> None:
        """Take a change, or count it as lost.

        Raises:
            RuntimeError: the process can start no thread; the change is lost.
        """
        if self._off:
            return
        if self._queue.qsize() >= CAPACITY:
            self._refused += 1
            return
        # Where another thread is just starting ours there is nothing to do, and nothing to wait for.
        if not self._running() and self._starting.acquire(blocking=False):
            try:
                self._start()
            finally:
                self._starting.release()
        self._queue.put(change)

    def _running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self) -> None:
        if self._running():
            return
        thread = threading.Thread(target=self._run, name="groundcrew-listener", daemon=True)
        thread.start()
        if self._thread is None:
            atexit.register(self.close)
        self._thread = thread

    def close(self) -> None:
        """Give the last changes a moment; in a forked process, which inherits this farewell, do nothing."""
        if self._thread is not None and self._pid == os.getpid():
            self._queue.put(None)
            self._thread.join(AT_EXIT_SECONDS)

    # ------------------------------------------------------------------ in the thread
    def _run(self) -> None:
        """Send until the process ends. A mistake of ours ends the thread; the next change starts another."""
        try:
            self._work()
        except Exception:
            log.exception("the listener stopped, the next change starts it again")

    def _work(self) -> None:
        bus: Bus | None = None
        while changes := self._take():
            reason = ""
            try:
                bus = bus or _connect()
                sent, reason = bus.put(changes)
                self._sent += sent
            except NotAnEnvironmentError as error:
                self._off = True
                log.info("run states are not reported reason=%s", error)
                return
            except Exception as error:
                reason = type(error).__name__
            self._losses.tell(self._refused + self._taken - self._sent, reason)

    def _take(self) -> Sequence[Change]:
        """The next few changes; none at the end."""
        changes: list[Change] = []
        while (change := self._queue.get()) is not None:
            changes.append(change)
            self._taken += 1
            if len(changes) == 1 and self._queue.qsize() < AT_ONCE:
                time.sleep(GATHER_SECONDS)
            if len(changes) == AT_ONCE or self._queue.empty():
                return changes
        if changes:
            self._queue.put(None)
        return changes


class Losses:
    """Says once when changes begin to be lost, and how many were when they go out again."""

    def __init__(self) -> None:
        self._before = self._seen = 0

    def tell(self, lost: int, reason: str) -> None:
        """Take notice of how many were lost since the process started."""
        losing = self._seen > self._before
        if lost > self._seen and not losing:
            log.warning("run states are being lost reason=%s", reason or "QueueFull")
        if lost == self._seen and losing:
            log.warning("run states go out again lost=%d", lost - self._before)
            self._before = lost
        self._seen = lost


def _connect() -> "Bus":
    environment = Environment.here()
    with _importing:
        from airflow.version import version  # noqa: PLC0415

        from groundcrew_listener.bus import Bus  # noqa: PLC0415
    return Bus(environment, version)

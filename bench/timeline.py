"""Threads on a clock of their own: exactly one runs at a time, and time passes only while all of them wait."""

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any


@dataclass
class Timeline:
    """A schedule of threads by virtual time, in seconds; real code runs in them, unchanged and one after the other."""

    now: float = 0.0
    passed: Callable[[float], object] = float
    """Told of each new moment."""
    _due: list[tuple[float, int, threading.Semaphore]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=count)
    _back: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _failed: list[BaseException] = field(default_factory=list)

    def start(self, act: Callable[[], object], at: float = 0.0) -> None:
        """Let a thread begin ``at`` that time, at once if it has passed."""
        gate = threading.Semaphore(0)

        def run() -> None:
            gate.acquire()
            try:
                act()
            except BaseException as error:
                self._failed.append(error)
            finally:
                self._back.release()

        threading.Thread(target=run, daemon=True).start()
        self._come_back(max(at, self.now), gate)

    def sleep(self, seconds: float) -> None:
        """Let this thread wait, and the others go on."""
        gate = threading.Semaphore(0)
        self._come_back(self.now + seconds, gate)
        self._back.release()
        gate.acquire()

    def run(self) -> None:
        """Until no thread is left; the first that failed fails this."""
        while self._due and not self._failed:
            at, _, gate = heapq.heappop(self._due)
            if at > self.now:
                self.now = at
                self.passed(at)
            gate.release()
            self._back.acquire()
        if self._failed:
            raise self._failed[0]

    def _come_back(self, at: float, gate: threading.Semaphore) -> None:
        heapq.heappush(self._due, (at, next(self._order), gate))

    def pool(self, workers: int) -> "Pool":
        """What ``ThreadPoolExecutor(workers)`` is on this clock, as far as ``map`` goes."""
        return Pool(self, workers)


@dataclass
class Pool:
    """So many threads."""

    timeline: Timeline
    workers: int

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to be ended: ``map`` waits for all."""

    def map(self, act: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """The results, in order."""
        waiting = deque(enumerate(items))
        results: dict[int, Any] = {}
        wanted = len(waiting)

        def work() -> None:
            while waiting:
                place, item = waiting.popleft()
                results[place] = act(item)

        for _ in range(min(self.workers, wanted)):
            self.timeline.start(work)
        while len(results) < wanted:
            self.timeline.sleep(0.01)
        return [results[place] for place in sorted(results)]

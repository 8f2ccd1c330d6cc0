"""The clock of the local cloud: real time plus an offset that tests turn."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Tick = Callable[[float], None]


@dataclass
class Clock:
    """Business time in seconds since the epoch; signatures and function processes keep the real one."""

    offset: float = 0.0
    ticks: list[Tick] = field(default_factory=list)
    settles: list[Callable[[], None]] = field(default_factory=list)
    _ticking: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def now(self) -> float:
        """Seconds since the epoch, as the cloud's services see them."""
        return time.time() + self.offset

    def on_tick(self, tick: Tick) -> None:
        """Call ``tick(now)`` whenever time may have passed, so that what is due happens."""
        self.ticks.append(tick)

    def on_settle(self, settle: Callable[[], None]) -> None:
        """Call ``settle()`` after each step of ``advance``: what a step began may come to rest before the next one."""
        self.settles.append(settle)

    def tick(self) -> None:
        """Let everything happen that is due now; one tick at a time, whoever asks for it."""
        with self._ticking:
            for tick in self.ticks:
                tick(self.now())

    def advance(self, seconds: float, step: float = 60.0) -> None:
        """Turn the clock forward in steps: a schedule that ticks once a step must not miss its turns."""
        with self._ticking:
            self.tick()
            while seconds > 0:
                self.offset += min(step, seconds)
                seconds -= step
                self.tick()
                for settle in self.settles:
                    settle()

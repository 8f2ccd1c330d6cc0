"""When the next call may be made: at most so many a second, and later if Airflow or MWAA is in trouble."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

CALLS_PER_SECOND = 5.0
"""Half of the ten that MWAA allows, so that triggers keep theirs
(https://docs.aws.amazon.com/mwaa/latest/userguide/access-mwaa-apache-airflow-rest-api.html).
"""

MADE_UP_SECONDS = 0.4
"""How late the next call may be and still count as on time: two calls may come at once, never more."""

MOST_SECONDS = 20.0
_DICE = random.SystemRandom()


@dataclass
class Pace:
    """Even steps by a ``clock``; of a slow answer, a moment is made up for, so there is never much of a burst."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    per_second: float = CALLS_PER_SECOND
    jitter: Callable[[], float] = _DICE.random
    troubles: int = 0
    """In a row."""

    _next: float = field(default=0.0)

    def wait(self) -> None:
        """Until the next call may be made."""
        now = self.clock()
        if self._next > now:
            self.sleep(self._next - now)
        self._next = max(self._next, now - MADE_UP_SECONDS) + 1 / self.per_second

    def trouble(self) -> None:
        """A call has failed: wait, twice as long each time, at random (so that fleets do not march in step)."""
        self.troubles += 1
        self._next = self.clock() + min(MOST_SECONDS, 2.0**self.troubles) * (0.5 + self.jitter() / 2)

    def success(self) -> None:
        self.troubles = 0

"""Work shared by one or two connections until it is done, the time is over, or one of them breaks."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from groundcrew_cleaning.database import Database
from groundcrew_cleaning.pace import Pace


class Hand:
    """A connection, and the paces it has found; ``most`` rows and about so many ``seconds`` for a transaction."""

    def __init__(self, database: Database, most: int, seconds: float) -> None:
        self.database = database
        self._most = most
        self._seconds = seconds
        self._paces: dict[str, Pace] = {}

    def pace(self, of: str) -> Pace:
        """That of one kind of work."""
        return self._paces.setdefault(of, Pace(self._most, self._seconds))


class Crew:
    """The first hand works in the thread that asks, so that what stops it stops all."""

    def __init__(self, hands: Sequence[Hand], until: float) -> None:
        self.hands = hands
        self._until = until
        self._broken: list[BaseException] = []

    @property
    def seconds(self) -> float:
        """How many are left."""
        return max(0.0, self._until - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether no transaction is to begin any more."""
        return bool(self._broken) or self.seconds <= 0

    def share(self, units: Iterable[Callable[[Hand], None]]) -> None:
        """Do these, each on one connection; raises what one of them raised, when all have stopped."""
        waiting = deque(units)

        def work(hand: Hand) -> None:
            try:
                while not self.is_over:
                    try:
                        unit = waiting.popleft()
                    except IndexError:
                        return
                    unit(hand)
            except BaseException as error:
                self._broken.append(error)

        helpers = [threading.Thread(target=work, args=(hand,), daemon=True) for hand in self.hands[1:]]
        for helper in helpers:
            helper.start()
        work(self.hands[0])
        for helper in helpers:
            helper.join()
        if self._broken:
            raise self._broken[0]

"""How many rows a transaction takes, so that it is over soon. Pure."""

TARGET_SECONDS = 0.1
"""What a transaction should take, for each connection: who allows two wants it over rather than unnoticed."""

FIRST_SIZE = 500
"""Before anything is known."""


class Pace:
    """``size`` is adapted to what the transactions before have taken; ``most``: rows that one may delete; ``seconds``:
    what one should take.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self.size = min(FIRST_SIZE, most)

    def learn(self, asked: int, deleted: int, took: float) -> None:
        """A transaction over ``asked`` things has deleted so many rows; the next is at most twice as large."""
        if 2 * asked < self.size and took < self._seconds:
            return  # a remainder says little
        in_time = asked * self._seconds / max(took, 1e-3)
        in_rows = self._most * asked / max(deleted, asked, 1)
        self.size = max(1, int(min(2 * self.size, in_time, in_rows)))

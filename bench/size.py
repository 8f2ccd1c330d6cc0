"""The two sizes of the bench: ``FULL`` measures the documented figures, ``SHORT`` shows that the measurements work."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """``share``: the part that is used of the rows, requests and environments behind the documented figures."""

    share: float

    @property
    def is_full(self) -> bool:
        """True if the results are the documented figures."""
        return self.share == 1

    def of(self, full: int) -> int:
        """Return the number of rows, requests or environments to use in place of ``full``: at least one."""
        return max(1, round(full * self.share))

    def times(self, full: int) -> int:
        """Return the number of repetitions to make in place of ``full``: all of them, or one."""
        return full if self.is_full else 1


FULL, SHORT = Size(1), Size(0.05)

"""How much is measured: all of it for figures, a little of it to show that every measurement still works."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """``share`` of the rows, requests and environments that the figures in ``results.json`` are about."""

    share: float

    @property
    def is_full(self) -> bool:
        """Whether the figures are those that the documentation claims."""
        return self.share == 1

    def of(self, full: int) -> int:
        """How many of ``full`` rows, requests or environments are used; at least one."""
        return max(1, round(full * self.share))

    def times(self, full: int) -> int:
        """How often something is measured that is measured ``full`` times for figures."""
        return full if self.is_full else 1


FULL, SHORT = Size(1), Size(0.05)

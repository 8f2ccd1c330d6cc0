"""The report: at any time it says what is committed, whichever connection did it."""

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any


class Tally:
    """Writes into ``report``, by table."""

    def __init__(self, report: dict[str, dict[str, Any]]) -> None:
        self._report = report
        self._reasons: dict[str, Counter[str]] = defaultdict(Counter)
        self._lock = threading.Lock()
        self._is_done = True

    def begin(self, table: str, size: int) -> None:
        """Nothing is known of a table but its size in bytes."""
        self._report[table] = {"examined": None, "deleted": 0, "left": None, "kept": None, "bytes_before": size}

    def say(self, table: str, **about: Any) -> None:
        """Set what is given."""
        with self._lock:
            self._report[table].update(about)

    def deleted(self, rows: Mapping[str, int], table: str, seconds: float) -> None:
        """A transaction over rows of ``table`` has deleted rows."""
        with self._lock:
            for one, number in rows.items():
                said = self._report[one]
                said["deleted"] += number
                if said["left"] is not None:
                    said["left"] = max(0, said["left"] - number)
            said = self._report[table]
            said["longest_seconds"] = max(said.get("longest_seconds", 0.0), round(seconds, 3))

    def keep(self, table: str, reason: str, rows: int | None = None) -> None:
        """Rows stay, and why: so many, where anybody has counted."""
        with self._lock:
            self._reasons[table][reason] += rows or 0
            reasons = sorted(self._reasons[table].items())
            self._report[table]["kept"] = "; ".join(f"{number}: {why}" if number else why for why, number in reasons)

    def leave(self, table: str, reason: str, rows: int | None = None) -> None:
        """As ``keep``, and they should have gone."""
        self.keep(table, reason, rows)
        self._is_done = False

    @property
    def is_done(self) -> bool:
        """Whether nothing is left, as far as is known, that should have gone."""
        return self._is_done and not any(said["left"] for said in self._report.values())

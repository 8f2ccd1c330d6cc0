"""A database of one table and a `db clean` that takes its time, for the slices."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cleanup.outside_output import Cleaned
from cleanup.outside_plan import Target
from cleanup.outside_slices import Command, Progress

NOW = datetime(2026, 11, 27, tzinfo=UTC)
BEFORE = NOW - timedelta(days=30)
TARGET = Target("xcom", BEFORE, "30 days are kept")


@dataclass
class Table:
    """Its rows by their age; ``per_second`` of them are deleted."""

    rows: list[datetime]
    per_second: float = 10_000
    sent: list[Command] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def answer(self, command: Command) -> tuple[Cleaned, float]:
        self.sent.append(command)
        found = [row for row in self.rows if row < command.before]
        if command.look:
            return Cleaned({command.table: len(found)}), 3.0
        self.sizes.append(len(found))
        self.rows = [row for row in self.rows if row >= command.before]
        return Cleaned({command.table: len(found)}), 3.0 + len(found) / self.per_second


def spread(rows: int, days: float = 400, end: datetime = NOW) -> list[datetime]:
    """Rows, evenly spread over so many days."""
    return [end - timedelta(days=days * number / rows) for number in range(1, rows + 1)]


def clean(
    table: Table, progress: Progress, *, deletes: bool = True, confirm: float = 1, lose: Sequence[int] = ()
) -> Progress:
    """To the end; the answers to the commands of these numbers are lost, odd ones before they had an effect."""
    for number in range(500):
        if progress.stage == "done":
            return progress
        if number in lose:
            if number % 2 == 0:
                table.answer(progress.command)
            progress = progress.after(None, 60, deletes=deletes, confirm=confirm)
        else:
            cleaned, seconds = table.answer(progress.command)
            progress = progress.after(cleaned, seconds, deletes=deletes, confirm=confirm)
        assert Progress.read(progress.as_state()) == progress
    raise AssertionError("it never ends")

"""One table, cleaned by ``db clean`` in slices of time from the oldest on. Pure: what to send next, and what follows
from the answer.

A slice is looked at by a dry run, deleted, and looked at again. How many rows it may have follows from how long the
last one took, so that each command stays well inside the five minutes that MWAA gives it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from cleanup.outside_output import Cleaned
from cleanup.outside_plan import Target

FLOOR = datetime(2015, 1, 1, tzinfo=UTC)
"""Airflow has no rows from before."""

EVER = datetime(9000, 1, 1, tzinfo=UTC)
"""Every row that has an age is older."""

SECOND = timedelta(seconds=1)
TARGET_SECONDS = 20.0
"""How long a command should take: a third of what its answer is waited for, a fifteenth of what MWAA gives it."""

FIRST_ROWS, FEWEST_ROWS, MOST_ROWS = 5_000, 1_000, 1_000_000
"""Of a slice: the first one, and what speed may make of it."""

GROWTH = 4
"""So many times as many rows may the next slice have, at most."""

UNCONFIRMED_ROWS = 1_000
"""Fewer rows of a table may go whatever their share of it."""

LOST_AT_MOST = 3
"""Commands in a row that are not answered, before a table is left alone."""

WAITS = 2
"""How often the end of a command is waited for that was not answered and seems to have done nothing."""

Stage = Literal["look", "share", "delete", "prove", "done"]


@dataclass(frozen=True, slots=True)
class Command:
    """``db clean`` of a table up to a time; ``look``: a dry run."""

    table: str
    before: datetime
    look: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a table has come.

    Nothing is left from before ``lower``; ``at`` is the end of the slice in hand, which holds ``rows`` of each table
    that the name stands for; ``upper`` is the end of the least that was found to be too much, with about ``many`` rows.
    """

    target: Target
    stage: Stage = "look"
    lower: datetime = FLOOR
    at: datetime
    upper: datetime
    many: int = 0
    begins: datetime | None = None
    """When the rows that are left begin, if that is known, or believed; they are taken to be evenly spread then."""
    rows: Mapping[str, int] = field(default_factory=dict)
    limit: int = FIRST_ROWS
    wait: bool = False
    """The last command was not answered; nothing may be sent until it has surely ended."""
    waits: int = 0
    """How often it was waited for the end of the slice in hand, whose deletion was not answered."""
    lost: int = 0
    examined: int | None = None
    total: int = 0
    deleted: Mapping[str, int] = field(default_factory=dict)
    commands: int = 0
    longest: float = 0.0
    kept: str = ""
    failed: bool = False

    @classmethod
    def of(cls, target: Target, limit: int = FIRST_ROWS, begins: datetime | None = None) -> Self:
        """Nothing is done yet; ``limit`` is what the table before has taught."""
        return cls(target=target, at=target.before, upper=target.before, limit=limit, begins=begins)

    @property
    def command(self) -> Command:
        """What is to be sent now."""
        before = EVER if self.stage == "share" else self.at
        return Command(self.target.table, before, look=self.stage != "delete")

    @property
    def between(self) -> bool:
        """Nothing is in hand: it may be stopped here, or its target be moved back."""
        return self.stage in ("look", "share", "done")

    @property
    def left(self) -> int:
        """Rows of the table itself that should go and are still there, as far as is known."""
        return max(0, (self.examined or 0) - self.deleted.get(self.target.table, 0))

    def moved(self, target: Target) -> "Progress":
        """With a target that was moved back meanwhile."""
        if target.before >= self.target.before:
            return self
        if target.before <= self.lower:
            return self.stopped(target.reason)
        return replace(self, target=target, at=min(self.at, target.before), upper=min(self.upper, target.before))

    def stopped(self, reason: str, *, failed: bool = False) -> "Progress":
        """Left alone from now on."""
        return replace(self, stage="done", kept=reason, failed=failed, wait=False)

    def after(self, answer: Cleaned | None, seconds: float, *, deletes: bool, confirm: float) -> "Progress":
        """What follows from an answer to ``command``; None: there was none."""
        if answer is None:
            return self._unanswered()
        now = replace(self, wait=False, commands=self.commands + 1, longest=max(self.longest, seconds))
        if answer.absent:
            return now.stopped("it is not in this database")
        if answer.trouble:
            return now.stopped(f"`db clean` failed: {answer.trouble}", failed=True)
        match self.stage:
            case "look":
                return now._looked(answer, deletes=deletes, confirm=confirm)
            case "share":
                return now._shared(answer, confirm)
            case "delete":  # one that is sent again, for whoever waited for it died, may find nothing
                limit = _limit(now.limit, answer.rows, seconds) if answer.rows else now.limit
                return replace(now, stage="prove", limit=limit)
            case _:
                return now._proved(answer)

    def as_state(self) -> dict[str, Any]:
        """As the state machine carries it."""
        state = asdict(self)
        return state | {
            "target": state["target"] | {"before": self.target.before.isoformat()},
            **{key: state[key].isoformat() for key in ("lower", "at", "upper")},
            "begins": self.begins.isoformat() if self.begins else None,
        }

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> Self:
        """Read what ``as_state`` wrote."""
        target = state["target"]
        moments = {key: datetime.fromisoformat(state[key]) for key in ("lower", "at", "upper")}
        about = Target(**target | {"before": datetime.fromisoformat(target["before"])})
        begins = datetime.fromisoformat(state["begins"]) if state["begins"] else None
        return cls(**{**state, **moments, "target": about, "begins": begins})

    def _unanswered(self) -> "Progress":
        """Whatever it does, it is waited for; then it is looked at, not repeated."""
        again = replace(
            self,
            wait=True,
            lost=self.lost + 1,
            waits=1 if self.stage == "delete" else self.waits,
            stage="prove" if self.stage == "delete" else self.stage,
            limit=max(FEWEST_ROWS, self.limit // GROWTH),
        )
        return again if again.lost <= LOST_AT_MOST else again.stopped("its commands are not answered", failed=True)

    def _looked(self, answer: Cleaned, *, deletes: bool, confirm: float) -> "Progress":
        first = self.examined is None
        now = self
        if first:
            own = answer.found[self.target.table]
            now = replace(self, rows=answer.found, examined=own, total=answer.rows)
        if first and answer.rows and not deletes:
            return now.stopped("the policy only reports")
        if first and confirm < 1 and any(rows >= UNCONFIRMED_ROWS for rows in answer.found.values()):
            return replace(now, stage="share")
        return now._sized(answer)

    def _sized(self, answer: Cleaned) -> "Progress":
        """Delete the slice if it is not too much; else look at a smaller one, or, if it is empty, at a later one."""
        rows = answer.rows
        if rows == 0:
            if self.at >= self.target.before:
                return replace(self, stage="done")
            return replace(self, lower=self.at, begins=None)._next(self.upper, self.many)
        if rows <= self.limit:
            return replace(self, stage="delete", rows=answer.found)
        return self._next(self.at, rows)

    def _next(self, upper: datetime, many: int) -> "Progress":
        """The slice to look at, now that there are about so many rows until ``upper``."""
        at = upper
        if many > self.limit:
            begins = self.begins if self.begins and self.lower <= self.begins < upper else None
            start, share = (begins, 0.8 * self.limit / many) if begins else (self.lower, 0.5)
            at = min(upper, (start + max(SECOND, (upper - start) * share)).replace(microsecond=0))
        if at >= upper and many > MOST_ROWS:
            return self.stopped(f"{many} rows of one second are too many for a command")
        # What was believed is believed once; what is known stays so (see ``_proved``).
        now = replace(self, stage="look", at=at, upper=upper, many=many, begins=None)
        return replace(now, limit=max(self.limit, many)) if at >= upper else now

    def _shared(self, totals: Cleaned, confirm: float) -> "Progress":
        for table, rows in sorted(self.rows.items()):
            total = max(rows, totals.found.get(table, rows))
            if rows >= UNCONFIRMED_ROWS and rows / total > confirm:
                share = f"{100 * rows / total:.1f} % of the {total} rows of {table}"
                return self.stopped(f"{share} would go, and the policy confirms {100 * confirm:g} %")
        return self._sized(Cleaned(self.rows))

    def _proved(self, answer: Cleaned) -> "Progress":
        """Count what is gone, and go on to the next slice."""
        gone = {table: max(0, rows - answer.found.get(table, 0)) for table, rows in self.rows.items()}
        deleted = {table: self.deleted.get(table, 0) + gone.get(table, 0) for table in {*self.deleted, *gone}}
        now = replace(self, deleted=dict(sorted(deleted.items())))
        now = replace(now, waits=0)
        if answer.rows == 0:
            now = replace(now, lower=self.at, lost=0)
            if self.at >= self.target.before:
                return replace(now, stage="done")
            rest = max(1, self.total - sum(now.deleted.values()))
            return replace(now, begins=self.at)._next(self.target.before, rest)
        if not self.waits:
            left = f"{answer.rows} rows are still there after a command that said it had finished"
            return now.stopped(left, failed=True)
        if answer.rows == sum(self.rows.values()) and self.waits < WAITS:
            return replace(self, wait=True, waits=self.waits + 1)  # it may be at work still
        # It has not done all of it, or nothing: what it was given was too much.
        return replace(now, rows=answer.found)._sized(answer)


def _limit(limit: int, rows: int, seconds: float) -> int:
    """How many rows the next slice may have, after one of so many rows that took so long."""
    wanted = int(rows / max(seconds, 0.1) * TARGET_SECONDS)
    return max(FEWEST_ROWS, min(MOST_ROWS, wanted, max(limit, rows) * GROWTH))

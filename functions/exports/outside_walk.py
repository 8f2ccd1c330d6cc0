"""The way through one list: what to ask next, and what an answer means. No clock, no network, no memory but a ``Walk``.

Nothing is lost while the scheduler writes, because a window lies in the past: a row that is written leaves it, for its
time moves on, and none comes in. Entries are read

* by the version's cursor, which goes on behind the last key, whatever has left before it; or
* by counting **from the last page to the first**: when entries leave before the page, the next one overlaps it (what
  was just read is known by its key and left out). Read from the front, others would be jumped over.

Then the list is counted again. What was read lies between both counts, or the list is read once more. A list without a
window (DAGs, pools, jobs) must not have changed at all.

Airflow 3 ignores a filter that it does not know and gives everything, so each filter is proven first: asked for the
impossible, it must give nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from exports.outside_columns import Row
from exports.outside_routes import PAGE, Route
from groundcrew.errors import PermanentError, TransientError

MOST_ATTEMPTS = 5
"""How often a list is read that changes so much that its counts do not agree."""

ROUNDS = 3
"""How often it is counted whether rows have no time."""

RECOVERED = 10
"""Pages read well after which a page may be twice as large again."""

NEVER = datetime(9999, 12, 30, tzinfo=UTC)
EVER = datetime(1, 1, 2, tzinfo=UTC)


class Step(StrEnum):
    """What is asked next."""

    PROVE_LOWER = "prove lower"
    PROVE_UPPER = "prove upper"
    LATER = "later"  # of a window without a beginning: are there rows without a time, which no filter finds?
    COUNT = "count"
    ALL = "all"
    READ = "read"
    RECOUNT = "recount"
    DONE = "done"


class Change(StrEnum):
    """What may happen to a list while it is read."""

    LEAVING = "leaving"  # rows of a window are written again
    ARRIVING = "arriving"  # rows of everything there is, in the order of their making
    NONE = "none"


@dataclass(frozen=True)
class Walk:
    """How far a list has been read; as JSON it is what a state machine keeps."""

    step: Step
    change: Change
    size: int = PAGE
    later: int = 0
    """Entries written after the window."""

    rounds: int = 0
    """How often more entries were counted than can be found."""

    counted: int = 0
    """Entries, when the reading began."""

    at: str | int = ""
    """The cursor, or how many entries lie before what was read."""

    rows: int = 0
    """Entries read, each once."""

    edge: tuple[str, ...] = ()
    """Digests of the keys of the last page, where pages may overlap."""

    good: int = 0
    attempt: int = 1

    @classmethod
    def begun(cls, route: Route, since: datetime | None) -> Self:
        """Before the first question."""
        if route.time is None:
            return cls(Step.COUNT, Change.NONE)
        return cls(Step.PROVE_LOWER if since else Step.PROVE_UPPER, Change.LEAVING)

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """Read from JSON."""
        more = {"step": Step(kept["step"]), "change": Change(kept["change"]), "edge": tuple(kept["edge"])}
        return cls(**{**kept, **more})


@dataclass(frozen=True)
class Lane:
    """One list in one version, and its window: ``since`` <= time < ``until``."""

    route: Route
    version: str
    since: datetime | None = None
    until: datetime | None = None

    def question(self, walk: Walk) -> dict[str, str]:
        """The query to ask next."""
        route = self.route
        window = self._window(walk)
        match walk.step:
            case Step.PROVE_LOWER:
                return {**route.always, **route.after(NEVER), "limit": "0"}
            case Step.PROVE_UPPER:
                return {**route.always, **route.before(EVER), "limit": "0"}
            case Step.ALL:
                return {**route.always, "limit": "0"}
            case Step.READ:
                return {**route.always, **window, "order_by": route.order, **self._page(walk)}
            case _:
                later = walk.step is Step.LATER or walk.change is Change.ARRIVING
                counted = route.after(self.until) if later and self.until else window
                return {**route.always, **counted, "limit": "0"}

    def answered(self, walk: Walk, body: Mapping[str, Any]) -> tuple[Walk, Sequence[Row]]:
        """What an answer makes of a walk, and the entries that are new.

        Raises:
            PermanentError: ``FilterIgnored``: the version does not know a filter that this engine relies on.
            TransientError: ``Unsettled``: the list changes faster than it can be read.
        """
        entries: Sequence[Row] = body.get(self.route.entries) or ()
        if walk.step is Step.READ and walk.at == "" and body.get("total_entries") is not None:
            # It has not seen that a cursor was asked for: MWAA may drop what is empty, which is not documented.
            return replace(walk, at=walk.counted), ()
        if walk.step is Step.READ:
            return self._read(walk, entries, body.get("next_cursor"))
        return self._counted(walk, int(body.get("total_entries") or 0)), ()

    def _window(self, walk: Walk) -> dict[str, str]:
        if self.route.time is None or walk.change is Change.ARRIVING:
            return {}
        lower = self.route.after(self.since) if self.since else {}
        return {**lower, **(self.route.before(self.until) if self.until else {})}

    def _page(self, walk: Walk) -> dict[str, str]:
        if isinstance(walk.at, str):
            return {"limit": str(walk.size), "cursor": walk.at}
        offset = max(0, walk.at - walk.size)
        return {"limit": str(walk.at - offset), "offset": str(offset)}

    def _counted(self, walk: Walk, total: int) -> Walk:
        match walk.step:
            case Step.PROVE_LOWER | Step.PROVE_UPPER:
                if total:
                    raise PermanentError(
                        f"Airflow {self.version} ignores the filter {self._asked(walk.step)} of {self.route.path}",
                        cause="FilterIgnored",
                        remedy="Report it: this version cannot be exported in windows.",
                    )
                if walk.step is Step.PROVE_LOWER:
                    return replace(walk, step=Step.PROVE_UPPER)
                return replace(walk, step=self._first_count())
            case Step.LATER:
                return replace(walk, step=Step.COUNT, later=total)
            case Step.COUNT:
                walk = replace(walk, counted=total)
                return self._begin(walk) if self._first_count() is Step.COUNT else replace(walk, step=Step.ALL)
            case Step.ALL:
                return self._with_times(walk, total)
            case _:
                return self._recounted(walk, total)

    def _asked(self, step: Step) -> str:
        return self.route.lower if step is Step.PROVE_LOWER else self.route.upper

    def _with_times(self, walk: Walk, total: int) -> Walk:
        """Whether rows have no time: then all there is is read. Counted in this order (later ones, those of the window,
        all), what is written meanwhile can only make it look so; it hardly does each time.
        """
        if total <= walk.later + walk.counted:
            return self._begin(walk)
        if walk.rounds + 1 < ROUNDS:
            return replace(walk, step=Step.LATER, rounds=walk.rounds + 1)
        return self._begin(replace(walk, change=Change.ARRIVING, counted=total))

    def _begin(self, walk: Walk) -> Walk:
        if not walk.counted:
            return replace(walk, step=Step.DONE)
        return replace(walk, step=Step.READ, at="" if self.route.has_cursor(self.version) else walk.counted)

    def _read(self, walk: Walk, entries: Sequence[Row], following: str | None) -> tuple[Walk, Sequence[Row]]:
        for entry in entries:
            self._check(entry)
        good = walk.good + 1
        size = min(PAGE, walk.size * 2) if good % RECOVERED == 0 else walk.size
        if isinstance(walk.at, str):
            walk = replace(walk, at=following or "", rows=walk.rows + len(entries), size=size, good=good)
            return (walk if following else replace(walk, step=Step.RECOUNT)), entries
        digests = [self._digest(entry) for entry in entries]
        fresh = [entry for entry, digest in zip(entries, digests, strict=True) if digest not in walk.edge]
        offset = max(0, walk.at - walk.size)
        walk = replace(walk, at=offset, rows=walk.rows + len(fresh), edge=tuple(digests), size=size, good=good)
        return (walk if offset else replace(walk, step=Step.RECOUNT, edge=())), fresh

    def _check(self, entry: Row) -> None:
        if not self.route.shows:
            return
        moment = datetime.fromisoformat(entry[self.route.shows])
        if (self.since and moment < self.since) or (self.until and moment >= self.until):
            raise PermanentError(
                f"Airflow {self.version} gives an entry of {self.route.path} that its filters should have kept back",
                cause="FilterIgnored",
                remedy="Report it: this version cannot be exported in windows.",
            )

    def _digest(self, entry: Row) -> str:
        whole = "\0".join(str(entry.get(name)) for name in self.route.key)
        return hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()

    def _recounted(self, walk: Walk, total: int) -> Walk:
        agrees = {
            Change.LEAVING: total <= walk.rows <= walk.counted,
            # Only later ones are counted again: an instance that gets another id, for its next try, is one of them.
            Change.ARRIVING: walk.counted - walk.rows <= max(0, total - walk.later),
            Change.NONE: total == walk.rows == walk.counted,
        }[walk.change]
        if agrees:
            return replace(walk, step=Step.DONE)
        if walk.attempt >= MOST_ATTEMPTS:
            raise TransientError(
                f"{self.route.path} changes while it is read: {walk.counted} entries, {walk.rows} read, then {total}",
                cause="Unsettled",
            )
        change = Change.NONE if self.route.time is None else Change.LEAVING
        return Walk(self._first_count(), change, size=walk.size, attempt=walk.attempt + 1)

    def _first_count(self) -> Step:
        """What is shown is never empty, so only a time that is not shown may be missing."""
        hidden = self.route.time is not None and not self.route.shows
        return Step.LATER if hidden and self.since is None else Step.COUNT


def halved(walk: Walk) -> Walk | None:
    """With smaller pages, after an answer that was too large, or too slow; None if a page has only one entry."""
    if walk.step is not Step.READ or walk.size <= 1:
        return None
    return replace(walk, size=walk.size // 2, good=0)

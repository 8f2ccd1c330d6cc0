"""Tables whose rows go by their own age."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groundcrew_cleaning.crew import Crew, Hand
from groundcrew_cleaning.database import BusyError
from groundcrew_cleaning.slices import Slices
from groundcrew_cleaning.tables import is_too_much
from groundcrew_cleaning.tally import Tally


@dataclass(frozen=True)
class Rows:
    """The rows of one table."""

    crew: Crew
    tally: Tally
    slices: Slices
    policy: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The table's."""
        return self.slices.table.name

    def clean(self, hand: Hand, *, deletes: bool) -> None:
        """Count what would go, and delete it, slice by slice.

        Raises:
            ValueError: the policy is not one.
        """
        database = hand.database
        try:
            counted = self.slices.count(database, self.crew.seconds)
        except BusyError:
            self.tally.leave(self.name, "it could not be counted in time, or is locked by somebody else")
            return
        self.tally.say(self.name, examined=counted.old, left=counted.old)
        if counted.going < counted.old:
            self.tally.keep(self.name, "not in a verified export", counted.old - counted.going)
        if is_too_much(self.policy, counted.going, counted.total):
            self.tally.keep(self.name, "more than the policy's confirmed share would go")
        elif deletes and counted.last:
            self.slices.prepare(database)
            self._delete(hand, counted.last, counted.going)

    def _delete(self, hand: Hand, last: tuple[str, ...], going: int) -> None:
        pace, after, going_on = hand.pace(self.name), None, True
        while going_on and not self.crew.is_over:
            try:
                gone, after = self.slices.delete(hand.database, after, last, pace.size)
            except BusyError:
                if pace.size == 1:
                    self.tally.leave(self.name, "locked by somebody else")
                    return
                pace.size = max(1, pace.size // 10)
                continue
            self.tally.deleted(gone, self.name, hand.database.took)
            pace.learn(gone[self.name], sum(gone.values()), hand.database.took)
            going_on, going = after is not None, going - gone[self.name]
        if going > 0 and not going_on:
            self.tally.keep(self.name, "locked by somebody else, or changed", going)

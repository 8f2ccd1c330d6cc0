"""Old runs go with all that hangs on them; of younger ones go the rows of tables that keep theirs for fewer days."""

from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from groundcrew_cleaning.crew import Crew, Hand
from groundcrew_cleaning.database import BusyError, Database
from groundcrew_cleaning.plan import Plan, Run, plan
from groundcrew_cleaning.references import below
from groundcrew_cleaning.tables import confirms_all, is_too_much
from groundcrew_cleaning.tally import Tally
from groundcrew_cleaning.tree import Tree

CHUNK = 500
"""Runs that a connection takes over at once."""

TOO_MUCH = "more than the policy's confirmed share would go"

PATIENCE = 20
"""How often somebody else may be in the way before the rest is left to the next clean-up."""

_RUNS = """
select id, dag_id, run_type, state, case when isfinite(start_date) and isfinite(end_date)
       then greatest(start_date, end_date) end
  from dag_run where isfinite(execution_date) order by dag_id, execution_date desc, id desc
"""


@dataclass
class Runs:
    """The runs of a database. ``waits``: how often somebody else was in the way."""

    crew: Crew
    tally: Tally
    tree: Tree
    policy: Mapping[str, Any]
    waits: int = 0

    def decide(self) -> Plan:
        """Decide of every run, and report it.

        Raises:
            ValueError: the policy is not one.
        """
        database = self.crew.hands[0].database
        takes = {table: below(table, self.tree.references) for table in self.tree.tables}
        with database.patient(self.crew.seconds):
            ((now,),) = database.all("select now()")
            decided = plan((Run(*row) for row in database.stream(_RUNS)), self.policy, takes, now)
        total = len(decided.going) + sum(decided.kept.values())
        self.tally.say("dag_run", examined=len(decided.going), left=len(decided.going))
        for reason, number in decided.kept.items():
            self.tally.keep("dag_run", reason, number)
        if is_too_much(self.policy, len(decided.going), total):
            self.tally.keep("dag_run", TOO_MUCH)
            decided = decided._replace(going=array("q"))
        for table in self.tree.tables:
            if table != "dag_run" and not self._confirmed(database, table, decided.going):
                self.tally.keep(table, TOO_MUCH)
                self.tally.keep("dag_run", f"too much of {table} would go with them")
                decided = decided._replace(going=array("q"))
        younger = dict(decided.younger)
        for table, numbers in decided.younger.items():
            rows = self._rows(database, table, decided.going + numbers)
            self.tally.say(table, examined=rows, left=rows)
            if not self._confirmed(database, table, decided.going + numbers):
                self.tally.keep(table, TOO_MUCH)
                younger[table] = array("q")
        return decided._replace(younger=younger)

    def whole(self, decided: Plan) -> list[Callable[[Hand], None]]:
        """Work: the runs that go."""
        return self._units(decided.going, "dag_run", self.tree.tables)

    def parts(self, decided: Plan) -> list[Callable[[Hand], None]]:
        """Work: the rows of younger runs that go."""
        units = []
        for table, numbers in decided.younger.items():
            units += self._units(numbers, table, [table, *below(table, self.tree.references)])
        return units

    def _confirmed(self, database: Database, table: str, numbers: "array[int]") -> bool:
        """Whether so much of a table may go as hangs on these runs."""
        if confirms_all(self.policy) or not numbers:
            return True
        rows = self._rows(database, table, numbers)
        with database.patient(self.crew.seconds):
            ((total,),) = database.all(f'select count(*) from "{table}"')  # noqa: S608 - a name of the catalog
        return not is_too_much(self.policy, rows, total)

    def _rows(self, database: Database, table: str, numbers: "array[int]") -> int:
        return sum(self.tree.count(database, table, list(chunk)) for chunk in _chunks(numbers))

    def _units(self, numbers: "array[int]", table: str, going: Sequence[str]) -> list[Callable[[Hand], None]]:
        return [partial(self._delete, numbers=chunk, table=table, going=going) for chunk in _chunks(numbers)]

    def _delete(self, hand: Hand, numbers: "array[int]", table: str, going: Sequence[str]) -> None:
        database, pace = hand.database, hand.pace(table)
        waiting = deque(self.tree.weights(database, list(numbers)))
        while waiting and not self.crew.is_over and self.waits < PATIENCE:
            batch = [waiting.popleft()]
            weight = batch[0][1]
            while waiting and weight + waiting[0][1] <= pace.size:
                batch.append(waiting.popleft())
                weight += batch[-1][1]
            try:
                gone = self.tree.delete(database, [run for run, _ in batch], going, pace.size)
            except BusyError:
                self.waits += 1
                pace.size = max(1, weight // 2)
                if len(batch) > 1:
                    waiting.extendleft(reversed(batch))
                else:
                    self.tally.leave(table, "runs are locked by somebody else", 1)
                continue
            self.tally.deleted(gone.rows, table, database.took)
            pace.learn(min(weight, pace.size), sum(gone.rows.values()), database.took)
            if gone.more:
                waiting.appendleft(batch[0])
            for reason, runs in gone.kept.items():
                self.tally.keep(table, reason, runs)


def _chunks(numbers: "array[int]") -> "list[array[int]]":
    return [numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK)]

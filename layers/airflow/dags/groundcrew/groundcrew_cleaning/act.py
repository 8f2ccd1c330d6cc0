"""A clean-up: runs with all that hangs on them, and rows that are old themselves, deleted in short transactions."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from groundcrew_cleaning import references
from groundcrew_cleaning.aged import Rows
from groundcrew_cleaning.crew import Crew, Hand
from groundcrew_cleaning.database import BusyError, Database, RefusedError
from groundcrew_cleaning.pace import TARGET_SECONDS
from groundcrew_cleaning.plan import number
from groundcrew_cleaning.runs import Runs
from groundcrew_cleaning.slices import Slices
from groundcrew_cleaning.tables import AGED, REFERRED, Aged, Exports
from groundcrew_cleaning.tally import Tally
from groundcrew_cleaning.tree import Tree

__all__ = ["Cleaning", "RefusedError"]

log = logging.getLogger(__name__)

LOCK = 4_077_211_907
"""The advisory lock that a clean-up holds."""

MUCH = 0.1
"""The share of a table's rows after whose deletion it is vacuumed."""

_COLUMNS = """
select c.relname::text, array_agg(a.attname::text) from pg_class c join pg_attribute a on a.attrelid = c.oid
 where c.oid = any(array(select to_regclass(quote_ident(name)) from unnest(%s::text[]) name)) and a.attnum > 0
 group by c.oid
"""
_SIZE = "select pg_total_relation_size(to_regclass(quote_ident(%s)))"


@dataclass
class Cleaning:
    """One clean-up over one or two connections of psycopg2's to the same database.

    ``report`` holds, by table, what is committed, at any time; a commit that was sent and never answered is not in it.
    ``covered``: by table, the column and the time before which all its rows are in verified exports.
    """

    connection: Any
    policy: Mapping[str, Any]
    covered: Mapping[str, Mapping[str, str]]
    seconds: float
    second: Any = None
    report: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self, *, deletes: bool) -> bool:
        """Clean, and whether nothing is left that the policy wants gone.

        Raises:
            RefusedError: see there.
            ValueError: the policy is not one.
            psycopg2.Error: the database is out of reach; the next clean-up goes on.
        """
        until = time.monotonic() + self.seconds
        databases = [Database(one, self.policy) for one in (self.connection, self.second) if one is not None]
        ((mine,),) = databases[0].all("select pg_try_advisory_lock(%s)", LOCK)
        self.connection.commit()
        if not mine:
            raise RefusedError("another clean-up works on this database")
        most = int(self.policy.get("rows_per_transaction", 50_000))
        seconds = TARGET_SECONDS * len(databases)
        crew = Crew([Hand(database, most, seconds) for database in databases], until)
        try:
            return self._clean(crew, deletes=deletes)
        except BusyError as error:
            raise RefusedError(
                "somebody else has locked a whole table, or there was no time to look at all of it"
            ) from error
        finally:
            with suppress(Exception):  # a connection that is lost holds no lock
                self.connection.rollback()
                databases[0].all("select pg_advisory_unlock(%s)", LOCK)
                self.connection.commit()

    def _clean(self, crew: Crew, *, deletes: bool) -> bool:
        tally, first = Tally(self.report), crew.hands[0].database
        with first.transaction():
            found = references.read(first)
            hanging = references.children_first(["dag_run", *references.below("dag_run", found)], found)
            wanted = [*hanging, *(child for one in REFERRED for child in references.below(one.name, found))]
            wanted += [one.name for one in (*AGED, *REFERRED)]
            columns = {table: frozenset(names) for table, names in first.all(_COLUMNS, wanted)}
            for table in dict.fromkeys(wanted):
                if table in columns:
                    tally.begin(table, first.all(_SIZE, table)[0][0])
            ((now,),) = first.all("select now()")
        exports = Exports(self.policy, self.covered, columns)
        skips_checks = all(hand.database.may_skip_checks(hanging) for hand in crew.hands)
        runs = Runs(crew, tally, Tree(hanging, found, exports, skips_checks), self.policy)
        decided = runs.decide()

        def rows(tables: Iterable[Aged]) -> list[Callable[[Hand], None]]:
            units: list[Callable[[Hand], None]] = []
            for table in tables:
                days = self._days(table.name)
                if table.name in columns and days is None:
                    tally.keep(table.name, "the policy keeps it")
                elif table.name in columns and days is not None:
                    before = now - timedelta(days=days)
                    tally.say(table.name, before=before.isoformat())
                    slices = Slices.of(first, table, found, exports, before)
                    units.append(partial(Rows(crew, tally, slices, self.policy).clean, deletes=deletes))
            return units

        old, referred = rows(AGED), rows(REFERRED)
        if deletes:
            for hand in crew.hands:
                runs.tree.prepare(hand.database)
            crew.share([*old, *runs.whole(decided)])
            crew.share(runs.parts(decided))
        else:
            crew.share(old)
        crew.share(referred)
        done = tally.is_done and not crew.is_over
        if deletes:
            self._tidy(crew, list(columns))
        return done

    def _days(self, table: str) -> int | None:
        said = self.policy["days"].get("tables", {}).get(table, self.policy["days"]["default"])
        return None if said is None else number(said)

    def _tidy(self, crew: Crew, tables: Sequence[str]) -> None:
        """Vacuum what has shrunk, where we may and while there is time; note how large all is now."""
        database = crew.hands[0].database
        for table in tables:
            deleted = self.report[table]["deleted"]
            ((rows,),) = database.all("select reltuples from pg_class where oid = to_regclass(quote_ident(%s))", table)
            database.connection.commit()
            if deleted >= 1000 and deleted > MUCH * rows and not crew.is_over:
                try:
                    database.vacuum(table, crew.seconds)
                except Exception as error:
                    # A transaction has failed at worst; what is deleted stays so.
                    log.warning("not vacuumed table=%s error=%s", table, type(error).__name__)
        with suppress(BusyError), database.transaction():
            for table in tables:
                self.report[table]["bytes_after"] = database.all(_SIZE, table)[0][0]

"""Runs and all that hangs on them, or only the rows of some tables: locked, looked at, deleted children first.

What is locked can neither change nor get new children before it goes: a row that refers to it must lock it, too. So
when its children have been deleted after that, none are left, and PostgreSQL is told not to look for them again, row by
row and table by table, where the user may do so (``rds_superuser`` may). New tables cannot come in between: their
migration waits for the transaction (``Database.transaction``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from groundcrew_cleaning.database import Database
from groundcrew_cleaning.references import Reference
from groundcrew_cleaning.tables import FINISHED, OVER, Exports

CHANGED = "runs are locked by somebody else, or have changed"
NEEDED = "runs are not in a verified export, or still at work"


@dataclass
class Gone:
    """Rows deleted, by table; how many runs stay for now, and why; whether there is more of this run."""

    rows: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    more: bool = False


@dataclass(frozen=True)
class Tree:
    """``tables`` children first, ``dag_run`` last; those that others hang on have a temporary table of rows chosen."""

    tables: Sequence[str]
    references: Sequence[Reference]
    exports: Exports
    skips_checks: bool

    @property
    def parents(self) -> list[str]:
        """The tables that others hang on, ``dag_run`` first."""
        return [table for table in reversed(self.tables) if any(r.parent == table for r in self.references)]

    def ways(self, table: str) -> list[Reference]:
        """How a table hangs on others of the tree."""
        return [one for one in self.references if one.child == table and one.parent in self.tables]

    def prepare(self, database: Database) -> None:
        """Make the temporary tables of a connection."""
        for table in self.parents:
            pointed = sorted({name for one in self.references if one.parent == table for name in one.its})
            names = "".join(f't."{name}", ' for name in pointed)
            database.do(f"drop table if exists {_chosen(table)}")
            database.do(
                f"create temporary table {_chosen(table)} on commit delete rows as"  # noqa: S608 - names of the catalog
                f' select {names}t.ctid as place, 0 as run, false as stays from "{table}" t where false'
            )
        database.connection.commit()

    def weights(self, database: Database, runs: Sequence[int]) -> list[tuple[int, int]]:
        """These runs, and how many rows of ``dag_run`` and ``task_instance`` each is."""
        found = database.all(
            "select r.id, 1 + count(t.run_id) from dag_run r left join task_instance t"
            " on t.dag_id = r.dag_id and t.run_id = r.run_id where r.id = any(%s) group by r.id order by r.id",
            list(runs),
        )
        database.connection.commit()
        return [(run, weight) for run, weight in found]

    def count(self, database: Database, table: str, runs: Sequence[int]) -> int:
        """How many rows of a table hang on these runs."""
        ways = {one.parent: one for one in self.ways(table)}
        if "task_instance" in ways:
            joined = f'join task_instance p on {_OF_RUN} join "{table}" t on {ways["task_instance"].joins("t", "p")}'
        else:
            joined = f'join "{table}" t on {ways["dag_run"].joins("t", "r")}'
        ((rows,),) = database.all(f"select count(*) from dag_run r {joined} where r.id = any(%s)", list(runs))  # noqa: S608
        database.connection.commit()
        return int(rows)

    def delete(self, database: Database, runs: Sequence[int], going: Sequence[str], most: int) -> Gone:
        """In one transaction: rows of the tables ``going``, with ``dag_run`` the runs themselves.

        Of a single run with more than ``most`` task instances so many go, and the rest another time.

        Raises:
            BusyError: somebody works on these rows.
        """
        tables, gone = [table for table in self.tables if table in set(going)], Gone()
        with database.transaction():
            if self.skips_checks:
                database.skip_checks()
            for table in self.parents:
                self._choose(database, table, runs, table in tables)
            ((chosen,),) = database.all(f"select count(*) from {_chosen('dag_run')}")  # noqa: S608
            staying = self._staying(database, tables)
            for reason, number in ((CHANGED, len(runs) - chosen), (NEEDED, len(staying))):
                gone.kept |= {reason: number} if number else {}
            for table in self.parents if staying else ():
                database.do(f"delete from {_chosen(table)} where run = any(%s)", list(staying))  # noqa: S608
            if len(runs) == 1 and "task_instance" in tables:
                gone.more = self._cut(database, most)
            # Of a run that is cut only task instances go, and what hangs on them.
            roots = [table for table in tables if not (gone.more and table == "dag_run")]
            following = [table for table in tables if self._follows(table, roots)]
            before = dict(database.all(_DELETED, following))
            for table in tables:
                gone.rows[table] = 0 if table in following else self._delete(database, table)
            for table, deleted in database.all(_DELETED, following):
                gone.rows[table] = deleted - before[table]
        return gone

    def _choose(self, database: Database, table: str, runs: Sequence[int], goes: bool) -> None:
        """Lock the rows of a table that others hang on, and note where they are."""
        lacks, values = self.exports.lacks(table) if goes else ("false", ())
        pointed = sorted({name for one in self.references if one.parent == table for name in one.its})
        names = "".join(f't."{name}", ' for name in pointed)
        into = f"insert into {_chosen(table)} select {names}t.ctid"
        if table == "dag_run":
            database.do(
                # What goes ended a day ago at least; what was cleared since it was chosen, and ended again, did not.
                f"{into}, t.id, {lacks} from dag_run t where t.id = any(%s) and t.state in %s"
                " and greatest(t.start_date, t.end_date) < now() - interval '1 day' for update skip locked",
                *values, list(runs), FINISHED,
            )  # fmt: skip
            return
        at_work, states = ("t.state not in %s", (OVER,)) if table == "task_instance" else ("false", ())
        for way in self.ways(table):
            database.do(
                f"{into}, p.run, {lacks} or coalesce({at_work}, false) from {_chosen(way.parent)} p"
                f' join "{table}" t on {way.joins("t", "p")} for update of t',
                *values, *states,
            )  # fmt: skip

    def _staying(self, database: Database, tables: Iterable[str]) -> set[int]:
        """Runs of which a row is not exported, or still at work."""
        staying = set()
        for table in self.parents:
            staying |= {run for (run,) in database.all(f"select run from {_chosen(table)} where stays")}  # noqa: S608
        for table in tables:
            lacks, values = self.exports.lacks(table)
            for way in self.ways(table) if lacks != "false" and table not in self.parents else ():
                found = database.all(
                    f"with held as materialized (select g.run, {lacks} as stays from {_chosen(way.parent)} g"  # noqa: S608
                    f' join "{way.parent}" p on p.ctid = g.place join "{table}" t on {way.joins("t", "g")}'
                    " for update of t) select distinct run from held where stays",
                    *values,
                )
                staying |= {run for (run,) in found}
        return staying

    def _cut(self, database: Database, most: int) -> bool:
        """Leave only so many task instances chosen, and the run itself for later; whether there were more."""
        instances = _chosen("task_instance")
        cut = f"delete from {instances} where ctid = any(array(select ctid from {instances} offset %s))"  # noqa: S608
        more = database.do(cut, most) > 0
        if more:
            database.do(f"delete from {_chosen('dag_run')}")  # noqa: S608
        return more

    def _follows(self, table: str, going: Sequence[str]) -> bool:
        """Whether PostgreSQL looks for its rows anyway, and deletes them faster than if they were gone by then."""
        ways = [one for one in self.ways(table) if one.cascades and one.parent in going]
        return bool(ways) and not self.skips_checks

    def _delete(self, database: Database, table: str) -> int:
        if table in self.parents:
            places = f"select place from {_chosen(table)}"  # noqa: S608
            return database.do(f'delete from "{table}" where ctid = any(array({places}))')  # noqa: S608
        return sum(
            database.do(f'delete from "{table}" t using {_chosen(way.parent)} g where {way.joins("t", "g")}')  # noqa: S608
            for way in self.ways(table)
        )


# What this connection has deleted by whatever way; counted from some time on that does not change in a transaction.
_DELETED = "select t::text, pg_stat_get_xact_tuples_deleted(t)::int from unnest(%s::text[]::regclass[]) t"
_OF_RUN = "p.dag_id = r.dag_id and p.run_id = r.run_id"


def _chosen(table: str) -> str:
    return f'"groundcrew_{table}"'

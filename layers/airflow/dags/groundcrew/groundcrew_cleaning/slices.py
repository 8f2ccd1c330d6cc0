"""Rows that go by their own age, in slices along their table's primary key: each row is looked at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from groundcrew_cleaning.database import Database
from groundcrew_cleaning.references import Reference
from groundcrew_cleaning.tables import Aged, Exports


@dataclass(frozen=True)
class Counted:
    """Rows of a table: all, those old enough, those of these that may go; ``last``: the key of the last of them."""

    total: int
    old: int
    going: int
    last: tuple[str, ...] | None


@dataclass(frozen=True)
class Slices:
    """One table. ``key``: columns of its primary key, and their types."""

    table: Aged
    key: Sequence[tuple[str, str]]
    references: Sequence[Reference]
    exports: Exports
    before: datetime

    @classmethod
    def of(
        cls, database: Database, table: Aged, references: Sequence[Reference], exports: Exports, before: datetime
    ) -> "Slices":
        """Those of a table, whose temporary table is made."""
        key = database.all(
            "select a.attname::text, format_type(a.atttypid, a.atttypmod) from pg_index i,"
            " unnest(i.indkey) with ordinality k(number, place), pg_attribute a"
            " where i.indrelid = to_regclass(quote_ident(%s)) and i.indisprimary"
            " and a.attrelid = i.indrelid and a.attnum = k.number order by k.place",
            table.name,
        )
        return cls(table, key, [one for one in references if one.parent == table.name], exports, before)

    def prepare(self, database: Database) -> None:
        """Make the temporary table of a connection."""
        pointed = {name for one in self.references for name in one.its} | {name for name, _ in self.key}
        database.do(f"drop table if exists {self._chosen}")
        database.do(
            f"create temporary table {self._chosen} on commit delete rows as select t.ctid as place,"  # noqa: S608
            f' {", ".join(_quoted("t", pointed))} from "{self.table.name}" t where false'
        )
        database.connection.commit()

    def count(self, database: Database, seconds: float) -> Counted:
        """Look at the whole table, once, for at most so long."""
        with database.patient(seconds):
            old, values = self._old()
            may, also = self._may_go()
            ((total, aged, going),) = database.all(
                f"select count(*), count(*) filter (where {old}), count(*) filter (where {old} and {may})"  # noqa: S608
                f' from "{self.table.name}" t',
                *values, *values, *also,
            )  # fmt: skip
            keys = ", ".join(f"{name}::text" for name in self._keys())
            last = database.all(
                f'select {keys} from "{self.table.name}" t where {old} and {may}'  # noqa: S608
                f" order by {', '.join(f'{name} desc' for name in self._keys())} limit 1",
                *values, *also,
            ) if going else []  # fmt: skip
        return Counted(total, aged, going, last[0] if last else None)

    def delete(
        self, database: Database, after: tuple[str, ...] | None, last: tuple[str, ...], most: int
    ) -> tuple[dict[str, int], tuple[str, ...] | None]:
        """One slice: rows deleted, by table, and where the next slice goes on, None at the end.

        Raises:
            BusyError: somebody works on what would go.
        """
        with database.transaction():
            chosen = self._choose(database, after, last, most)
            keys = ", ".join(f'"{name}"::text' for name, _ in self.key)
            order = ", ".join(f'"{name}" desc' for name, _ in self.key)
            end = database.all(f"select {keys} from {self._chosen} order by {order} limit 1")  # noqa: S608
            gone = self._delete(database)
        return gone, end[0] if chosen == most else None

    def _choose(self, database: Database, after: tuple[str, ...] | None, last: tuple[str, ...], most: int) -> int:
        old, values = self._old()
        may, also = self._may_go()
        key = f"({', '.join(self._keys())})"
        bound = f"({', '.join(f'%s::{kind}' for _, kind in self.key)})"
        pointed = {name for one in self.references for name in one.its} | {name for name, _ in self.key}
        return database.do(
            f"insert into {self._chosen} select t.ctid, {', '.join(_quoted('t', pointed))}"  # noqa: S608
            f' from "{self.table.name}" t where {old} and {may} and {key} <= {bound}'
            f"{f' and {key} > {bound}' if after else ''}"
            f" order by {', '.join(self._keys())} limit %s for update skip locked",
            *values, *also, *last, *(after or ()), most,
        )  # fmt: skip

    def _delete(self, database: Database) -> dict[str, int]:
        """Nothing can refer to a locked row from now on: what somebody refers to by now stays, the rest goes."""
        gone = {}
        for one in self.references:
            if one.child in self.table.referrers or not self.exports.frees(one.child):
                database.do(
                    f'delete from {self._chosen} g where exists (select from "{one.child}" c where'  # noqa: S608
                    f" {one.joins('c', 'g')})"
                )
        for one in self.references:
            if one.child not in self.table.referrers and self.exports.frees(one.child):
                going = f'delete from "{one.child}" c using {self._chosen} g where {one.joins("c", "g")}'  # noqa: S608
                gone[one.child] = database.do(going)
        places = f"select place from {self._chosen}"  # noqa: S608
        going = f'delete from "{self.table.name}" where ctid = any(array({places}))'  # noqa: S608
        return gone | {self.table.name: database.do(going)}

    def _old(self) -> tuple[str, tuple[datetime, ...]]:
        """The condition that a row's time has come, and nothing refers to it that stays whatever is exported."""
        age = f't."{self.table.age}"'
        unused = self._unreferred(self.table.referrers)
        return f"(isfinite({age}) and {age} < %s and {self.table.only}{unused})", (self.before,)

    def _may_go(self) -> tuple[str, tuple[str, ...]]:
        """The condition that it is exported, with all that would go with it."""
        lacks, values = self.exports.lacks(self.table.name)
        others = {one.child for one in self.references} - {*self.table.referrers}
        unexported = self._unreferred([one for one in sorted(others) if not self.exports.frees(one)])
        return f"(not {lacks}{unexported})", values

    def _unreferred(self, children: Sequence[str]) -> str:
        return "".join(
            f' and not exists (select from "{one.child}" c where {one.joins("c", "t")})'
            for one in self.references
            if one.child in children
        )

    def _keys(self) -> list[str]:
        return [f't."{name}"' for name, _ in self.key]

    @property
    def _chosen(self) -> str:
        return f'"groundcrew_{self.table.name}"'


def _quoted(alias: str, names: set[str]) -> list[str]:
    return [f'{alias}."{name}"' for name in sorted(names)]

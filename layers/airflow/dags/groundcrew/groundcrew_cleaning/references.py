"""Foreign keys as the database has them: what hangs on what, and in which order it goes."""

from collections.abc import Iterable
from typing import NamedTuple

from groundcrew_cleaning.database import Database, RefusedError

_KEYS = """
select child.relname::text, parent.relname::text,
       array(select a.attname::text from unnest(k.conkey) with ordinality n(num, at)
               join pg_attribute a on a.attrelid = k.conrelid and a.attnum = n.num order by n.at),
       array(select a.attname::text from unnest(k.confkey) with ordinality n(num, at)
               join pg_attribute a on a.attrelid = k.confrelid and a.attnum = n.num order by n.at),
       k.confdeltype = 'c'
  from pg_constraint k join pg_class child on child.oid = k.conrelid join pg_class parent on parent.oid = k.confrelid
 where k.contype = 'f'
"""


class Reference(NamedTuple):
    """Columns of a child, and those of its parent that they point to; whether it is deleted with its parent."""

    child: str
    parent: str
    mine: tuple[str, ...]
    its: tuple[str, ...]
    cascades: bool

    def joins(self, child: str, parent: str) -> str:
        """As a condition on two aliases."""
        return " and ".join(f'{child}."{mine}" = {parent}."{its}"' for mine, its in zip(self.mine, self.its))  # noqa: B905


def read(database: Database) -> list[Reference]:
    """All that there are."""
    found = database.all(_KEYS)
    return sorted(
        {Reference(child, parent, tuple(mine), tuple(its), cascades) for child, parent, mine, its, cascades in found}
    )


def below(table: str, references: Iterable[Reference]) -> list[str]:
    """The tables whose rows go with a table's."""
    found = [table]
    for one in found:
        found += sorted({reference.child for reference in references if reference.parent == one} - set(found))
    return found[1:]


def children_first(tables: Iterable[str], references: Iterable[Reference]) -> list[str]:
    """The order in which they are deleted.

    Raises:
        RefusedError: there is none.
    """
    rest, ordered = sorted(tables), list[str]()
    while rest:
        ready = [one for one in rest if not any(r.parent == one and r.child in rest for r in references)]
        if not ready:
            raise RefusedError("foreign keys go round in a circle")
        ordered += ready
        rest = [one for one in rest if one not in ready]
    return ordered

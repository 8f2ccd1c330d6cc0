"""What a declared table is. The tables themselves are in ``declared``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The type of a column in what is published."""

    TEXT = "text"
    INTEGER = "integer"
    BIGINT = "bigint"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"  # with time zone, in UTC, microseconds
    JSON = "json"  # its text
    UUID = "uuid"


class As(StrEnum):
    """How the database holds a column that cannot be read as it is. One whose bytes are decoded is its table's last."""

    LOCAL = "timestamp without time zone, in UTC"
    PICKLE = "bytea: a pickled object"
    ENCODED = "bytea: JSON text, or a pickled object where pickling is enabled"


@dataclass(frozen=True)
class Column:
    """A column, named as in Airflow's database: ``since`` the first version that has it, ``until`` one that has not."""

    name: str
    kind: Kind
    since: str = ""
    until: str = ""
    held: As | None = None  # on Airflow 2, whose database is read; Airflow 3 is asked

    def exists(self, version: str) -> bool:
        """Whether an Airflow version has it."""
        return within(version, self.since, self.until)


@dataclass(frozen=True)
class Through:
    """The table that says when a row was written, because the row itself does not, and how to get there (mine, its)."""

    table: str
    on: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """A table, named as in Airflow's database."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """What tells rows apart, on Airflow 2."""

    time: str | None = None
    """The column that moves whenever a row is written. Without one, every export carries the whole table."""

    key_of_3: tuple[str, ...] = ()
    """What tells rows apart on Airflow 3, where that is something else."""

    through: Through | None = None
    """Where ``time`` is a column of another table."""

    since: str = ""
    until: str = ""
    opt_in: bool = False
    """Whether it is exported only if a policy names it: it may be large, or hold what DAGs were given in confidence."""

    def exists(self, version: str) -> bool:
        """Whether an Airflow version has it."""
        return within(version, self.since, self.until)

    def columns_of(self, version: str) -> tuple[Column, ...]:
        """Its columns in an Airflow version, in declared order."""
        return tuple(column for column in self.columns if column.exists(version))

    def key_of(self, version: str) -> tuple[str, ...]:
        """What tells its rows apart in an Airflow version."""
        return self.key_of_3 if self.key_of_3 and release(version) >= (3,) else self.key


def release(version: str) -> tuple[int, ...]:
    """A version as numbers that compare; raises ``ValueError``."""
    return tuple(int(number) for number in version.split("."))


def within(version: str, since: str, until: str) -> bool:
    """Whether ``since`` <= version < ``until``, where these are given."""
    number = release(version)
    return not (since and number < release(since)) and not (until and number >= release(until))


def by_name(tables: Sequence[Table]) -> Mapping[str, Table]:
    return {table.name: table for table in tables}

"""The schema that a version of Airflow migrates to, as text to read and to compare: ``versions/<version>.txt``.

    dag_run.conf bytea null
    dag_run primary key (id)
    dag_run (log_template_id) references log_template (id) no action

``python -m localcloud.airflow.schemas VERSION...`` writes them again, from the databases that
``make .tools/airflow-VERSION/.ready`` has migrated; ``test_declared.py`` holds those of the live versions to theirs.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.airflow import installed
from localcloud.airflow.postgres import Postgres, query

FOLDER = Path(__file__).with_name("versions")

_READ = """
select c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, null)
       || case when a.attnotnull then ' not null' else ' null' end
  from pg_class c join pg_attribute a on a.attrelid = c.oid
 where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
 order by c.relname collate "C", a.attnum;
select distinct c.relname || case k.contype when 'p' then ' primary key (' else ' (' end || named.columns || ')'
       || case k.contype when 'p' then '' else
          ' references ' || f.relname || ' (' || pointed.columns || ') '
          || case k.confdeltype when 'c' then 'cascade' when 'n' then 'set null' when 'r' then 'restrict'
             else 'no action' end
          end as line
  from pg_constraint k join pg_class c on c.oid = k.conrelid left join pg_class f on f.oid = k.confrelid,
       lateral (select string_agg(a.attname, ', ' order by n.n) as columns
                  from unnest(k.conkey) with ordinality n(num, n)
                  join pg_attribute a on a.attrelid = k.conrelid and a.attnum = n.num) named,
       lateral (select string_agg(a.attname, ', ' order by n.n) as columns
                  from unnest(k.confkey) with ordinality n(num, n)
                  join pg_attribute a on a.attrelid = k.confrelid and a.attnum = n.num) pointed
 where k.contype in ('p', 'f') and c.relnamespace = 'public'::regnamespace
 order by line;
"""


@dataclass(frozen=True)
class Column:
    """Its PostgreSQL type without a length, and whether it may be NULL."""

    kind: str
    nullable: bool


@dataclass(frozen=True)
class Reference:
    """A foreign key: columns of ours, the table and the columns they point to."""

    columns: tuple[str, ...]
    table: str
    pointed: tuple[str, ...]


@dataclass
class Table:
    """Columns in their order, and the primary key's in its."""

    columns: dict[str, Column] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    references: list[Reference] = field(default_factory=list)


def versions() -> list[str]:
    """All that there is a file for, oldest first."""
    return sorted((file.stem for file in FOLDER.glob("*.txt")), key=lambda name: tuple(map(int, name.split("."))))


def read(version: str) -> Mapping[str, Table]:
    """The tables of a version."""
    tables: dict[str, Table] = {}
    for line in (FOLDER / f"{version}.txt").read_text().splitlines():
        name, _, rest = line.partition(" ")
        if "." in name:
            table, column = name.split(".")
            kind, null = rest.removesuffix(" not null").removesuffix(" null"), not rest.endswith(" not null")
            tables.setdefault(table, Table()).columns[column] = Column(kind, null)
        elif rest.startswith("primary key"):
            tables[name].key = _names(rest)
        else:
            ours, _, theirs = rest.partition(" references ")
            tables[name].references.append(Reference(_names(ours), theirs.partition(" ")[0], _names(theirs)))
    return tables


def _names(text: str) -> tuple[str, ...]:
    """Those in parentheses."""
    return tuple(text.partition("(")[2].partition(")")[0].split(", "))


def of(conninfo: str) -> str:
    """The schema of a live database."""
    return query(conninfo, _READ)


def create(conninfo: str, version: str) -> None:
    """Make the tables of a version in an empty database: columns, types and keys are its own, defaults are missing."""
    script = []
    tables = read(version)
    references = [(name, reference) for name, table in tables.items() for reference in table.references]
    for name, table in tables.items():
        columns = [f'"{one}" {had.kind}{"" if had.nullable else " not null"}' for one, had in table.columns.items()]
        if table.key:
            columns.append(f"primary key {_listed(table.key)}")
        script.append(f'create table "{name}" ({", ".join(columns)});')
    for name, pointed in sorted({(reference.table, reference.pointed) for _, reference in references}):
        if pointed != tables[name].key:
            script.append(f'alter table "{name}" add unique {_listed(pointed)};')
    for name, reference in references:
        script.append(
            f'alter table "{name}" add foreign key {_listed(reference.columns)}'
            f' references "{reference.table}" {_listed(reference.pointed)};'
        )
    query(conninfo, "\n".join(script))


def _listed(names: tuple[str, ...]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"({quoted})"


@contextmanager
def migrated(version: str) -> Iterator[Postgres]:
    """A copy of the database that a version has migrated; raises ``NotInstalled``."""
    installed.require(version)
    with tempfile.TemporaryDirectory(prefix="groundcrew-schema-") as folder:
        server = Postgres(Path(folder) / "log")
        try:
            server.copy_cluster(installed.cluster(version))
            server.start()
            yield server
        finally:
            server.stop()


if __name__ == "__main__":
    for one in sys.argv[1:]:
        with migrated(one) as running:
            (FOLDER / f"{one}.txt").write_text(of(running.conninfo))

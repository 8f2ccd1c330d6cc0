"""One consistent, read-only view of Airflow's database, and the rows of declared tables in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from groundcrew_metadata.declaration import As, Column, Table
from groundcrew_metadata.order import Window

if TYPE_CHECKING:
    from datetime import datetime

STATEMENT_SECONDS = 1800
"""How long the rows of one table may take, uploads included."""

_SETTINGS = {
    # The dialect of a part; timestamps in UTC, doubles that read back as the same.
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "client_encoding": "UTF8",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    # A migration that waits for our lock lets nobody else in, so nothing may hold it for long,
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    # nor wait long behind one;
    "lock_timeout": "10s",
    # and a worker that froze must not keep the view open, which vacuum would have to respect.
    "idle_in_transaction_session_timeout": "300s",
}


class Snapshot:
    """The database as it was at one moment; reads wait for no writer, and no writer waits for them."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        with connection.cursor() as cursor:
            for name, value in _SETTINGS.items():
                cursor.execute("select set_config(%s, %s, true)", (name, value))
            cursor.execute("select now()")
            self.moment: datetime = cursor.fetchone()[0]

    def count(self, table: Table, window: Window) -> int:
        """Rows of a window, counted by the database."""
        with self._connection.cursor() as cursor:
            cursor.execute(f"select count(*) from {_rows(table)}{self._condition(table, window)}")  # noqa: S608
            return int(cursor.fetchone()[0])

    def copy(self, table: Table, columns: tuple[Column, ...], window: Window, take: Callable[[bytes], object]) -> None:
        """Give every line of the CSV to ``take``: a header, then each row, once."""
        select = f"select {', '.join(map(_value, columns))} from {_rows(table)}"  # noqa: S608 - declared names only
        with self._connection.cursor() as cursor:
            query = select + self._condition(table, window)
            cursor.copy_expert(f"copy ({query}) to stdout (format csv, header true)", _Lines(take))

    def _condition(self, table: Table, window: Window) -> str:
        """A row without a time cannot be placed, so it is in every window."""
        time = f"""{"via" if table.through else "t"}.{_quoted(table.time or "")}"""
        ends = []
        with self._connection.cursor() as cursor:
            if window.since:
                ends.append(cursor.mogrify(f"{time} >= %s", (window.since,)).decode())
            if window.until:
                ends.append(cursor.mogrify(f"{time} < %s", (window.until,)).decode())
        return f" where ({' and '.join(ends)}) or {time} is null" if ends else ""


class _Lines:
    """The file that psycopg2 writes to, one line of the CSV at a time, because PostgreSQL sends them so."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self.write = take


@contextmanager
def snapshot() -> Iterator[Snapshot]:
    """Of the database of the Airflow that runs here; raises what psycopg2 raises.

    The connection is Airflow's own, for its string may lack what a hook of MWAA's adds (a token of IAM); it is taken
    out of Airflow's pool and closed, so that nothing that was set here outlives the snapshot.
    """
    from airflow import settings  # noqa: PLC0415 - the rest of this module is tested without Airflow

    pooled = settings.engine.raw_connection()
    connection = pooled.dbapi_connection
    pooled.detach()
    try:
        connection.rollback()
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
        yield Snapshot(connection)
    finally:
        connection.close()


def _rows(table: Table) -> str:
    rows = f"{_quoted(table.name)} t"
    if through := table.through:
        ways = " and ".join(f"via.{_quoted(its)} = t.{_quoted(mine)}" for mine, its in through.on)
        rows += f" join {_quoted(through.table)} via on {ways}"
    return rows


def _value(column: Column) -> str:
    name = _quoted(column.name)
    return f"t.{name} at time zone 'UTC' as {name}" if column.held is As.LOCAL else f"t.{name}"


def _quoted(name: str) -> str:
    return f'"{name}"'

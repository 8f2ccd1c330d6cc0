"""One connection to Airflow's database: short transactions that a change of the schema, or somebody else, ends."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

HEADS = frozenset({"405de8318b3a", "88344c1d9134", "686269002441", "5f2621c13b39"})
"""Revisions of the schemas of Airflow 2.7 to 2.11; any other schema is refused."""

_OTHERS_FIRST = frozenset({"40001", "40P01", "55P03", "57014"})
"""Serialization, deadlock, lock and statement timeouts."""


_NOT_ALLOWED = "42501"


class RefusedError(RuntimeError):
    """Nothing was deleted: the database is not one that is known, or somebody else cleans it."""


class BusyError(Exception):
    """Somebody else works on these rows; nothing of the transaction is done."""


class Database:
    """What psycopg2 gives, with a policy's timeouts. ``longest`` is its longest transaction, in seconds."""

    def __init__(self, connection: Any, policy: Mapping[str, Any]) -> None:
        self.connection = connection
        self.longest = 0.0
        self.took = 0.0
        for name, default in (("lock_timeout", 5), ("statement_timeout", 30)):
            self.all("select set_config(%s, %s, false)", name, f"{int(policy.get(f'{name}_seconds', default))}s")
        # Slices are small and tables are large: what looks cheaper to the planner reads the whole table each time.
        for name in ("enable_hashjoin", "enable_mergejoin", "jit"):
            self.all("select set_config(%s, 'off', false)", name)
        # One connection is one core, and VACUUM as gentle as PostgreSQL's own: it is Airflow that must not notice.
        self.all("select set_config('max_parallel_workers_per_gather', '0', false)")
        self.all("select set_config('vacuum_cost_delay', '2ms', false)")
        self.all("select set_config('TimeZone', 'UTC', false)")
        # Each statement sees what is committed by then, as what follows a lock must.
        self.all("select set_config('default_transaction_isolation', 'read committed', false)")
        connection.commit()

    def all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a query; its rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, of which only few are in memory at any time."""
        with self.connection.cursor(name="groundcrew") as cursor:
            cursor.itersize = 5000
            cursor.execute(sql)
            yield from cursor

    def do(self, sql: str, *values: object) -> int:
        """Run a statement; how many rows it was about."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return int(cursor.rowcount)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Committed at the end, or nothing of it is done.

        Raises:
            BusyError: see there.
            RefusedError: the schema has changed.
        """
        began = time.monotonic()
        try:
            # A migration must change this row, and waits for us until we have ended.
            ((head,),) = self.all("select version_num from alembic_version for share")
            if head not in HEADS:
                raise RefusedError("this schema of Airflow's database is not known")
            yield
            self.connection.commit()
        except BaseException as error:
            with suppress(Exception):  # it may be lost, and then there is nothing to undo
                self.connection.rollback()
            if getattr(error, "pgcode", None) in _OTHERS_FIRST:
                raise BusyError from error
            raise
        finally:
            self.took = time.monotonic() - began
            self.longest = max(self.longest, self.took)

    @contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """A transaction that reads a whole table, for at most so long; raises what ``transaction`` raises.

        With no time left it does not start: the shortest timeout would leave it to chance whether a query gets through.
        """
        if seconds <= 0:
            raise BusyError
        with self.transaction():
            self.do("select set_config('statement_timeout', %s, true)", f"{max(1, int(seconds * 1000))}ms")
            yield

    def may_skip_checks(self, tables: Sequence[str]) -> bool:
        """Whether we may delete without PostgreSQL looking for children of each row, and nothing else waits for it."""
        triggers = "select from pg_trigger where not tgisinternal and tgrelid = any(%s::text[]::regclass[])"
        if self.all(triggers, [f'"{table}"' for table in tables]):
            return False
        try:
            self.skip_checks()
        except Exception as error:
            if getattr(error, "pgcode", None) != _NOT_ALLOWED:
                raise
            return False
        finally:
            self.connection.rollback()
        return True

    def skip_checks(self) -> None:
        """Until the transaction ends, nobody looks for children, which is three quarters of what deletes take."""
        self.do("set local session_replication_role = replica")

    def vacuum(self, table: str, seconds: float) -> None:
        """Give the room of deleted rows back, in so many seconds; raises what psycopg2 raises. Nobody waits for it."""
        self.connection.autocommit = True
        try:
            self.all("select set_config('statement_timeout', %s, false)", f"{max(1, int(seconds))}s")
            self.do(f'vacuum (analyze, skip_locked, parallel 0) "{table}"')
        finally:
            self.connection.autocommit = False

"""Runs and all that hangs on them, deleted in short transactions, children first, along the database's foreign keys."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from groundcrew_cleaning.plan import EXPENDABLE, FINISHED, Plan, Run, plan

HEADS = frozenset({"405de8318b3a", "88344c1d9134", "686269002441", "5f2621c13b39"})
"""Revisions of the schemas of Airflow 2.7 to 2.11; any other schema is refused."""

LOCK = 4_077_211_907
"""The advisory lock that a clean-up holds."""

TARGET_SECONDS = 0.25
"""What a transaction should take; the number of runs in one is adapted to it."""

OVER = ("success", "failed", "skipped", "upstream_failed", "removed")
"""States of task instances that nothing works on any more."""

_KEYS = """
select child.relname, parent.relname,
       array(select a.attname::text from unnest(k.conkey) with ordinality n(num, at)
               join pg_attribute a on a.attrelid = k.conrelid and a.attnum = n.num order by n.at),
       array(select a.attname::text from unnest(k.confkey) with ordinality n(num, at)
               join pg_attribute a on a.attrelid = k.confrelid and a.attnum = n.num order by n.at)
  from pg_constraint k join pg_class child on child.oid = k.conrelid join pg_class parent on parent.oid = k.confrelid
 where k.contype = 'f'
"""


class RefusedError(RuntimeError):
    """Nothing was deleted: the database is not one that is known, or somebody else cleans it."""


@dataclass
class Cleaning:
    """One clean-up over one connection of psycopg2's; ``report`` holds what is committed, at any time."""

    connection: Any
    policy: Mapping[str, Any]
    covered: Mapping[str, Mapping[str, str]]
    seconds: float
    report: dict[str, dict[str, Any]] = field(default_factory=dict)
    _parents: dict[str, list[tuple[str, list[str], list[str]]]] = field(default_factory=dict)

    def run(self, *, deletes: bool) -> bool:
        """Clean, and whether nothing is left that the policy wants gone.

        Raises:
            RefusedError: see there.
            ValueError: the policy is not one.
        """
        until = time.monotonic() + self.seconds
        for name, default in (("lock_timeout", 5), ("statement_timeout", 30)):
            self._all("select set_config(%s, %s, false)", name, f"{int(self.policy.get(f'{name}_seconds', default))}s")
        self._all("select set_config('TimeZone', 'UTC', false)")
        if self._all("select version_num from alembic_version")[0][0] not in HEADS:
            raise RefusedError("this schema of Airflow's database is not known")
        if not self._all("select pg_try_advisory_lock(%s)", LOCK)[0][0]:
            raise RefusedError("another clean-up works on this database")
        self.connection.commit()
        self._follow()
        decided, total = self._plan()
        waiting = list(decided.going)
        said = self.report["dag_run"]
        said |= {"examined": total, "left": len(waiting), "kept": ", ".join(sorted(decided.kept)) or None}
        if total >= 1000 and len(waiting) > total * self.policy.get("confirm", 0.5):
            said["kept"] = "more than the policy's confirmed share would go"
        elif deletes:
            self._delete(waiting, until)
        return bool(said["left"] == 0)

    def _plan(self) -> tuple[Plan, int]:
        rows = self._all(
            "select id, dag_id, run_type, state, execution_date, case when isfinite(start_date) and isfinite(end_date)"
            " then greatest(start_date, end_date) end from dag_run where isfinite(execution_date)"
        )
        now = self._all("select now()")[0][0]
        self.connection.commit()
        return plan((Run(*row) for row in rows), self.policy, self.report, now), len(rows)

    def _follow(self) -> None:
        """Find the tables that hang on runs; ``report`` is in the order of deletion then: children first."""
        keys = self._all(_KEYS)
        found = ["dag_run"]
        for table in found:
            found += sorted({child for child, parent, _, _ in keys if parent == table} - set(found))
        self._parents = {
            table: [(parent, mine, its) for child, parent, mine, its in keys if child == table and parent in found]
            for table in found
        }
        ordered: list[str] = []
        while rest := [table for table in found if table not in ordered]:
            ready = [one for one in rest if not any(one == up for t in rest for up, _, _ in self._parents[t])]
            if not ready:
                raise RefusedError("foreign keys go round in a circle")
            ordered += ready
        for table in ordered:
            size = self._all("select pg_total_relation_size(%s::regclass)", table)[0][0]
            self.report[table] = {"examined": None, "deleted": 0, "left": None, "kept": None, "bytes_before": size}
        self.connection.commit()

    def _delete(self, waiting: list[int], until: float) -> None:
        size, longest, uncovered = 10, 0.0, 0
        stack = [waiting] if waiting else []
        while stack and time.monotonic() < until:
            batch, began = stack.pop(), time.monotonic()
            if len(batch) > size:
                stack.append(batch[size:])
                batch = batch[:size]
            try:
                gone = self._transaction(batch)
            except Exception as error:
                self.connection.rollback()
                # Serialization, deadlock, lock and statement timeouts: others go first, the next clean-up goes on.
                if getattr(error, "pgcode", None) not in {"40001", "40P01", "55P03", "57014"}:
                    raise
                gone = None
            took = time.monotonic() - began
            longest = max(longest, took)
            size = max(1, size // 2) if took > TARGET_SECONDS else min(2 * size, 1000) if gone else size
            self.report["dag_run"]["longest_seconds"] = round(longest, 3)
            if gone is None and len(batch) > 1:
                middle = len(batch) // 2
                stack += [batch[middle:], batch[:middle]]
            elif gone is None:
                uncovered += 1
            else:
                for table, rows in gone.items():
                    self.report[table]["deleted"] += rows
                self.report["dag_run"]["left"] -= gone["dag_run"]
        if uncovered:
            reason = f"{uncovered} runs: not covered by an export, still at work, or locked"
            self.report["dag_run"]["kept"] = "; ".join(filter(None, (self.report["dag_run"]["kept"], reason)))

    def _transaction(self, runs: list[int]) -> dict[str, int] | None:
        """Rows deleted, by table; None, and nothing deleted, if any row of these runs must stay."""
        # What is locked can neither change nor get new children before it goes.
        free = "select id from dag_run where id = any(%s) and state in %s for update"
        if len(self._all(free, runs, FINISHED)) < len(runs):
            self.connection.rollback()
            return None
        states = self._all(f"select state from task_instance where {self._of('task_instance', runs)} for update")  # noqa: S608
        if any(state not in OVER for (state,) in states) or any(self._uncovered(table, runs) for table in self.report):
            self.connection.rollback()
            return None
        gone = {}
        with self.connection.cursor() as cursor:
            for table in self.report:
                cursor.execute(f'delete from "{table}" where {self._of(table, runs)}')  # noqa: S608
                gone[table] = cursor.rowcount
        self.connection.commit()
        return gone

    def _uncovered(self, table: str, runs: list[int]) -> bool:
        if table in self.policy.get("expendable", EXPENDABLE) or not self.policy.get("export_required", True):
            return False
        columns = self._all("select attname::text from pg_attribute where attrelid = %s::regclass", table)
        window = self.covered.get(table)
        rows = f'select 1 from "{table}" where {self._of(table, runs)}'  # noqa: S608 - names of the catalog
        if window and (window["column"],) in columns:
            column = f'"{window["column"]}"'
            rows += self._said(f" and ({column} is null or {column} >= %s::timestamptz)", window["until"])
        return bool(self._all(rows + " limit 1"))

    def _of(self, table: str, runs: list[int]) -> str:
        """The condition that a row of a table hangs on one of these runs."""
        if table == "dag_run":
            return self._said("id = any(%s)", runs)
        ways = []
        for parent, mine, its in self._parents[table]:
            ours, theirs = (", ".join(f'"{column}"' for column in columns) for columns in (mine, its))
            rows = f'select {theirs} from "{parent}" where {self._of(parent, runs)}'  # noqa: S608 - names of the catalog
            ways.append(f'select c.ctid from "{table}" c where ({ours}) in ({rows})')  # noqa: S608
        return f"ctid = any(array({' union '.join(ways)}))"

    def _said(self, sql: str, *values: object) -> str:
        with self.connection.cursor() as cursor:
            return str(cursor.mogrify(sql, values).decode())

    def _all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

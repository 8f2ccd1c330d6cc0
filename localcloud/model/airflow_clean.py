"""``airflow db clean`` of the double: what it deletes and what it prints, in Airflow 3.

Recorded on 3.0.6 and 3.3.1; ``tests/airflow/test_cleanup_outside.py`` compares. The double knows rows by their age
only: nothing goes with a row that goes, and its runs, which nobody scheduled, are none of those that are kept.
"""

import datetime as dt
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any

from localcloud.model.airflow_state import State

_ALSO = {
    "dag_run": ("task_instance", "deadline"),
    "task_instance": ("task_instance_history", "xcom"),
    "trigger": ("task_instance",),
    "dag_version": ("task_instance", "dag_run"),
    "dag": ("dag_version", "deadline"),
}
_SINCE_3_3 = {"dag_run": ("task_instance", "task_state_store", "deadline")}
_THERE = (
    "asset_event", "dag", "dag_run", "dag_version", "deadline", "import_error", "job", "log", "task_instance",
    "task_instance_history", "task_reschedule", "trigger", "xcom",
)  # fmt: skip
_ABSENT = ("_xcom_archive", "callback_request", "celery_taskmeta", "celery_tasksetmeta", "sla_miss")


@dataclass(frozen=True)
class Cleaner:
    """`db clean` of one version."""

    version: str
    state: State

    @property
    def _new(self) -> bool:
        return self.version >= "3.2"

    @property
    def _newest(self) -> bool:
        return self.version >= "3.3"

    def options(self, parser: ArgumentParser) -> None:
        """The flags that this version has."""
        parser.add_argument("--clean-before-timestamp", type=_moment, required=True, dest="before")
        parser.add_argument("-t", "--tables", default="")
        for flag in ("--dry-run", "--skip-archive", "--verbose"):
            parser.add_argument(flag, action="store_true")
        parser.add_argument("-y", "--yes", action="store_true")
        if self._new:
            for flag in ("--batch-size", "--dag-ids", "--exclude-dag-ids"):
                parser.add_argument(flag)
        if self._newest:
            parser.add_argument("--error-on-cleanup-failure", action="store_true")

    def clean(self, args: Namespace) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        if args.verbose or (self._new and (args.batch_size or args.dag_ids or args.exclude_dag_ids)):
            raise NotImplementedError("The double's db clean knows no such flag")
        wanted = [name for name in args.tables.split(",") if name]
        known = [name for name in wanted if name in self._known]
        stdout = ""
        if outliers := sorted(set(wanted) - set(known)):
            stdout += self._warn(f"The following table(s) are not valid choices and will be skipped: {outliers}")
        if wanted and not known:
            return 1, stdout, "No tables selected for db cleanup. Please choose valid table names.\n"
        tables = self._with_others(known or list(self._known))
        if args.dry_run:
            stdout += _preamble(args.before, tables)
        elif not args.yes:
            return 1, stdout, "EOFError: EOF when reading a line\n"
        for table in tables:
            stdout += self._table(table, args)
        return 0, stdout, ""

    @property
    def _known(self) -> tuple[str, ...]:
        more = ("revoked_token",) if self._new else ()
        return (*_THERE, *_ABSENT, *more, *(("connection_test_request", "task_state_store") if self._newest else ()))

    @property
    def _absent(self) -> tuple[str, ...]:
        return _ABSENT if self._new else tuple(name for name in _ABSENT if name != "callback_request")

    def _with_others(self, wanted: list[str]) -> list[str]:
        also: dict[str, Any] = _ALSO | (_SINCE_3_3 if self._newest else {})
        found: list[str] = []

        def collect(table: str, above: tuple[str, ...] = ()) -> None:
            if table in found or table in above:
                return
            for other in also.get(table, ()):
                collect(other, (*above, table))
            found.append(table)

        for table in wanted:
            collect(table)
        return found

    def _table(self, table: str, args: Namespace) -> str:
        if table in self._absent:
            return self._warn(f"Table {table} not found.  Skipping.")
        rows = self.state.rows.tables.setdefault(table, [])
        ended = [run for run in self.state.runs if run.start_date is not None and run.start_date < args.before]
        old = sum(row < args.before for row in rows) + (len(ended) if table == "dag_run" else 0)
        lines = ["", *([f"Performing dry run for table {table}"] if args.dry_run else []), f"Checking table {table}"]
        lines.append(f"Found {old} rows meeting deletion criteria.")
        if old and not args.dry_run:
            if not args.skip_archive:
                raise NotImplementedError("The double keeps no archives")
            stamp = self.state.now().strftime("%Y%m%d%H%M%S")
            archive = f"Moving data to table _airflow_deleted__{table}__{stamp}"
            lines += ["Performing Delete...", archive, "Finished Performing Delete"]
            self._delete(table, args.before)
        return "\n".join([*lines, ""])

    def _delete(self, table: str, before: dt.datetime) -> None:
        rows = self.state.rows.tables[table]
        rows[:] = [row for row in rows if row >= before]
        if table == "dag_run":
            self.state.runs[:] = [run for run in self.state.runs if not run.start_date or run.start_date >= before]
        self.state.rows.deleted.append(f"{table} {before.isoformat()}")

    def _warn(self, text: str) -> str:
        now = self.state.now()
        if self.version < "3.1":
            return f"[{now:%Y-%m-%dT%H:%M:%S}.000+0000] {{db_cleanup.py:521}} WARNING - {text}\n"
        return f"{now.isoformat()[:26]}Z [warning  ] {text} [airflow.utils.db_cleanup] loc=db_cleanup.py:703\n"


def _preamble(before: dt.datetime, tables: list[str]) -> str:
    first = f"Performing dry run for db cleanup.\nData prior to {before} would be purged from tables {tables}"
    return f"{first} with the following config:\n\n" + "".join(f"{table} | ...\n" for table in tables) + "\n"


def _moment(text: str) -> dt.datetime:
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


_moment.__name__ = "parse"  # argparse names it in its message

"""The `airflow` command of the double: the flags of each version, and what comes out on stdout and stderr.

Recorded on 2.7.2, 2.10.3 and 3.3.1; ``localcloud/tests/airflow/test_double.py`` compares. Around the answer there are
the log lines and warnings of a real command: a caller has to find the JSON in stdout. Help texts are argparse's own.
"""

import datetime as dt
import json
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from localcloud.model import airflow_console, airflow_state
from localcloud.model.airflow_clean import Cleaner
from localcloud.model.airflow_state import Dag, Run, State

_STATES = ("queued", "running", "success", "failed")


class _Exit(Exception):
    """The command ends."""

    def __init__(self, code: int, stdout: str = "", stderr: str = "") -> None:
        super().__init__(code)
        self.code, self.stdout, self.stderr = code, stdout, stderr


class _Failure(Exception):
    """A Python error that nothing catches; its text is the last line of the traceback."""


class _Parser(ArgumentParser):
    """Help on stdout, the error on stderr, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise _Exit(2, self.format_help(), f"\n{self.prog} command error: {message}, see help above.\n")


@dataclass
class Cli:
    """The command line of one environment's ``version``."""

    version: str
    state: State
    _parser: _Parser = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._parser = self._make_parser()

    @property
    def _old(self) -> bool:
        return self.version.startswith("2.")

    @property
    def _oldest(self) -> bool:
        return self.version.startswith("2.7")

    def run(self, command: str) -> tuple[int, bytes, bytes]:
        """Exit code, stdout and stderr of ``airflow <command>``."""
        stdout, stderr, code = "", airflow_console.warnings(self.version), 0
        try:
            args = self._parser.parse_args(shlex.split(command))
            if args.run not in (self._version, self._clean):
                stdout = airflow_console.log(self.version, self.state.now(), triggers=args.run == self._trigger)
            stdout += args.run(args)
        except _Exit as end:
            code, stdout, stderr = end.code, stdout + end.stdout, stderr + end.stderr
        except _Failure as failure:
            code, stderr = 1, stderr + airflow_console.failure(str(failure))
        return code, stdout.encode(), stderr.encode()

    # ------------------------------------------------------------------ flags
    def _make_parser(self) -> _Parser:
        top = _Parser(prog="airflow", description="", add_help=True)
        groups = top.add_subparsers(dest="subcommand", metavar="GROUP_OR_COMMAND", required=True)
        groups.add_parser("version").set_defaults(run=self._version)
        dags = groups.add_parser("dags").add_subparsers(dest="dags_command", metavar="COMMAND", required=True)

        def command(name: str, run: Any) -> ArgumentParser:
            parser = dags.add_parser(name)
            parser.set_defaults(run=run)
            parser.add_argument("-o", "--output", choices=("table", "json", "yaml", "plain"), default="table")
            parser.add_argument("-v", "--verbose", action="store_true")
            if self._old and name != "list-runs":
                parser.add_argument("-S", "--subdir")
            return parser

        trigger = command("trigger", self._trigger)
        trigger.add_argument("dag_id")
        trigger.add_argument("-c", "--conf")
        trigger.add_argument("-r", "--run-id")
        date = ("-e", "--exec-date") if self._old else ("-l", "--logical-date")
        trigger.add_argument(*date, dest="date", type=_date)
        trigger.add_argument("--no-replace-microseconds", action="store_false", dest="replace_microseconds")
        command("list", self._list)
        command("list-import-errors", self._list_import_errors)
        runs = command("list-runs", self._list_runs)
        if self._old:
            runs.add_argument("-d", "--dag-id", required=True)
        else:
            runs.add_argument("dag_id")
        runs.add_argument("-s", "--start-date", type=_date)
        runs.add_argument("-e", "--end-date", type=_date)
        runs.add_argument("--state", choices=_STATES)
        runs.add_argument("--no-backfill", action="store_true")
        for name, paused in (("pause", True), ("unpause", False)):
            pause = dags.add_parser(name) if self._oldest else command(name, self._pause)
            pause.set_defaults(paused=paused, run=self._pause)
            pause.add_argument("dag_id")
        if not self._old:
            db = groups.add_parser("db").add_subparsers(dest="db_command", metavar="COMMAND", required=True)
            clean = db.add_parser("clean")
            clean.set_defaults(run=self._clean)
            self._cleaner.options(clean)
        return top

    # ------------------------------------------------------------------ commands
    @property
    def _cleaner(self) -> Cleaner:
        return Cleaner(self.version, self.state)

    def _clean(self, args: Namespace) -> str:
        code, stdout, stderr = self._cleaner.clean(args)
        if code:
            raise _Exit(code, stdout, stderr)
        return stdout

    def _version(self, _args: Namespace) -> str:
        return f"{self.version}\n"

    def _trigger(self, args: Namespace) -> str:
        dag = self.state.dags.get(args.dag_id)
        if dag is None:
            raise _Failure(f"airflow.exceptions.DagNotFound: Dag id {args.dag_id} not found in DagModel")
        run = self._old_run(args, dag) if self._old else self._new_run(args, dag)
        interval = run.logical_date if self._old else run.logical_date and run.run_after
        newer = {} if self._old else {"triggering_user_name": "airflow"}
        shown = {
            "conf": run.conf, "dag_id": run.dag_id, "dag_run_id": run.run_id, "data_interval_start": interval,
            "data_interval_end": interval, "end_date": None, **({"external_trigger": True} if self._old else {}),
            "last_scheduling_decision": None, "logical_date": run.logical_date, "run_type": "manual",
            "start_date": None, "state": "queued", **newer,
        }  # fmt: skip
        return self._print([shown], args)

    def _old_run(self, args: Namespace, dag: Dag) -> Run:
        """2.x: the logical date, to the second, is as unique as the id, and the message does not say which it was."""
        now = self.state.now()
        date = _to_the_second(args, args.date or now)
        run_id = args.run_id or f"manual__{date.isoformat()}"
        if self.state.same(dag.dag_id, run_id, date):
            at = date.isoformat() if self.version.startswith("2.7") else date.isoformat(sep=" ")
            what = f"A DAG Run already exists for DAG {dag.dag_id} at {at} with run id {run_id}"
            raise _Failure(f"airflow.exceptions.DagRunAlreadyExists: {what}")
        conf = _conf(args.conf, "TypeError: cannot unpack non-iterable int object")
        if not airflow_state.run_id_is_allowed(run_id):
            patterns = (
                f"the configured pattern: '{airflow_state.RUN_ID}' or the built-in pattern: "
                f"'{airflow_state.generated_pattern('dataset')}'"
            )
            what = f"The provided run ID '{run_id}' is invalid. It does not match either {patterns}"
            raise _Failure(f"airflow.exceptions.AirflowException: {what}")
        return self.state.add(Run(len(self.state.runs) + 1, dag, run_id, date, now, date, conf, None, "cli"))

    def _new_run(self, args: Namespace, dag: Dag) -> Run:
        """3.x: a repeated logical date is found by the database only."""
        now = self.state.now()
        date = _to_the_second(args, args.date) if args.date else None
        run_id = args.run_id or f"manual__{now.isoformat()}"
        if self.state.same(dag.dag_id, run_id, None):
            what = f"A DAG Run already exists for DAG {dag.dag_id} with run id {run_id}"
            raise _Failure(f"airflow.exceptions.DagRunAlreadyExists: {what}")
        conf = _conf(args.conf, "ValueError: DagRun conf must be a JSON object or null")
        if not airflow_state.run_id_is_allowed(run_id):
            patterns = f"'{airflow_state.RUN_ID}' or '{airflow_state.generated_pattern('asset')}'"
            raise _Failure(f"ValueError: The run_id provided '{run_id}' does not match regex pattern {patterns}")
        if self.state.same(dag.dag_id, run_id, date):
            raise _Failure(
                "sqlalchemy.exc.IntegrityError: (psycopg2.errors.UniqueViolation) duplicate key value violates "
                'unique constraint "dag_run_dag_id_logical_date_key"'
            )
        return self.state.add(Run(len(self.state.runs) + 1, dag, run_id, date, now, now, conf, None, "cli"))

    def _list(self, args: Namespace) -> str:
        dags = sorted(self.state.dags.values(), key=lambda dag: dag.dag_id)
        rows = [self._row(dag) for dag in dags]
        if not any(dag.has_import_errors for dag in dags):
            return self._print(rows, args)
        warning = "Error: Failed to load all files. For details, run `airflow dags \nlist-import-errors`\n"
        raise _Exit(0, self._print(rows, args), warning)

    def _row(self, dag: Dag) -> dict[str, Any]:
        if self._oldest:
            return {"dag_id": dag.dag_id, "filepath": f"{dag.dag_id}.py", "owner": "airflow", "paused": dag.is_paused}
        place = {"dag_id": dag.dag_id, "fileloc": f"/usr/local/airflow/dags/{dag.dag_id}.py", "owners": ["airflow"]}
        newer = {} if self._old else {"bundle_name": "dags-folder", "bundle_version": None}
        return {**place, "is_paused": dag.is_paused, **newer}

    def _list_import_errors(self, args: Namespace) -> str:
        broken = [dag.dag_id for dag in self.state.dags.values() if dag.has_import_errors]
        rows = [
            {
                **({} if self._old else {"bundle_name": "dags-folder"}),
                "filepath": f"/usr/local/airflow/dags/{dag_id}.py" if self._old else f"{dag_id}.py",
                "error": f"Traceback (most recent call last):\nImportError: {dag_id}\n",
            }
            for dag_id in broken
        ]
        if rows and not self._oldest:
            raise _Exit(1, self._print(rows, args))
        return self._print(rows, args)

    def _list_runs(self, args: Namespace) -> str:
        """The dates compare logical dates, so on 3.x they leave out the runs without one."""
        if args.dag_id not in self.state.dags:
            raise _Exit(1, stderr=f"DAG: {args.dag_id} does not exist in 'dag' table\n")
        conditions = [
            ("logical_date", comparison, value)
            for comparison, value in (("gte", args.start_date), ("lte", args.end_date))
            if value is not None
        ]
        states = [args.state] if args.state else None
        runs = airflow_state.select(self.state.of(args.dag_id), states=states, conditions=conditions)
        runs.sort(key=lambda run: run.run_after, reverse=True)

        def row(run: Run) -> dict[str, Any]:
            date = run.logical_date.astimezone(dt.UTC).isoformat() if run.logical_date else ""
            dates = {"execution_date": date} if self._old else {
                "run_after": run.run_after.isoformat(), "logical_date": date
            }  # fmt: skip
            return {
                "dag_id": run.dag_id, "run_id": run.run_id, "state": run.state, **dates,
                "start_date": run.start_date.isoformat() if run.start_date else "",
                "end_date": run.end_date.isoformat() if run.end_date else "",
            }  # fmt: skip

        return self._print(list(map(row, runs)), args)

    def _pause(self, args: Namespace) -> str:
        """The answer shows the new value on 2.x, the old one on 3.x; on 2.7 it is a sentence, whatever changed."""
        dag = self.state.dags.get(args.dag_id)
        if self._oldest:
            if dag is None:
                raise _Exit(1, stderr=f"DAG: {args.dag_id} does not exist in 'dag' table\n")
            self.state.pause(dag, args.paused)
            return f"Dag: {dag.dag_id}, paused: {args.paused}\n"
        if dag is None or dag.is_paused == args.paused:
            return f"No {'un' if args.paused else ''}paused DAGs were found\n"
        self.state.pause(dag, args.paused)
        shown = args.paused if self._old else not args.paused
        return self._print([{"dag_id": dag.dag_id, "is_paused": shown}], args)

    def _print(self, rows: Sequence[dict[str, Any]], args: Namespace) -> str:
        return airflow_console.answer(self.version, rows, args.output)


def _date(text: str) -> dt.datetime:
    """A date of the command line; without a zone it is UTC."""
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


_date.__name__ = "parse"  # argparse names it in its message


def _to_the_second(args: Namespace, date: dt.datetime) -> dt.datetime:
    return date.replace(microsecond=0) if args.replace_microseconds else date


def _conf(text: str | None, no_object: str) -> dict[str, Any]:
    try:
        conf = json.loads(text or "{}")
    except ValueError as error:
        raise _Failure(f"json.decoder.JSONDecodeError: {error}") from error
    if not isinstance(conf, dict):
        raise _Failure(no_object)
    return conf

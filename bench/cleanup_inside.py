"""The inside engine against ``airflow db clean --skip-archive``, on equal copies of a long history of Airflow 2.10.3.

Its start-up is left out on both sides, and VACUUM on ours; theirs does none. Both are an ordinary user who owns the
tables; what a user gains who may tell PostgreSQL not to look for children is a figure of its own.

``python -m bench.cleanup_inside 200000`` shows the figures for ten times as many rows; it takes minutes.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from bench.cleanup_history import fill
from bench.results import Figure, NotMeasured, figure, table
from bench.size import Size
from localcloud.airflow import installed, processes, schemas
from localcloud.airflow.postgres import Postgres, query
from localcloud.airflow.settings import Place
from localcloud.airflow.warm import Commands

VERSION = "2.10.3"
RUNS = 20_000
"""A tenth of ten million rows, 92.5 % of them older than 30 days."""

TIMES = 3

KEPT = {"default": 30}
_OF_RUN = "r.dag_id = t.dag_id and r.run_id = t.run_id and r.end_date < :'before'"
BARE = {
    "dag_run": "delete from dag_run where end_date < :'before'",
    "job": "delete from job where latest_heartbeat < :'before'",
    "log": "delete from log where dttm < :'before'",
    "rendered_task_instance_fields": f"delete from rendered_task_instance_fields t using dag_run r where {_OF_RUN}",
    "task_instance": f"delete from task_instance t using dag_run r where {_OF_RUN}",
    "xcom": f"delete from xcom t using dag_run r where {_OF_RUN}",
}
"""What PostgreSQL takes at least: one statement, which others wait for. With a run or a task instance goes what hangs
on it, as the foreign keys say.
"""
IDLE_SECONDS, READY_SECONDS = 5, 60.0
INSIDE = Path(__file__).parent / "inside"
SHIPPED = installed.ROOT / "layers/airflow/dags/groundcrew"


@dataclass
class Bench:
    """One server, with a database ``airflow`` that is copied before each clean-up."""

    postgres: Postgres
    folder: Path

    def copy(self, *, ordinary: bool = True) -> str:
        """An equal database, instead of the one before."""
        query(
            self._of("postgres"),
            "drop database if exists copy;\ncreate database copy template airflow;\ncheckpoint;",
        )
        return self._of("copy").replace("user=postgres", "user=ordinary" if ordinary else "user=postgres")

    def start(self, script: str, *arguments: str) -> "subprocess.Popen[str]":
        """Start a script of ``inside/``."""
        return subprocess.Popen(
            [installed.environment(VERSION) / "bin/python", INSIDE / script, *arguments],
            env={"PYTHONPATH": str(SHIPPED), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def cleaning(self, conninfo: str, connections: int, days: dict[str, Any], *more: str) -> "subprocess.Popen[str]":
        """Start a clean-up."""
        return self.start("cleaning.py", conninfo, str(connections), json.dumps(days), *more)

    def ours(self, connections: int, *, ordinary: bool = True, days: dict[str, Any] | None = None) -> dict[str, Any]:
        """What a clean-up says of itself, if that is so."""
        conninfo = self.copy(ordinary=ordinary)
        rows = self._rows(conninfo)
        said: dict[str, Any] = json.loads(self._finished(self.cleaning(conninfo, connections, days or KEPT)))
        if not said["converged"] or said["rows"] != rows - self._rows(conninfo):
            raise NotMeasured(f"the clean-up has left something, or reports what is not so: {said}")
        return said

    def share(self, name: str, before: datetime) -> Figure:
        """How fast a table's old rows go by a clean-up with one connection, of how fast they go by one statement."""
        conninfo = self.copy()
        rows, began = self._rows(conninfo), time.perf_counter()
        query(conninfo, BARE[name], {"before": before.isoformat()})
        seconds = time.perf_counter() - began
        rows -= self._rows(conninfo)
        said = self.ours(1, days={"default": 3650, "tables": {name: KEPT["default"]}})
        share = said["rows"] / said["seconds"] / (rows / seconds)
        return figure(f"cleanup.share_of_bare_delete_{name}", [share], "share", f"{rows} rows in {seconds:.1f} s")

    def theirs(self, before: datetime) -> dict[str, float]:
        """``db clean``, in a fork of a process that has imported Airflow."""
        conninfo = self.copy()
        rows = self._rows(conninfo)
        place = Place(
            VERSION,
            self.folder,
            self.postgres.url.replace("/airflow?", "/copy?").replace("postgres@", "ordinary@"),
            0,
            self.folder,
        )
        (self.folder / "tmp").mkdir(exist_ok=True)
        commands = Commands(self.postgres.folder / "commands")
        serve = installed.ROOT / "localcloud/airflow/commands.py"
        process = processes.spawn(
            [installed.environment(VERSION) / "bin/python", serve, commands.path],
            log=self.folder / "commands.log", environment=place.variables(), directory=self.folder,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not commands.is_ready:
                if time.monotonic() > deadline:
                    raise NotMeasured(processes.tail(self.folder / "commands.log"))
                time.sleep(0.1)
            began = time.perf_counter()
            code, out, error = commands.run(
                f"db clean --clean-before-timestamp '{before.isoformat()}' --yes --skip-archive"
            )
            seconds = time.perf_counter() - began
        finally:
            process.terminate()
            process.wait()
            commands.path.unlink(missing_ok=True)
        if code:
            raise NotMeasured((out + error).decode()[-2000:])
        return {"seconds": seconds, "rows": rows - self._rows(conninfo)}

    def p99(self, *, cleans: bool, more: Sequence[str] = ()) -> float:
        """Of the workload, in ms, alone or during a clean-up with one connection."""
        conninfo = self.copy()
        workload = self.start("scheduling.py", conninfo, str(0 if cleans else IDLE_SECONDS))
        if cleans:
            self._finished(self.cleaning(conninfo, 1, KEPT, *more))
        return float(self._finished(workload))

    def _finished(self, process: "subprocess.Popen[str]") -> str:
        printed, _ = process.communicate()
        if process.returncode:
            raise NotMeasured(f"{process.args!r} has failed")
        return printed

    def _rows(self, conninfo: str) -> int:
        tables = query(
            conninfo, "select format('select count(*) from %I', tablename) from pg_tables where schemaname = 'public'"
        )
        return sum(map(int, query(conninfo, ";".join(tables.splitlines())).split()))

    def _of(self, database: str) -> str:
        return self.postgres.conninfo.replace("dbname=airflow", f"dbname={database}")


def measure(size: Size) -> list[Figure]:
    """All figures; raises ``NotMeasured`` where Airflow 2 cannot be."""
    return compare(size.of(RUNS), size.times(TIMES), rest=True)


def compare(runs: int, times: int, *, rest: bool) -> list[Figure]:
    """Measure ours and theirs in turn, ``times`` times each, on a history of so many runs.

    Raises ``NotMeasured`` where Airflow 2 is not installed. ``rest``: also measure VACUUM and each table alone.
    """
    if not installed.is_installed(VERSION):
        raise NotMeasured(f"Airflow {VERSION} is not installed: make .tools/airflow-{VERSION}/.ready")
    now = datetime.now(UTC)
    before = now - timedelta(days=KEPT["default"])
    found: dict[str, list[dict[str, Any]]] = {"theirs": [], "one": [], "two": [], "privileged": []}
    idle, during = [], []
    with ExitStack() as last:
        folder = Path(last.enter_context(tempfile.TemporaryDirectory(prefix="groundcrew-bench-")))
        bench = Bench(last.enter_context(schemas.migrated(VERSION)), folder)
        fill(bench.postgres.conninfo, runs, now)
        for _ in range(times):
            found["theirs"].append(bench.theirs(before))
            found["one"].append(bench.ours(1))
            found["two"].append(bench.ours(2))
            found["privileged"].append(bench.ours(1, ordinary=False))
            idle.append(bench.p99(cleans=False))
            during.append(bench.p99(cleans=True))
        with_vacuum = [bench.p99(cleans=True, more=["vacuum"])] if rest else []
        shares = [bench.share(name, before) for name in BARE] if rest else []
    speeds = {name: [said["rows"] / said["seconds"] for said in all_of] for name, all_of in found.items()}
    ratios = {
        name: [ours / theirs for ours, theirs in zip(speeds[name], speeds["theirs"], strict=True)] for name in speeds
    }
    seconds = median(said["seconds"] for said in found["theirs"])
    size = f"airflow db clean --skip-archive: {found['theirs'][0]['rows']} rows in {seconds:.1f} s, at {runs} runs"
    ours = [*found["one"], *found["two"], *found["privileged"]]
    longest, memory = (max(said[what] for said in ours) for what in ("longest", "memory"))
    p99s = [with_us / alone for with_us, alone in zip(during, idle, strict=True)]
    return [
        figure("cleanup.ratio_vs_db_clean_1_connection", ratios["one"], "times", size, 1.0),
        figure("cleanup.ratio_vs_db_clean_2_connections", ratios["two"], "times", size, 1.7),
        figure("cleanup.ratio_vs_db_clean_1_privileged", ratios["privileged"], "times", size),
        figure("cleanup.inside_rows_per_second", speeds["one"], "rows/s", "one connection"),
        figure("cleanup.inside_longest_transaction", [longest], "s", "theirs: one per table", 0.5),
        figure("cleanup.inside_memory_growth", [memory], "MB", f"from the start; {runs} runs", 30),
        figure("cleanup.inside_p99_idle", idle, "ms", "bench/inside/scheduling.py alone"),
        figure("cleanup.inside_p99_ratio", p99s, "times idle", "while rows are deleted, one connection", 2.0),
        *(
            figure("cleanup.inside_p99_ratio_with_vacuum", [value / median(idle)], "times idle", "and VACUUM", 2.0)
            for value in with_vacuum
        ),
        *shares,
    ]  # fmt: skip


if __name__ == "__main__":
    print(table(compare(int(sys.argv[1]), 1, rest=False)))

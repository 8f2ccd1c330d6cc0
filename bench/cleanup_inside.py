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
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.cleanup_history import fill
from bench.results import Figure, NotMeasured, figure, table
from localcloud.airflow import installed, processes
from localcloud.airflow.postgres import Postgres, query
from localcloud.airflow.settings import Place
from localcloud.airflow.warm import Commands
from tests.airflow import schemas

VERSION = "2.10.3"
RUNS = 20_000
"""A tenth of ten million rows, 92.5 % of them older than 30 days."""

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

    def ours(self, connections: int, *, ordinary: bool = True) -> dict[str, Any]:
        """What a clean-up says of itself, if that is so."""
        conninfo = self.copy(ordinary=ordinary)
        rows = self._rows(conninfo)
        said: dict[str, Any] = json.loads(self._finished(self.start("cleaning.py", conninfo, str(connections))))
        if not said["converged"] or said["rows"] != rows - self._rows(conninfo):
            raise NotMeasured(f"the clean-up has left something, or reports what is not so: {said}")
        return said

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
        if code:
            raise NotMeasured((out + error).decode()[-2000:])
        return {"seconds": seconds, "rows": rows - self._rows(conninfo)}

    def p99(self, conninfo: str, meanwhile: "subprocess.Popen[str] | None" = None) -> float:
        """Of the workload, in ms."""
        workload = self.start(
            "scheduling.py", conninfo.replace("user=postgres", "user=ordinary"), str(0 if meanwhile else IDLE_SECONDS)
        )
        if meanwhile:
            self._finished(meanwhile)
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


def measure(runs: int = RUNS) -> list[Figure]:
    """All figures; raises ``NotMeasured`` where Airflow 2 cannot be."""
    if not installed.is_installed(VERSION):
        raise NotMeasured(f"Airflow {VERSION} is not installed: make .tools/airflow-{VERSION}/.ready")
    now = datetime.now(UTC)
    with ExitStack() as last:
        folder = Path(last.enter_context(tempfile.TemporaryDirectory(prefix="groundcrew-bench-")))
        bench = Bench(last.enter_context(schemas.migrated(VERSION)), folder)
        fill(bench.postgres.conninfo, runs, now)
        theirs = bench.theirs(datetime.fromtimestamp(now.timestamp() - 30 * 86_400, UTC))
        one, two = bench.ours(1), bench.ours(2)
        privileged = bench.ours(1, ordinary=False)
        conninfo = bench.copy()
        idle = bench.p99(conninfo)
        with_us = bench.p99(conninfo, bench.start("cleaning.py", conninfo, "1"))
    speeds = [said["rows"] / said["seconds"] for said in (theirs, one, two, privileged)]
    size = f"airflow db clean --skip-archive: {theirs['rows']} rows in {theirs['seconds']:.1f} s, at {runs} runs"
    longest = max(said["longest"] for said in (one, two, privileged))
    return [
        figure("cleanup.ratio_vs_db_clean_1_connection", [speeds[1] / speeds[0]], "times", size, 1.0),
        figure("cleanup.ratio_vs_db_clean_2_connections", [speeds[2] / speeds[0]], "times", size, 1.7),
        figure("cleanup.ratio_vs_db_clean_1_privileged", [speeds[3] / speeds[0]], "times", size),
        figure("cleanup.inside_rows_per_second", [speeds[1]], "rows/s", f"one connection; {one['rows']} rows"),
        figure("cleanup.inside_longest_transaction", [longest], "s", "theirs: one per table", 0.5),
        figure("cleanup.inside_memory_growth", [one["memory"]], "MB", f"from the start; {runs} runs", 30),
        figure("cleanup.inside_p99_idle", [idle], "ms", "bench/inside/scheduling.py alone"),
        figure("cleanup.inside_p99_ratio", [with_us / idle], "times idle", "during a clean-up, one connection", 2.0),
    ]  # fmt: skip


if __name__ == "__main__":
    print(table(measure(int(sys.argv[1]))))

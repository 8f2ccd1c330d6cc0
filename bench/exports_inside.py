"""The inside engine against the guide's sample and against PostgreSQL and gzip alone; what it does to others."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from bench.exports_history import grow
from bench.results import Figure, NotMeasured, figure
from bench.size import Size
from groundcrew_metadata.declared import TASK_INSTANCE
from localcloud.airflow import installed, schemas
from localcloud.airflow.installed import NotInstalled
from localcloud.airflow.postgres import Postgres, query
from localcloud.airflow.running import AirflowFailed, RunningAirflow
from localcloud.airflow.settings import Place
from tests.support.airflow import exporting

VERSION = "2.10.3"
SMALL, LARGE = 200_000, 2_000_000
"""Task instances: what the guide's sample can still hold in memory, and ten times that."""

RUNS = 5
FASTER_THAN_THE_GUIDE, SHARE_OF_BARE = 25, 0.7
MOST_MEMORY, MOST_GROWTH = 60, 5
"""MB above a task that does nothing, and from the small table to the large one."""

WRITER_SECONDS = 8
INSIDE = Path(__file__).parent / "inside"
CONF = json.dumps(exporting.conf({TASK_INSTANCE.name: exporting.WHOLE}))


def measure(size: Size) -> list[Figure]:
    """All figures; raises ``NotMeasured`` where Airflow 2 cannot be."""
    try:
        with tempfile.TemporaryDirectory(prefix="groundcrew-bench-") as name, _s3(Path(name)) as url:
            return [*_speed_and_memory(Path(name), url, size), *_others(Path(name), url, size)]
    except (NotInstalled, AirflowFailed) as error:
        raise NotMeasured(str(error)) from error


def _speed_and_memory(folder: Path, url: str, size: Size) -> list[Figure]:
    few, many = size.of(SMALL), size.of(LARGE)
    with schemas.migrated(VERSION) as postgres:
        airflow = Interpreter(postgres.url, folder / "speed", url)
        grow(postgres.conninfo, few)
        ours, bare, guide = [], [], [airflow.seconds("guide")]
        for _ in range(size.times(RUNS)):  # in turn, the guide's before and after: all have the same machine
            bare.append(_bare(postgres, folder))
            ours.append(airflow.seconds("ours"))
        guide.append(airflow.seconds("guide"))
        idle = airflow.memory(INSIDE / "idle.py", "idle")
        small = airflow.memory(airflow.shipped / "groundcrew_export.py", "groundcrew_export")
        grow(postgres.conninfo, many)
        large = airflow.memory(airflow.shipped / "groundcrew_export.py", "groundcrew_export")
        large_ours, large_bare = airflow.seconds("ours"), _bare(postgres, folder)
    of_guide = [mean(guide) / one for one in ours]
    of_bare = [its / one for one, its in zip(ours, bare, strict=True)]
    against = f"{few:,} task instances"
    return [
        figure("exports.inside_rows_per_second", [few / one for one in ours], "rows/s", against),
        figure(
            "exports.inside_times_the_guide",
            of_guide,
            "times",
            f"the guide's sample, {against}",
            bar=FASTER_THAN_THE_GUIDE,
        ),
        figure("exports.inside_share_of_copy_gzip", of_bare, "share", f"psql | gzip -1, {against}", bar=SHARE_OF_BARE),
        figure(
            "exports.inside_share_of_copy_gzip_large", [large_bare / large_ours], "share", f"psql | gzip -1, {many:,}"
        ),
        figure("exports.inside_memory", [large - idle], "MB", "a task that does nothing", MOST_MEMORY),
        figure("exports.inside_memory_growth", [large - small], "MB", f"{few:,} to {many:,} rows", MOST_GROWTH),
    ]


def _others(folder: Path, url: str, size: Size) -> list[Figure]:
    """A writer and the scheduler, without and with exports one after the other."""
    rows, seconds = size.of(SMALL), size.times(WRITER_SECONDS)
    with RunningAirflow(VERSION, folder / "running") as running:
        grow(running.database, rows)
        airflow = Interpreter(_url(running.database), folder / "others", url)
        figures = []
        for name, exporting_too in (("alone", False), ("meanwhile", True)):
            writer = airflow.start("writer.py", running.database, str(seconds))
            slowest, exports = 0.0, 0
            export: subprocess.Popen[str] | None = None
            while writer.poll() is None:
                slowest = max(slowest, float(query(running.database, _HEARTBEAT)))
                if exporting_too and (export is None or export.poll() is not None):
                    exports += 1
                    export = airflow.start("task.py", "time", "ours")
                time.sleep(0.1)
            if export:
                export.communicate()
            p99 = float(writer.communicate()[0])
            against = f"{exports} exports of {rows:,} rows" if exporting_too else "no export"
            figures += [
                figure(f"exports.writer_p99_{name}", [p99], "ms", against),
                figure(f"exports.heartbeat_age_{name}", [slowest], "s", against),
            ]
        return figures


_HEARTBEAT = """
select extract(epoch from clock_timestamp() - max(latest_heartbeat)) from job
 where job_type = 'SchedulerJob' and state = 'running'
"""


@dataclass(frozen=True)
class Interpreter:
    """Airflow's own, with a database and the DAG as it is shipped."""

    database: str
    home: Path
    s3: str

    @property
    def shipped(self) -> Path:
        return self.home / "dags/groundcrew"

    def seconds(self, whose: str) -> float:
        """Of an export."""
        return float(self._ask("time", whose))

    def memory(self, file: Path, dag_id: str) -> float:
        """The most that a process takes which runs a DAG's tasks, in MB."""
        return float(self._ask("memory", str(file), dag_id))

    def start(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Begin one of the scripts, the conf on its stdin."""
        if not self.home.exists():
            (self.home / "tmp").mkdir(parents=True)
            exporting.ship(self.home / "dags")
        place = Place(
            VERSION, self.home, self.database, port=0, dags=self.home / "none", path=[self.shipped, INSIDE],
            extra=exporting.credentials(self.s3),
        )  # fmt: skip
        process = subprocess.Popen(
            [str(place.airflow.with_name("python")), str(INSIDE / script), *arguments],
            env={**place.variables(), "AWS_DEFAULT_REGION": "us-east-1"},
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(CONF)
        process.stdin.close()
        process.stdin = None
        return process

    def _ask(self, *arguments: str) -> str:
        process = self.start("task.py", *arguments)
        said, _ = process.communicate()
        if process.returncode != 0:
            raise NotMeasured(f"task.py {' '.join(arguments)} ended with {process.returncode}")
        return said.splitlines()[-1]


def _bare(postgres: Postgres, folder: Path) -> float:
    """Seconds that the same rows take where nobody looks at them and they go nowhere."""
    columns = ", ".join(column.name for column in TASK_INSTANCE.columns_of(VERSION))
    copy = f"copy (select {columns} from task_instance) to stdout (format csv, header true)"
    begin = time.monotonic()
    with (folder / "bare.csv.gz").open("wb") as file:
        psql = subprocess.Popen([installed.psql(), "-qX", "-c", copy, postgres.conninfo], stdout=subprocess.PIPE)
        subprocess.run(["gzip", "-1"], stdin=psql.stdout, stdout=file, check=True)
    if psql.wait() != 0:
        raise NotMeasured("psql could not copy")
    return time.monotonic() - begin


def _url(conninfo: str) -> str:
    """As SQLAlchemy takes it."""
    host = dict(word.split("=") for word in conninfo.split())["host"]
    return f"postgresql+psycopg2://postgres@/airflow?host={host}"


@contextmanager
def _s3(folder: Path) -> Iterator[str]:
    """A bucket in a process of its own, so that it does not hold up who measures."""
    command: Sequence[str] = [sys.executable, "-m", "tests.support.airflow.bucket", str(folder / "s3")]
    paths = os.pathsep.join([str(installed.ROOT / "functions"), str(installed.ROOT)])
    process = subprocess.Popen(
        command,
        cwd=installed.ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.communicate()

"""A real Airflow that runs as long as its owner.

    with RunningAirflow("2.10.3", directory, dags=SAMPLES, environment={"AIRFLOW_ENV_NAME": "data"}) as airflow:
        client.attach_airflow(arn, door=airflow.door, version=airflow.version)
        airflow.backend.cli("dags trigger hello")
        airflow.sql("select state from dag_run where dag_id = :'dag'", dag="hello")

Several start side by side when each is told to ``begin`` before the first is waited for.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from localcloud.airflow import installed, processes
from localcloud.airflow.postgres import query
from localcloud.backend import Door

SAMPLES = Path(__file__).with_name("dags")
STOP_SECONDS = 30.0


class AirflowFailed(RuntimeError):
    """It did not start; the message says why, with the end of a log."""


@dataclass
class RunningAirflow:
    """One Airflow; ``directory`` (made if need be) takes its logs: one file for each process."""

    version: str
    directory: Path
    dags: Path = SAMPLES
    path: Sequence[Path] = ()  # wheels and folders for sys.path: plugins with an entry point
    environment: Mapping[str, str] = field(default_factory=dict)  # of all its processes: AIRFLOW_ENV_NAME, AWS_...
    owner: int = field(default_factory=os.getpid)  # the process it ends with
    _supervisor: subprocess.Popen[bytes] | None = None
    _state: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.begin()
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.stop()

    def begin(self) -> None:
        """Start, and do not wait; what an earlier one left in the directory goes. Raises ``NotInstalled``."""
        installed.require(self.version)
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.directory / "home", ignore_errors=True)
        for left in (self.directory / "state.json", *self.directory.glob("*.log")):
            left.unlink(missing_ok=True)
        order = {
            "version": self.version,
            "directory": str(self.directory.resolve()),
            "dags": str(self.dags.resolve()),
            "owner": self.owner,
            "path": [str(entry.resolve()) for entry in self.path],
            "extra": dict(self.environment),
        }
        file = self.directory / "order.json"
        file.write_text(json.dumps(order))
        with self._log.open("ab") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "localcloud.airflow.supervisor", str(file)],
                cwd=installed.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until it is healthy and every DAG file is parsed; raises ``AirflowFailed``."""
        assert self._supervisor is not None
        state = self.directory / "state.json"
        while not state.exists():
            if self._supervisor.poll() is not None:
                raise AirflowFailed(f"Airflow {self.version} did not start\n{processes.tail(self._log)}")
            time.sleep(0.05)
        self._state = json.loads(state.read_text())

    def stop(self) -> None:
        """Stop it and remove its database; the logs stay."""
        if self._supervisor is None:
            return
        self._supervisor.send_signal(signal.SIGTERM)
        try:
            self._supervisor.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()

    @property
    def door(self) -> str:
        """The URL of its door."""
        return self._state["door"]

    @property
    def cold_door(self) -> str:
        """The same Airflow with a new `airflow` process for each command, as slow as on any machine."""
        return f"{self.door}/cold"

    @property
    def backend(self) -> Door:
        return Door(self.door)

    @property
    def database(self) -> str:
        """Its database, as libpq takes it."""
        return self._state["database"]

    def sql(self, select: str, **values: object) -> list[dict[str, Any]]:
        """Rows of its database; ``:'name'`` in the query is a value. Raises ``PostgresFailed``."""
        rows = query(self.database, f"with rows as ({select}) select coalesce(json_agg(rows), '[]') from rows", values)
        return list(json.loads(rows))

    def turn_clock(self, seconds: float) -> None:
        """Its database's ``now()`` is so many seconds ahead of this machine's clock, for connections made from now on,
        like the clock of a cloud that tests turn; what Airflow's own processes call now is not.
        """
        now = f"select pg_catalog.now() + interval '{seconds} seconds'"
        query(
            self.database,
            f"create or replace function public.now() returns timestamptz stable language sql as $${now}$$;"
            "alter database airflow set search_path = public, pg_catalog;",
        )

    def processes(self) -> dict[str, int | None]:
        """Exit codes by name (web, scheduler, commands; dag-processor in Airflow 3); None of one that runs."""
        with urllib.request.urlopen(f"{self.door}/processes", timeout=STOP_SECONDS) as answer:
            return dict(json.load(answer))

    @property
    def _log(self) -> Path:
        return self.directory / "supervisor.log"

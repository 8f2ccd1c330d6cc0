"""``python -m localcloud.airflow.supervisor ORDER``: one Airflow with its database and its door, until told to stop.

The leader of a session of its own: whatever Airflow starts stays in it and is killed with it. Ends on SIGTERM, or when
the process that owns it has ended.
"""

import json
import os
import random
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.airflow import door, installed, processes
from localcloud.airflow.postgres import Postgres, PostgresFailed, query
from localcloud.airflow.rest import Rest
from localcloud.airflow.settings import PASSWORD, USER, Place, major
from localcloud.airflow.warm import Adopted, Commands

READY_SECONDS = 240.0  # it takes 8 to 15 s on two idle cores
_PAUSE_SECONDS = 0.2


class NotReady(RuntimeError):
    """Airflow did not come up; the message holds the end of the log that says why."""


class Stopped(Exception):
    """SIGTERM, or the owner is gone."""


@dataclass(frozen=True)
class Order:
    """What to run for the process ``owner``; ``directory`` takes its logs and ``state.json``."""

    version: str
    directory: str
    dags: str
    owner: int
    path: list[str]
    extra: dict[str, str]


@dataclass
class Supervisor:
    """The processes of one Airflow."""

    order: Order
    place: Place
    server: Postgres
    rest_api: Rest
    commands: Commands
    running: dict[str, subprocess.Popen[bytes] | Adopted] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return self.order.version

    # ------------------------------------------------------------------ what the door asks
    def rest(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> tuple[int, Any]:
        return self.rest_api.call(method, path, query, body)

    def cli(self, command: str, *, cold: bool) -> tuple[int, bytes, bytes]:
        return self._cold(command) if cold else self.commands.run(command)

    def processes(self) -> dict[str, int | None]:
        return {name: process.poll() for name, process in self.running.items()}

    def _cold(self, command: str) -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            [str(self.place.airflow), *shlex.split(command)],
            env=self.place.variables(),
            cwd=self.place.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    # ------------------------------------------------------------------ start
    def start(self) -> None:
        """Start what imports Airflow: the web server, and the one that all else is a fork of."""
        python = installed.environment(self.version) / "bin/python"
        port = str(self.place.port)
        web: list[str | Path] = [self.place.airflow, "api-server", "--host", "127.0.0.1", "--port", port]
        if major(self.version) == 2:
            # As `airflow webserver` does, which would first import all of Airflow for itself.
            options = ["--config", "python:airflow.www.gunicorn_config", "--preload", "--workers", "2"]
            address = ["--timeout", "120", "--bind", f"127.0.0.1:{port}"]
            web = [python, "-m", "gunicorn", *options, *address, "airflow.www.app:cached_app()"]
        self._spawn("web", web)
        self._spawn("commands", [python, Path(__file__).with_name("commands.py"), self.commands.path])

    def missing(self) -> str | None:
        """What is not ready yet; raises ``NotReady`` when it never will be."""
        for name, code in self.processes().items():
            if code is not None:
                raise NotReady(f"{name} ended with code {code}:\n{processes.tail(self._log(name))}")
        if not self.commands.is_ready:
            return "commands"
        if major(self.version) > 2 and "dag-processor" not in self.running:
            self._fork("dag-processor", "dag-processor")
        if "scheduler" not in self.running:
            if not self.rest_api.serves_tasks():
                return "web"
            self._fork("scheduler", "scheduler --skip-serve-logs")
        if not self.rest_api.is_healthy():
            return "web"
        unseen = sorted(_dag_files(Path(self.order.dags)) - self._seen_files())
        return f"dag-processor or scheduler: {', '.join(unseen)} not parsed" if unseen else None

    def _seen_files(self) -> set[str]:
        """Names of files whose DAGs can be started, or whose import error is recorded."""
        seen = query(
            self.server.conninfo,
            "select dag.fileloc from dag join serialized_dag using (dag_id) union select filename from import_error",
        )
        return {Path(line).name for line in seen.splitlines()}

    def _spawn(self, name: str, command: list[str | Path]) -> None:
        self.running[name] = processes.spawn(
            command, log=self._log(name), environment=self.place.variables(), directory=self.place.home
        )

    def _fork(self, name: str, command: str) -> None:
        self.running[name] = self.commands.start(command, self._log(name))

    def _log(self, name: str) -> Path:
        return Path(self.order.directory) / f"{name}.log"


def _dag_files(folder: Path) -> set[str]:
    """Names of the files that Airflow takes for DAG files: those that mention both words, and are not to be ignored."""
    ignored = {
        file
        for said in folder.rglob(".airflowignore")
        for line in said.read_text().splitlines()
        if line and not line.startswith("#")
        for file in (said.parent / line).rglob("*")  # folders by name: all that is used here
    }
    texts = {file.name: file.read_bytes().lower() for file in folder.rglob("*.py") if file not in ignored}
    return {name for name, text in texts.items() if b"dag" in text and b"airflow" in text}


class Watch:
    """Ends every wait when it is time to stop."""

    def __init__(self, owner: int) -> None:
        self._owner = os.pidfd_open(owner)
        self._signals, written = os.pipe()
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def pause(self, seconds: float | None = None) -> None:
        """Raises ``Stopped`` when there is nothing to wait for any more."""
        if select.select([self._owner, self._signals], [], [], seconds)[0]:
            raise Stopped

    def until(self, missing: Callable[[], str | None], seconds: float) -> None:
        """Wait until nothing is missing; raises ``NotReady``."""
        deadline = time.monotonic() + seconds
        while (what := missing()) is not None:
            if time.monotonic() > deadline:
                raise NotReady(f"Not ready after {seconds:.0f} s: {what}")
            self.pause(_PAUSE_SECONDS)


def run(order: Order) -> None:
    """Start, say so in ``state.json``, and stop when it is time; raises ``NotReady``, ``PostgresFailed``."""
    processes.adopt_orphans()
    directory = Path(order.directory)
    with suppress(Stopped), ExitStack() as last:
        watch = Watch(order.owner)
        server = Postgres(directory / "postgres.log")
        last.callback(server.stop)
        server.copy_cluster(installed.cluster(order.version))
        server.start()
        path = [Path(entry) for entry in order.path]
        home = _home(directory)
        place = Place(order.version, home, server.url, _free_port(), Path(order.dags), path, order.extra)
        supervisor = Supervisor(
            order, place, server, Rest(order.version, place.port), Commands(server.folder / "commands")
        )
        last.callback(processes.end_session)
        supervisor.start()
        watch.until(supervisor.missing, READY_SECONDS)
        state = {"door": last.enter_context(door.opened(supervisor)), "database": server.conninfo}
        unfinished = directory / "state.unfinished"
        unfinished.write_text(json.dumps(state))
        unfinished.rename(directory / "state.json")
        watch.pause()


def _home(directory: Path) -> Path:
    """AIRFLOW_HOME with what the first process would write, and all would at once."""
    home = directory / "home"
    (home / "tmp").mkdir(parents=True)
    (home / "airflow.cfg").touch()
    (home / "passwords.json").write_text(json.dumps({USER: PASSWORD}))
    return home


def _free_port() -> int:
    """One below the range from which the system gives ports to others, for Airflow binds it seconds later."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def main() -> int:
    os.umask(0o022)
    order = Order(**json.loads(Path(sys.argv[1]).read_text()))
    try:
        run(order)
    except (NotReady, PostgresFailed, installed.NotInstalled) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

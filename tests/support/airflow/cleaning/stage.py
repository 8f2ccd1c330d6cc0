"""A real Airflow 3 to be cleaned: its database, its commands, its REST API, and nobody who schedules anything."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from cleanup import outside
from cleanup.outside_airflow import Airflow
from cleanup.outside_versions import Capability, capability
from cleanup.policy import Policy
from groundcrew.aws.cli import Output
from groundcrew.manifests import Covered
from localcloud.airflow import installed, processes
from localcloud.airflow.postgres import Postgres, query
from localcloud.airflow.rest import Rest
from localcloud.airflow.settings import PASSWORD, USER, Place
from localcloud.airflow.supervisor import _free_port
from localcloud.airflow.warm import Commands

READY_SECONDS = 240.0


@dataclass
class Database:
    """One Airflow 3 and its database."""

    version: str
    conninfo: str
    commands: Commands
    rest: Rest
    sent: list[str] = field(default_factory=list)

    def cli(self, command: str) -> Output:
        self.sent.append(command)
        _, stdout, stderr = self.commands.run(command)
        return Output(stdout.decode(), stderr.decode())

    def call(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> tuple[int, Any]:
        return self.rest.call(method, path, query, body)

    def sql(self, statements: str, **values: object) -> str:
        return query(self.conninfo, statements, values)

    def rows(self, table: str) -> list[dict[str, Any]]:
        found = self.sql(f"select coalesce(json_agg(t), '[]') from {table} t")
        return list(json.loads(found))

    def tables(self) -> list[str]:
        return self.sql("select tablename from pg_tables where schemaname = 'public' order by 1").split()

    def has(self, table: str) -> bool:
        return table in self.tables()

    def counts(self) -> dict[str, int]:
        return {table: int(self.sql(f"select count(*) from {table}")) for table in self.tables()}


class Live(Protocol):
    """An Airflow 3 that takes commands and answers REST calls."""

    @property
    def version(self) -> str: ...

    def cli(self, command: str) -> Output: ...

    def call(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> tuple[int, Any]: ...


class Asked(Airflow):
    """The product's way to ask, without AWS in between."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def _run(self, asked: list[str]) -> Output:
        return self._live.cli(" ".join(asked))

    def _rest(self, method: str, path: str, **asked: Mapping[str, Any]) -> Mapping[str, Any]:
        status, body = self._live.call(method, path, asked.get("query", {}), asked.get("body"))
        assert status == 200, (status, body)
        return dict(body)


def clean(
    live: Live,
    policy: Policy,
    covered: Mapping[str, Covered],
    now: datetime,
    *,
    can: Capability | None = None,
    most: int = 2_000,
) -> outside.Work:
    """The whole clean-up, step by step, its state written and read in between as the state machine does it."""
    can, airflow = can or capability(live.version), Asked(live)
    work = outside.begin(airflow, policy, can, covered, now)
    for _ in range(most):
        work = outside.Work.read(json.loads(json.dumps(work.as_state())))
        if work.ended:
            return work
        work = outside.step(work, airflow, policy, can, covered)
    raise AssertionError("it never ends")


@contextlib.contextmanager
def open_database(
    version: str, directory: Path, cluster: Path | None = None, *, migrates: bool = False
) -> Iterator[Database]:
    """Started from a copy of the version's migrated cluster, or of another one, which this version then migrates."""
    installed.require(version)
    with ExitStack() as last:
        home = directory / f"home-{version}"
        (home / "tmp").mkdir(parents=True)
        (home / "airflow.cfg").touch()
        (home / "passwords.json").write_text(json.dumps({USER: PASSWORD}))
        server = Postgres(directory / "postgres.log")
        last.callback(server.stop)
        server.copy_cluster(cluster or installed.cluster(version))
        server.start()
        place = Place(version, home, server.url, port=_free_port(), dags=home)
        if migrates:
            subprocess.run(
                [place.airflow, "db", "migrate"],
                env=place.variables(),
                cwd=home,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )
        python = installed.environment(version) / "bin/python"
        commands = Commands(server.folder / "commands")
        serve = Path(installed.ROOT / "localcloud/airflow/commands.py")
        started: dict[str, list[str | Path]] = {
            "commands": [python, serve, commands.path],
            "web": [place.airflow, "api-server", "--host", "127.0.0.1", "--port", str(place.port)],
        }
        for name, command in started.items():
            process = processes.spawn(
                command, log=directory / f"{name}.log", environment=place.variables(), directory=home
            )
            last.callback(process.wait)
            last.callback(process.terminate)
        database = Database(version, server.conninfo, commands, Rest(version, place.port))
        deadline = time.monotonic() + READY_SECONDS
        while not (commands.is_ready and _answers(database.rest)):
            assert time.monotonic() < deadline, processes.tail(directory / "web.log")
            time.sleep(0.2)
        yield database


def _answers(rest: Rest) -> bool:
    try:
        return rest.call("GET", "/dags", {}, None)[0] == 200
    except (OSError, KeyError, TypeError):
        return False

"""The API server of an Airflow 3 alone, over a database that nobody else writes to."""

import random
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.airflow import processes, schemas
from localcloud.airflow.rest import Rest
from localcloud.airflow.settings import PASSWORD, USER, Place
from localcloud.testing.airflows import require
from localcloud.testing.waiting import eventually


@dataclass(frozen=True)
class Served:
    """A server and its database, as libpq takes it."""

    rest: Rest
    database: str
    log: Path

    def get(self, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        return self.rest.call("GET", path, query, None)


@contextmanager
def serving(version: str) -> Iterator[Served]:
    """Until the end of the block; skips where the version is not installed."""
    require(version)
    with schemas.migrated(version) as postgres, tempfile.TemporaryDirectory(prefix="groundcrew-api-") as folder:
        home = Path(folder)
        (home / "tmp").mkdir()
        (home / "airflow.cfg").touch()
        (home / "passwords.json").write_text(f'{{"{USER}": "{PASSWORD}"}}')
        place = Place(version, home, postgres.url, _free_port(), dags=home)
        command: list[str | Path] = [place.airflow, "api-server", "--host", "127.0.0.1", "--port", str(place.port)]
        log = home / "web.log"
        process = processes.spawn(command, log=log, environment=place.variables(), directory=home)
        try:
            rest = Rest(version, place.port)

            def answers() -> bool:
                assert process.poll() is None, processes.tail(log)
                with suppress(OSError):
                    return rest.call("GET", "/pools", {"limit": "0"}, None)[0] == 200
                return False

            eventually(answers)
            yield Served(rest, postgres.conninfo, log)
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    """One below the range from which the system gives ports to others, for Airflow binds it seconds later."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port

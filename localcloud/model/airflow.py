"""The double of Airflow: pure Python, for tests that need thousands of environments rather than a real one.

It answers what a caller asks who starts and follows runs, as the version does; for the rest it says so loudly
(NotImplementedError). It knows three tongues, those of 2.7.2, 2.10.3 and 3.3.1: another version answers like the
nearest of them, under its own number; of the lists of Airflow 3 it knows what 3.0, 3.2 and 3.3 do differently.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from localcloud.model.airflow_cli import Cli
from localcloud.model.airflow_state import Dag, Run, State
from localcloud.model.airflow_v1 import RestV1
from localcloud.model.airflow_v2 import RestV2


class Airflow:
    """One Airflow by a clock (seconds since the epoch); a ``localcloud.backend.Backend``.

    ``dags`` are the members of ``Dag``, e.g. {"dag_id": "load", "is_paused": True, "seconds": 60}.
    """

    def __init__(self, version: str, clock: Callable[[], float], dags: Iterable[Mapping[str, Any]] = ()) -> None:
        self.version = version
        self.state = State(clock, {str(dag["dag_id"]): Dag(**dag) for dag in dags})
        self._rest = RestV1(version, self.state) if version.startswith("2.") else RestV2(self.state, version)
        self._cli = Cli(version, self.state)
        self._lock = threading.Lock()

    def rest(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> tuple[int, Any]:
        with self._lock:
            self.state.settle()
            return self._rest.answer(method, path, query, body)

    def cli(self, command: str) -> tuple[int, bytes, bytes]:
        with self._lock:
            self.state.settle()
            return self._cli.run(command)

    def stop_tasks(self) -> None:
        """The workers stop: what is running fails."""
        with self._lock:
            self.state.settle()
            self.state.stop()

    def runs(self) -> list[Run]:
        """All runs, as they are now, the oldest first."""
        with self._lock:
            self.state.settle()
            return list(self.state.runs)

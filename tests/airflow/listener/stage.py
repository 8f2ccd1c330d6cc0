"""An Airflow with the listener as it is shipped, a bus for it, and a probe that measures every call of its hooks."""

import json
import math
import re
import subprocess
import threading
import time
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from localcloud.airflow.installed import ROOT
from localcloud.airflow.running import RunningAirflow
from localcloud.testing.waiting import eventually
from tests.support.bus import Bus, open_bus

HERE = Path(__file__).parent
DIST = ROOT / "layers/airflow/plugins/dist"
RUNS = 100
"""Of each situation in ``dags/floods.py``."""


@dataclass
class Stage:
    """One running Airflow and what the probe writes."""

    airflow: RunningAirflow
    bus: Bus
    site: Path
    probe: Path
    _gaps: list[float] = field(default_factory=list)

    def rest(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        status, answer = self.airflow.backend.rest(method, path, query, body)
        assert status == 200, answer
        return answer

    def trigger(self, dag_id: str = "told", **body: Any) -> str:
        """The id of a new run."""
        if self.airflow.version.startswith("3."):
            body = {"logical_date": None, **body}
        run_id = f"run-{uuid.uuid4().hex[:8]}"
        self.rest("POST", f"/dags/{dag_id}/dagRuns", {"dag_run_id": run_id, **body})
        return run_id

    def told(self, run_id: str) -> dict[str, dict[str, Any]]:
        """What the bus knows of a run, by state."""
        return {detail["state"]: detail for detail in self.bus.details if detail["run_id"] == run_id}

    def flood(self, situation: str) -> list[dict[str, Any]]:
        """Let the scheduler work through the runs of a situation; the calls of the hooks meanwhile."""
        self.rest("PATCH", "/dags", {"is_paused": False}, dag_id_pattern=f"{situation}_%", limit=100)
        ended = "select count(*) as n from dag_run where state = 'success' and dag_id like :'dag'"
        with self._watched():
            eventually(lambda: self.airflow.sql(ended, dag=f"{situation}_%")[0]["n"] == RUNS, 120)
        calls = [json.loads(line) for line in (self.probe / "calls").read_text().splitlines()]
        return [call for call in calls if call["dag"].startswith(situation)]

    def losses(self) -> list[str]:
        """What the scheduler's listener said of lost changes: why, each time it began, and ``again`` when it ended."""
        log = (self.airflow.directory / "scheduler.log").read_text()
        return [why or "again" for why in re.findall(r"run states (?:are being lost reason=(\w+)|go out again)", log)]

    def longest_gap(self) -> float:
        """Seconds between two heartbeats of the scheduler, at most, since asked before."""
        longest, self._gaps = max(self._gaps), []
        return longest

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Take down the scheduler's heartbeats."""
        stop, beats = threading.Event(), set[str]()

        def watch() -> None:
            beat = "select latest_heartbeat from job where job_type = 'SchedulerJob'"
            while not stop.wait(0.2):
                beats.update(row["latest_heartbeat"] for row in self.airflow.sql(beat))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        moments = sorted(datetime.fromisoformat(beat).timestamp() for beat in beats)
        self._gaps += [after - before for before, after in zip(moments, [*moments[1:], time.time()], strict=True)]


def p99(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * 0.99) - 1]


@contextmanager
def open_stage(version: str, directory: Path) -> Iterator[Stage]:
    subprocess.run(["make", "--silent", "wheel"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    with zipfile.ZipFile(next(DIST.glob("*.whl"))) as wheel:
        wheel.extractall(site := directory / "site")  # as pip does
    probe = directory / "probe"
    probe.mkdir()
    with open_bus() as bus:
        environment = {
            **bus.environment(),
            "PROBE": str(probe),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(HERE / "plugins"),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__SCHEDULER__MAX_DAGRUNS_TO_CREATE_PER_LOOP": "50",
            "AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE": "50",
        }
        path = [site, ROOT]
        with RunningAirflow(version, directory / "logs", HERE / "dags", path, environment) as airflow:
            yield Stage(airflow, bus, site, probe)

"""While the database is cleaned, a real scheduler goes on with DAGs of every type of schedule."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cleanup.outside_versions import capability
from cleanup.policy import Policy
from groundcrew.aws.cli import Output
from localcloud.airflow.running import SAMPLES, RunningAirflow
from localcloud.testing.airflows import live, processes_of, require
from localcloud.testing.waiting import eventually
from tests.support.airflow.cleaning import schedules, stage
from tests.support.airflow.cleaning.shipped import OF_2, POLICY, clean, ordered, report, running
from tests.support.airflow.here import Here
from tests.support.tiers import Times

pytestmark = pytest.mark.xdist_group("cleanup-dag")

OF_3 = live("3.")
ROUNDS = 4
PATIENCE = 240.0


@pytest.fixture(scope="module", params=OF_2)
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    with running(request.param, tmp_path_factory.mktemp("schedules"), schedules.put) as found:
        yield found


@dataclass(frozen=True)
class Live:
    """A running Airflow 3, as the outside engine asks it."""

    airflow: RunningAirflow

    @property
    def version(self) -> str:
        return self.airflow.version

    def cli(self, command: str) -> Output:
        _, stdout, stderr = self.airflow.backend.cli(command)
        return Output(stdout.decode(), stderr.decode())

    def call(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> tuple[int, Any]:
        return self.airflow.backend.rest(method, path, query, body)

    def logs(self) -> str:
        return "".join(file.read_text(errors="replace") for file in self.airflow.directory.rglob("*.log"))


@pytest.fixture(scope="module", params=OF_3)
def cleaned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    require(request.param)
    folder = tmp_path_factory.mktemp("schedules")
    shutil.copytree(SAMPLES, folder / "dags", ignore=shutil.ignore_patterns("__pycache__", "broken.py"))
    schedules.put(folder / "dags", major=3)
    with RunningAirflow(request.param, folder / "airflow", dags=folder / "dags") as airflow:
        yield Live(airflow)
    assert processes_of(folder) == []


def begun(airflow: RunningAirflow) -> dict[str, int]:
    """How many runs of each DAG have succeeded, when all have some."""
    eventually(lambda: all(schedules.succeeded(airflow).values()), PATIENCE)
    return schedules.succeeded(airflow)


def require_undisturbed(airflow: RunningAirflow, before: Mapping[str, int], logs: str) -> None:
    """The scheduler goes on with what it had begun, as if nothing had gone."""
    goes_on = [dag for dag in schedules.DAGS if dag != "once"]
    eventually(lambda: all(schedules.succeeded(airflow)[dag] > before[dag] + 1 for dag in goes_on), PATIENCE)
    assert schedules.faults(airflow) == []
    assert "deadlock" not in logs


def test_no_run_is_lost_doubled_or_skipped(here: Here, times: Times) -> None:
    airflow = here.airflow
    before = begun(airflow)
    for batch in range(times(ROUNDS)):
        schedules.age(airflow, batch)
        conf = ordered(here, policy={**POLICY, "confirm": 1, "connections": 1 + batch % 2})
        assert clean(here, conf) == "success"
        assert report(here, conf)["tables"]["dag_run"]["deleted"] >= 200 * len(schedules.DAGS) - len(schedules.DAGS)
        # Of each DAG the newest run of each kind stays; here that is one of the scheduler's own.
        assert schedules.old(airflow) == 0
    require_undisturbed(airflow, before, here.logs())


def test_nor_by_the_outside_engine(cleaned: Live, times: Times) -> None:
    airflow = cleaned.airflow
    before = begun(airflow)
    policy = Policy.read({"mode": "delete", "confirm": 1, "export_required": False, "days": {"default": 30}}, "live")
    can = capability(cleaned.version)
    can = replace(can, tables={table: can.tables[table] for table in ("dag_run", "task_instance", "log", "xcom")})
    for batch in range(times(ROUNDS)):
        schedules.age(airflow, batch)
        assert schedules.old(airflow) == 200 * len(schedules.DAGS)
        work = stage.clean(cleaned, policy, {}, datetime.now(UTC), can=can)
        assert not [result for result in work.results if result.get("failed") or result.get("left")], work.results
        assert schedules.old(airflow) == 0
    require_undisturbed(airflow, before, cleaned.logs())


def test_what_a_clean_up_must_not_do_would_be_seen(here: Here) -> None:
    airflow = here.airflow
    eventually(lambda: schedules.succeeded(airflow)["by_delta"] >= 3, PATIENCE)
    airflow.sql(
        "delete from dag_run where id = (select id from dag_run where dag_id = 'by_delta' order by execution_date"
        " offset 1 limit 1) returning id"
    )
    assert any(said.startswith("by_delta: ") for said in schedules.faults(airflow))

import json
import re
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from localcloud.airflow.running import AirflowFailed, RunningAirflow
from localcloud.backend import Door
from localcloud.testing.airflows import LIVE, processes_of, require
from localcloud.testing.waiting import eventually

pytestmark = pytest.mark.xdist_group("airflow")


def start(airflow: RunningAirflow, dag_id: str, **body: Any) -> tuple[int, Any]:
    body = {"dag_run_id": f"run-{uuid.uuid4().hex[:8]}", **body}
    if airflow.version.startswith("3."):
        body = {"logical_date": None, **body}
    return airflow.backend.rest("POST", f"/dags/{dag_id}/dagRuns", {}, body)


def end(airflow: RunningAirflow, dag_id: str, run_id: str) -> str:
    """The state in which a run ends."""

    def ended() -> str | None:
        _, run = airflow.backend.rest("GET", f"/dags/{dag_id}/dagRuns/{run_id}", {}, None)
        return str(run["state"]) if run["state"] in ("success", "failed") else None

    return str(eventually(ended))


def rows(out: bytes) -> list[dict[str, Any]]:
    """What `-o json` printed; `dags trigger` of Airflow 2.10 may log a line before it."""
    return list(json.loads(out.splitlines()[-1]))


def essence(out: bytes) -> list[str]:
    """Lines without their times, and without what alembic says when it is imported."""
    lines = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.+]+Z?", "", out.decode()).splitlines()
    return [line for line in lines if "alembic.runtime.plugins" not in line]


def test_a_run_that_rest_started_ends_and_is_in_the_database_once(airflow: RunningAirflow) -> None:
    status, run = start(airflow, "echo", conf={"to": "you"})
    assert status == 200
    assert run["conf"] == {"to": "you"}
    assert end(airflow, "echo", run["dag_run_id"]) == "success"
    select = "select state, count(*) as n from dag_run where dag_id = :'dag' and run_id = :'run' group by 1"
    assert airflow.sql(select, dag="echo", run=run["dag_run_id"]) == [{"state": "success", "n": 1}]


def test_a_run_whose_task_fails_ends_failed(airflow: RunningAirflow) -> None:
    _, run = start(airflow, "fails")
    assert end(airflow, "fails", run["dag_run_id"]) == "failed"


def test_airflows_own_refusals_come_through_the_door(airflow: RunningAirflow) -> None:
    _, run = start(airflow, "paused")
    assert start(airflow, "paused", dag_run_id=run["dag_run_id"])[0] == 409
    assert start(airflow, "no_such_dag")[0] == 404


def test_a_run_that_the_cli_started_ends(airflow: RunningAirflow) -> None:
    run_id = f"cli-{uuid.uuid4().hex[:8]}"
    code, out, _ = airflow.backend.cli(f'dags trigger hello --run-id {run_id} --conf \'{{"a": "b c"}}\' -o json')
    assert code == 0
    assert rows(out)[0]["dag_run_id"] == run_id
    assert end(airflow, "hello", run_id) == "success"
    listed = "list-runs hello" if airflow.version.startswith("3.") else "list-runs --dag-id hello"
    _, out, _ = airflow.backend.cli(f"dags {listed} -o json")
    assert {row["run_id"]: row["state"] for row in rows(out)}[run_id] == "success"


def test_broken_and_paused_dags_are_seen(airflow: RunningAirflow) -> None:
    _, out, _ = airflow.backend.cli("dags list -o json")
    paused = {row["dag_id"]: row.get("is_paused", row.get("paused")) for row in rows(out)}  # its name up to 2.8
    assert paused == {"echo": "False", "fails": "False", "hello": "False", "paused": "True"}
    _, out, _ = airflow.backend.cli("dags list-import-errors -o json")
    assert "no_such_name" in out.decode()


def test_a_forked_command_answers_as_a_new_process_does(airflow: RunningAirflow) -> None:
    code, out, err = airflow.backend.cli("dags trigger no_such_dag")
    cold_code, cold_out, cold_err = Door(airflow.cold_door).cli("dags trigger no_such_dag")
    assert (code, essence(out)) == (cold_code, essence(cold_out))
    assert err.splitlines()[-1:] == cold_err.splitlines()[-1:]  # before it: a traceback with other frames


def test_the_clock_of_its_database_can_be_turned(airflow: RunningAirflow) -> None:
    ahead = "select extract(epoch from now() - pg_catalog.now()) as seconds"
    assert airflow.sql(ahead) == [{"seconds": 0}]
    airflow.turn_clock(3600.5)
    assert airflow.sql(ahead) == [{"seconds": 3600.5}]
    airflow.turn_clock(0)
    assert airflow.sql(ahead) == [{"seconds": 0}]


@pytest.mark.parametrize("version", LIVE)
def test_nothing_outlives_its_owner(version: str, tmp_path: Path) -> None:
    require(version)
    with subprocess.Popen(["sleep", "300"]) as owner:
        airflow = RunningAirflow(version, tmp_path, owner=owner.pid)
        airflow.begin()
        command = eventually(lambda: [line for line in processes_of(tmp_path) if "commands.py" in line])[0]
        database = Path(command.split()[-1]).parent
        assert processes_of(database)
        owner.send_signal(signal.SIGKILL)
        eventually(lambda: not processes_of(tmp_path) and not processes_of(database))
    eventually(lambda: not database.exists())
    airflow.stop()


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    require(LIVE[0])
    environment = {"PYTHONHOME": str(tmp_path)}
    with pytest.raises(AirflowFailed, match="Python"), RunningAirflow(LIVE[0], tmp_path, environment=environment):
        pass
    assert processes_of(tmp_path) == []

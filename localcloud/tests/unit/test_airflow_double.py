"""The double by its own clock: what time does to runs, and the traps that callers must know.

That it answers like a real Airflow is compared in localcloud/tests/airflow/test_double.py.
"""

import json
from typing import Any

import pytest

from localcloud.model.airflow import Airflow

V2, V3 = "2.10.3", "3.3.1"
DAGS = ({"dag_id": "load", "seconds": 60}, {"dag_id": "fails", "seconds": 5, "state": "failed"}, {
    "dag_id": "held", "is_paused": True}, {"dag_id": "broken", "has_import_errors": True})  # fmt: skip


class Time:
    now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


def start(airflow: Airflow, dag_id: str = "load", **body: Any) -> int:
    null = {"logical_date": None} if airflow.version == V3 else {}
    return airflow.rest("POST", f"/dags/{dag_id}/dagRuns", {}, {**null, **body})[0]


def states(airflow: Airflow) -> dict[str, str]:
    return {run.run_id: run.state for run in airflow.runs()}


@pytest.mark.parametrize("version", [V2, V3])
def test_runs_end_when_their_time_is_over(clock: Time, version: str) -> None:
    airflow = Airflow(version, clock, DAGS)
    assert [start(airflow, dag_run_id="a"), start(airflow, "fails", dag_run_id="b")] == [200, 200]
    assert states(airflow) == {"a": "running", "b": "running"}
    clock.now += 30
    assert states(airflow) == {"a": "running", "b": "failed"}
    clock.now += 31
    (run, _) = airflow.runs()
    assert (run.state, run.duration) == ("success", 60.0)


@pytest.mark.parametrize("version", [V2, V3])
def test_runs_of_a_paused_dag_wait_until_it_is_unpaused(clock: Time, version: str) -> None:
    airflow = Airflow(version, clock, DAGS)
    start(airflow, "held", dag_run_id="a")
    clock.now += 3600
    assert states(airflow) == {"a": "queued"}
    assert airflow.rest("PATCH", "/dags/held", {}, {"is_paused": False})[0] == 200
    clock.now += 2
    assert states(airflow) == {"a": "success"}
    (run,) = airflow.runs()
    assert run.start_date is not None
    assert run.start_date.timestamp() == pytest.approx(clock.now - 2, abs=0.01)


def test_a_logical_date_in_the_future_is_waited_for_on_2_only(clock: Time) -> None:
    for version, state in ((V2, "queued"), (V3, "running")):
        airflow = Airflow(version, clock, DAGS)
        start(airflow, dag_run_id="a", logical_date="2126-01-01T00:00:00Z")
        assert states(airflow) == {"a": state}


@pytest.mark.parametrize("version", [V2, V3])
def test_a_still_clock_makes_no_two_runs_one(clock: Time, version: str) -> None:
    airflow = Airflow(version, clock, DAGS)
    assert [start(airflow, dag_run_id=f"r{number}") for number in range(50)] == [200] * 50


@pytest.mark.parametrize("version", [V2, V3])
def test_a_dag_with_import_errors_is_refused_and_listed(clock: Time, version: str) -> None:
    airflow = Airflow(version, clock, DAGS)
    status, answer = airflow.rest("POST", "/dags/broken/dagRuns", {}, {"logical_date": None, "dag_run_id": "a"})
    assert status == 400
    assert "import errors" in answer["detail"]
    assert airflow.rest("GET", "/importErrors", {}, None)[1]["total_entries"] == 1


@pytest.mark.parametrize(("version", "page"), [(V2, 100), (V3, 50)])
def test_pages_are_clamped_but_for_the_list(clock: Time, version: str, page: int) -> None:
    airflow = Airflow(version, clock, DAGS)
    for number in range(120):
        start(airflow, "held", dag_run_id=f"r{number}")
    assert len(airflow.rest("GET", "/dags/held/dagRuns", {}, None)[1]["dag_runs"]) == page
    assert len(airflow.rest("GET", "/dags/held/dagRuns", {"limit": 5000}, None)[1]["dag_runs"]) == 100
    found = airflow.rest("POST", "/dags/~/dagRuns/list", {}, {"page_limit": 5000})[1]
    assert (len(found["dag_runs"]), found["total_entries"]) == (120, 120)
    found = airflow.rest("POST", "/dags/~/dagRuns/list", {}, {"page_offset": 100})[1]
    assert found["dag_runs"][0]["dag_run_id"] == "r100"


def test_two_commands_in_one_second_collide_on_2(clock: Time) -> None:
    """Their logical dates are cut to the second."""
    for version, code in ((V2, 1), (V3, 0)):
        airflow = Airflow(version, clock, DAGS)
        assert airflow.cli("dags trigger load -r a")[0] == 0
        assert airflow.cli("dags trigger load -r b")[0] == code


def test_the_answer_of_a_command_is_the_last_line(clock: Time) -> None:
    for version in (V2, V3):
        airflow = Airflow(version, clock, DAGS)
        _, out, _ = airflow.cli("dags trigger load -r a --conf '{\"n\": 1}' -o json")
        first, *_, last = out.decode().splitlines()
        assert not first.startswith("[{")
        assert json.loads(last)[0]["conf"] == {"n": "1"}


def test_what_the_double_does_not_know_it_says(clock: Time) -> None:
    for version in (V2, V3):
        with pytest.raises(NotImplementedError, match="/variables"):
            Airflow(version, clock).rest("GET", "/variables", {}, None)

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from bench import runs, runs_row, runs_scale
from bench.results import NotMeasured
from bench.runs_row import Pair
from bench.runs_scale import REST, ask, opened
from localcloud.airflow import installed
from localcloud.model.airflow import Airflow
from tests.support.runs.hub import deployed
from tests.support.stage import Stage

SIZE = 60


# ------------------------------------------------------------------------------------------------------------- at scale
def test_all_start_once_and_what_is_throttled_recovers() -> None:
    with opened(["400000000000"]) as (simulated, environments):
        alone = ask(simulated, environments, 1)
    assert (alone.calls[REST], alone.throttled.total(), alone.not_once) == (2, 0, 0)
    with opened(["400000000000"]) as (simulated, environments):
        crowd = ask(simulated, environments, SIZE, in_a_row=True)
    assert (crowd.dead, crowd.not_once) == (0, 0)
    assert crowd.throttled[REST] > 0
    assert crowd.calls[REST] - crowd.throttled[REST] >= 2 * SIZE
    assert crowd.seconds > alone.seconds


@pytest.mark.parametrize(("received", "dead"), [(1, SIZE), (100, 0)])
def test_what_is_given_up_is_counted(received: int, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one receive only, what the SDK's own retries do not get through is a dead letter, and a run is missing."""
    source = replace(runs_scale.ORDERED_AT, max_receives=received)
    monkeypatch.setattr(runs_scale, "ORDERED_AT", source)
    with opened(["400000000000"]) as (simulated, environments):
        crowd = ask(simulated, environments[:1], SIZE)
    assert crowd.dead == crowd.not_once
    assert 0 < crowd.dead < dead if dead else crowd.dead == 0


def test_a_doubled_run_is_found() -> None:
    with opened(["400000000000"]) as (simulated, environments):
        (first, *_) = environments
        body = {"dag_run_id": "another", "conf": {"number": 0}}
        simulated.stage.aws.airflow(first).rest("POST", "/dags/load/dagRuns", {}, body)
        assert ask(simulated, environments, 2).not_once == 1


def test_a_refused_call_has_no_figure() -> None:
    with opened(["400000000000"]) as (simulated, environments):
        simulated.stage.aws.switches["mwaa.rest_per_second"] = 0
        simulated.stage.aws.airflow(environments[0], [{"dag_id": "another"}])
        with pytest.raises(NotMeasured, match="RestApiClientException"):
            ask(simulated, environments, 2)


# ------------------------------------------------------------------------------------------------------- request to row
class FakeAirflow:
    """A double that is asked for its rows as a real Airflow's database is."""

    database = cold_door = ""

    def __init__(self, version: str) -> None:
        self.version = version
        seconds = count(time.time())  # Airflow 2's command line starts no two runs in one second
        self.double = Airflow(version, lambda: next(seconds), [{"dag_id": runs_row.DAG, "is_paused": True}])
        self.seen = 0

    def sql(self, _select: str) -> list[dict[str, Any]]:
        """The rows since the last look."""
        since, self.seen = self.seen, len(self.double.runs())
        return [{"at": time.time()}] * (self.seen - since)


@pytest.fixture(params=runs_row.VERSIONS)
def pair(request: pytest.FixtureRequest, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    airflow: Any = FakeAirflow(request.param)
    monkeypatch.setattr(runs_row, "Door", lambda _url: airflow.double)
    monkeypatch.setattr(runs_row, "query", lambda *_: "")
    with deployed(stage):
        yield Pair(airflow, runs_row._environment(stage, airflow), stage)


def test_both_start_a_run_each_by_its_own_way(pair: Pair) -> None:
    figures = runs_row._measure(pair, 3)
    version = pair.airflow.version.replace(".", "_")
    assert [one.name for one in figures] == [
        f"runs.request_to_row_{what}_{version}" for what in ("ratio", "seconds", "guide_seconds")
    ]
    ways = [run.triggered_by for run in pair.airflow.double.runs()]  # type: ignore[attr-defined]
    assert ways == ["rest_api", *["rest_api", "cli"] * 3]


@pytest.mark.parametrize("times", [0, 2])
def test_anything_but_one_row_is_no_figure(pair: Pair, times: int) -> None:
    invoke: Callable[[], object] = pair.guide()
    with pytest.raises(NotMeasured, match=f"{times} new runs"):
        pair.seconds_to_row(lambda: [invoke() for _ in range(times)])


def test_an_airflow_that_is_not_installed_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installed, "is_installed", lambda _version: False)
    with runs_row.starting() as airflows:
        assert runs_row.measure(airflows, 1) == []
    assert "make .tools/airflow-2.10.3/.ready" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------- cold starts
def test_the_forgetful_airflow_starts_the_same_run_again() -> None:
    airflow = runs.Forgetful("3.3.1", time.time, [{"dag_id": runs.DAG}])
    run = {"dag_run_id": "run-1", "logical_date": None}
    answers = [airflow.rest("POST", f"/dags/{runs.DAG}/dagRuns", {}, run)[0] for _ in range(2)]
    assert answers == [200, 200]

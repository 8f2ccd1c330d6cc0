"""The listener in real schedulers: what it tells, what it costs them, and what another one would have done to them."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import fastjsonschema
import pytest

from groundcrew.events import schema
from localcloud.airflow import installed
from localcloud.testing.airflows import LIVE, require
from localcloud.testing.waiting import eventually
from tests.airflow.listener.stage import RUNS, Stage, open_stage, p99
from tests.support.figures import Figure
from tests.support.listener.imports import IMPORTS

pytestmark = pytest.mark.xdist_group("airflow")

HOOK_US = 2000
"""In processor time whatever else the machine does, and in wall time where nothing interrupted the call: the process's
own threads count, another process's turn does not.
"""
HEALTHY_SECONDS = 30.0
"""``scheduler_health_check_threshold``: Airflow takes a scheduler for dead after so long without a heartbeat."""


@pytest.fixture(scope="module", params=LIVE)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    require(request.param)
    with open_stage(request.param, tmp_path_factory.mktemp("listener")) as stage:
        yield stage


def test_a_run_is_told_as_it_starts_and_as_it_ends(stage: Stage) -> None:
    run_id = stage.trigger(conf={"to": "you"})
    eventually(lambda: len(stage.told(run_id)) == 2)
    validate = fastjsonschema.compile(schema("dag-run-state-change.json"))
    for state, told in stage.told(run_id).items():
        validate(told)
        assert (told["dag_id"], told["state"], told["run_type"]) == ("told", state, "manual")
        assert told["environment"] == {"account": "222222222222", "region": "us-east-1", "name": "orders"}
        assert told["conf"] == {"to": "you"}
        assert told["airflow_version"] == stage.airflow.version
        assert told["start_date"]
        assert (told["logical_date"] is None) == stage.airflow.version.startswith("3.")
    assert stage.told(run_id)["success"]["end_date"]
    assert stage.told(run_id)["running"]["end_date"] is None


def test_a_run_that_somebody_marks_is_told_by_airflow_3_only(stage: Stage) -> None:
    run_id = stage.trigger("paused")
    stage.rest("PATCH", f"/dags/paused/dagRuns/{run_id}", {"state": "failed"})
    if stage.airflow.version.startswith("2."):
        run_id = stage.trigger()
        eventually(lambda: stage.told(run_id))
        assert "paused" not in {told["dag_id"] for told in stage.bus.details}
    else:
        eventually(lambda: "failed" in stage.told(run_id))


@contextmanager
def situation(stage: Stage, name: str) -> Iterator[None]:
    """What the listener meets meanwhile."""
    with ExitStack() as after:
        if name == "slow":
            stage.bus.mood = "silent"
            after.callback(stage.bus.release)
            after.callback(setattr, stage.bus, "mood", "takes")
        if name == "unreachable":
            after.enter_context(stage.bus.out_of_reach())
        if name == "faults":
            (stage.probe / "faults").touch()
            after.callback((stage.probe / "faults").unlink)
        yield


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("reached", ()),
        ("slow", ("ReadTimeoutError",)),
        # The botocore of Airflow 2.7 tries a connection once more that was closed meanwhile; one that waits in the
        # backlog is there, and nobody reads what is sent on it.
        ("unreachable", ("ConnectTimeoutError", "ConnectionClosedError", "ReadTimeoutError")),
        ("faults", ()),
    ],
    ids=["reached", "slow", "unreachable", "faults"],
)
def test_the_scheduler_does_not_notice_it(stage: Stage, name: str, loss: tuple[str, ...], figure: Figure) -> None:
    with situation(stage, name):
        calls = stage.flood(name)
        assert not loss or eventually(lambda: stage.losses() and stage.losses()[-1] in loss)
    assert not loss or eventually(lambda: stage.losses()[-1] == "again")
    gap = stage.longest_gap()
    waited = sum(call["waited"] for call in calls)
    processor = p99(call["cpu"] for call in calls)
    undisturbed = p99(call["us"] for call in calls if not call["preempted"])
    for what, value in {
        "calls": len(calls),
        "calls that waited": waited,
        "p99 of processor time, us": processor,
        "p99 of the calls that nothing interrupted, us": undisturbed,
        "p99 of all calls, us": p99(call["us"] for call in calls),
        "interrupted calls": sum(call["preempted"] for call in calls),
        "longest between heartbeats, ms": gap * 1000,
    }.items():
        figure(f"listener, {stage.airflow.version}, {name}: {what}", round(value))
    assert len(calls) == 2 * RUNS
    assert [call for call in calls if call["escaped"]] == []
    assert waited <= len(calls) / 100
    assert processor < HOOK_US
    assert undisturbed < HOOK_US
    assert gap < HEALTHY_SECONDS / 2
    if name == "reached":
        eventually(lambda: sum(told["dag_id"].startswith(name) for told in stage.bus.details) == 2 * RUNS)
    if name == "faults":
        assert len({call["at"] for call in calls} - {""}) >= 8


def test_after_the_import_nothing_else_is_imported(stage: Stage) -> None:
    """As in ``tests/unit/listener``, with the botocore of this Airflow."""
    python = installed.environment(stage.airflow.version) / "bin/python"
    environment = stage.bus.environment() | {"PYTHONPATH": f"{stage.site}:{installed.ROOT}"}
    done = subprocess.run([python, "-c", IMPORTS], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "(3, '')\n(0, 'EndpointConnectionError')\n[]\n"


def test_after_all_that_it_still_tells(stage: Stage) -> None:
    run_id = stage.trigger()
    eventually(lambda: "success" in stage.told(run_id))
    assert set(stage.airflow.processes().values()) == {None}


def test_a_listener_that_raises_ends_the_scheduler_of_airflow_2(stage: Stage) -> None:
    """The control, and the last one: on Airflow 2 there is no scheduler after it."""
    (stage.probe / "raises").touch()
    run_id = stage.trigger()

    def state() -> Any:
        return stage.rest("GET", f"/dags/told/dagRuns/{run_id}")["state"]

    if stage.airflow.version.startswith("2."):
        eventually(lambda: stage.airflow.processes()["scheduler"] is not None)
        assert state() == "queued"
    else:
        eventually(lambda: state() == "success")
        assert stage.airflow.processes()["scheduler"] is None

"""The hooks: what they tell, and that nothing leaves them but what ends the process anyhow."""

import logging
import subprocess
import sys

import pluggy
import pytest

from groundcrew_listener import hooks
from groundcrew_listener.event import Change
from localcloud.testing.waiting import eventually
from tests.support.bus import ACCOUNT, Bus
from tests.support.listener.runs import Run

HOOKS = {"running": hooks.on_dag_run_running, "success": hooks.on_dag_run_success, "failed": hooks.on_dag_run_failed}


class Spec:
    """As in airflow/listeners/spec/dagrun.py, 2.7.2 to 3.3.1."""

    hookspec = pluggy.HookspecMarker("airflow")

    @hookspec
    def on_dag_run_running(self, dag_run: object, msg: str) -> None: ...
    @hookspec
    def on_dag_run_success(self, dag_run: object, msg: str) -> None: ...
    @hookspec
    def on_dag_run_failed(self, dag_run: object, msg: str) -> None: ...


def test_airflow_calls_the_hooks(bus: Bus) -> None:
    manager = pluggy.PluginManager("airflow")
    manager.add_hookspecs(Spec)
    manager.register(hooks)
    for state in HOOKS:
        getattr(manager.hook, f"on_dag_run_{state}")(dag_run=Run(), msg="why")
    eventually(lambda: len(bus.entries) == len(HOOKS))
    assert [detail["state"] for detail in bus.details] == list(HOOKS)


def test_an_event_says_whose_it_is(bus: Bus) -> None:
    hooks.on_dag_run_success(Run())
    eventually(lambda: bus.entries)
    assert (bus.entries[0]["Source"], bus.entries[0]["DetailType"]) == ("groundcrew.airflow", "DAG Run State Change")
    assert "EventBusName" not in bus.entries[0]
    assert bus.details[0]["environment"] == {"account": ACCOUNT, "region": "us-east-1", "name": "orders"}
    assert bus.details[0]["airflow_version"] == "2.10.3"


@pytest.mark.parametrize("column", ["dag_id", "run_id", "start_date"])
def test_a_run_that_cannot_be_read_is_lost_alone(column: str, bus: Bus) -> None:
    hooks.on_dag_run_success(Run(**{column: {}}))
    hooks.on_dag_run_success(Run())
    eventually(lambda: bus.entries)
    assert [detail["run_id"] for detail in bus.details] == ["manual__1"]


def test_what_fails_in_a_hook_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        hooks.on_dag_run_success(object())
    assert [record.getMessage() for record in caplog.records] == [
        "a run state was lost in its hook, there may be more reason=TypeError"
    ]


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_passes(signal: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(*_: object) -> None:
        raise signal

    monkeypatch.setattr(Change, "of", handler)
    with pytest.raises(signal):
        hooks.on_dag_run_success(Run())


def test_outside_of_mwaa_it_is_off_and_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_ENV_NAME", raising=False)
    monkeypatch.delenv("GROUNDCREW_ENVIRONMENT_ARN", raising=False)
    caplog.set_level(logging.INFO, "groundcrew_listener")
    hooks.on_dag_run_success(Run())
    outbox = next(iter(hooks.OUTBOXES.values()))
    eventually(lambda: outbox._off and caplog.records)  # it says so after it is off
    for _ in range(100):
        hooks.on_dag_run_success(Run())
    assert [record.getMessage() for record in caplog.records] == [
        "run states are not reported reason=AIRFLOW_ENV_NAME or AWS_REGION is missing"
    ]


def test_to_import_it_does_nothing() -> None:
    """MWAA imports plugins in every process, each task's included."""
    code = (
        "import sys, threading; import groundcrew_listener.hooks as hooks\n"
        "assert threading.active_count() == 1 and not hooks.OUTBOXES\n"
        "assert not {'botocore', 'boto3', 'airflow', 'groundcrew_listener.bus'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": "layers/airflow/plugins"})

"""The local cloud as a process: it comes up, says so, and goes without a trace."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.__main__ import ROOT, down, up
from localcloud.aws import Aws
from localcloud.client import Client, ControlError
from localcloud.testing.machines import Machine, states
from localcloud.testing.served import HUB, LocalCloud, unique
from localcloud.testing.waiting import eventually


def command(directory: Path, what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "localcloud", what, "--directory", directory], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def processes_of(group: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            found.append(stat.parent.name)
    return found


def test_up_status_down(tmp_path: Path) -> None:
    assert command(tmp_path, "status").returncode == 1
    assert command(tmp_path, "up").returncode == 0
    state = json.loads((tmp_path / "state.json").read_text())
    assert up(tmp_path).endpoint == state["endpoint"]  # the one that runs
    assert HUB in json.loads(command(tmp_path, "status").stdout)["accounts"]
    assert processes_of(state["pid"])
    assert command(tmp_path, "down").returncode == 0
    assert not processes_of(state["pid"])
    assert not (tmp_path / "scratch").exists()
    assert command(tmp_path, "down").stdout.strip() == "Nothing was running."


def test_a_server_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALCLOUD_RUNTIME_PYTHON", str(tmp_path / "no-python"))
    with pytest.raises(RuntimeError, match="no-python"):
        up(tmp_path)
    assert not down(tmp_path)


def test_reset_empties_the_cloud(tmp_path: Path) -> None:
    control = up(tmp_path)
    cloud = LocalCloud(control, Aws(control))
    try:
        name = unique("queue")
        cloud.client("sqs").create_queue(QueueName=name)
        control.advance(3600)
        control.add_fault(role=".*", action=".*", kind="throttle")
        control.reset()
        assert control.next_call() == 0
        assert control.faults() == []
        assert not cloud.client("sqs").list_queues().get("QueueUrls")
    finally:
        assert down(tmp_path)


def test_reset_ends_every_execution_and_its_thread(tmp_path: Path) -> None:
    control = up(tmp_path)
    cloud = LocalCloud(control, Aws(control))
    threads = Path(f"/proc/{json.loads((tmp_path / 'state.json').read_text())['pid']}/task")
    try:
        machine = Machine(cloud, states(Pause={"Type": "Wait", "Seconds": 86400, "End": True}))
        before = len(list(threads.iterdir()))
        for _number in range(20):
            machine.start()
        eventually(lambda: len(list(threads.iterdir())) >= before + 20)
        control.reset()
        eventually(lambda: len(list(threads.iterdir())) < before + 5)
        assert cloud.client("stepfunctions").list_state_machines()["stateMachines"] == []
    finally:
        assert down(tmp_path)


def test_an_unknown_door_is_an_error(cloud: LocalCloud) -> None:
    with pytest.raises(ControlError, match="no such door"):
        cloud.control._ask("nothing")
    with pytest.raises(ControlError, match="ValueError"):
        cloud.control.session(f"arn:aws:iam::{HUB}:role/nobody")


def test_nobody_answers_on_a_closed_port() -> None:
    with pytest.raises(ControlError):
        Client("http://127.0.0.1:9").status()


def test_the_server_binds_to_this_machine_only(cloud: LocalCloud) -> None:
    port = int(cloud.control.endpoint.rsplit(":", 1)[1])
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [fields[1] for fields in lines if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == port]
    assert listening == [f"0100007F:{port:04X}"]

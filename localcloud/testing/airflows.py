"""Real Airflows, each started when a test first asks for it and kept until the last one is done.

They belong to one worker: every module that uses them says ``pytestmark = pytest.mark.xdist_group("airflow")``.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from localcloud.airflow import installed
from localcloud.airflow.running import RunningAirflow

LIVE = os.environ.get("LIVE_AIRFLOWS", "2.10.3 3.3.1").split()  # `make test-matrix` sets more


def live(major: str) -> list[Any]:
    """Those of one major version, as parameters; without any, one that is skipped."""
    none = pytest.param(f"{major}x", marks=pytest.mark.skip(reason=f"no Airflow {major}x is among LIVE_AIRFLOWS"))
    return [version for version in LIVE if version.startswith(major)] or [none]


Airflows = Callable[[str], RunningAirflow]


def require(version: str) -> None:
    """Skip where this version cannot be: Airflow 2 ends with Python 3.12."""
    if version.startswith("2.") and sys.version_info >= (3, 13) and not installed.is_installed(version):
        pytest.skip(f"Airflow {version} needs Python 3.11 or 3.12, and this machine has neither")


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes that work in this folder, or were told its name."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where, command = (process / "cwd").readlink(), (process / "cmdline").read_text()
        except OSError:
            continue  # it has just ended
        if where.is_relative_to(folder) or str(folder) in command:
            found.append(command.replace("\0", " "))
    return found


@pytest.fixture(scope="session")
def airflows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflows]:
    """``airflows("2.10.3")``: the running Airflow of that version, with the sample DAGs."""
    running: dict[str, RunningAirflow] = {}
    with ExitStack() as last:

        def one(version: str) -> RunningAirflow:
            if version not in running:
                require(version)
                directory = tmp_path_factory.mktemp(f"airflow-{version}-")
                environment = {"AIRFLOW_ENV_NAME": "data"}
                running[version] = last.enter_context(RunningAirflow(version, directory, environment=environment))
            return running[version]

        yield one
    for airflow in running.values():
        assert processes_of(airflow.directory) == []


@pytest.fixture(params=LIVE)
def airflow(request: pytest.FixtureRequest, airflows: Airflows) -> RunningAirflow:
    """Each live version in turn."""
    return airflows(request.param)

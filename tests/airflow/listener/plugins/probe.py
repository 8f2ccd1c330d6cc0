"""A plugin for tests: measures each call of the listener's hooks, and makes them fail where it is told to.

``PROBE`` is a folder: ``calls`` gets a line for each call; while there is a file ``faults``, each call fails at another
line of the listener; while there is a file ``raises``, a listener that is not guarded raises.
"""

import json
import os
import resource
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from groundcrew_listener import hooks
from tests.support.listener.faults import PACKAGE, Fault, idle

FOLDER = Path(os.environ["PROBE"])
turns: Counter[str] = Counter()
"""How many calls of a hook were made to fail since it ran whole."""


def measured(name: str) -> Callable[[Any], None]:
    hook = getattr(hooks, name)

    def wrapper(dag_run: Any) -> None:
        turns[name] += 1
        fault = Fault(turns[name]) if (FOLDER / "faults").exists() else None
        escaped = ""
        with fault.here() if fault else nullcontext():
            before = resource.getrusage(resource.RUSAGE_THREAD)
            cpu, start = time.process_time_ns(), time.perf_counter_ns()
            try:
                hook(dag_run)
            except Exception as error:
                escaped = repr(error)
            took, cpu = time.perf_counter_ns() - start, time.process_time_ns() - cpu
            after = resource.getrusage(resource.RUSAGE_THREAD)
        at = fault.at if fault else ""
        if not at:
            turns[name] = 0
        line = {
            "dag": dag_run.dag_id,
            "us": took / 1000,
            "cpu": cpu / 1000,  # of all threads, so also of the listener's if it got in between
            "preempted": after.ru_nivcsw > before.ru_nivcsw,
            "waited": after.ru_nvcsw > before.ru_nvcsw,
            "at": at,
            "escaped": escaped,
        }
        with (FOLDER / "calls").open("a") as calls:
            calls.write(json.dumps(line) + "\n")
        if (FOLDER / "raises").exists():
            raise RuntimeError("a listener that is not guarded")

    return wrapper


for file in PACKAGE.glob("*.py"):
    idle(str(file))  # it keeps what it found, so no call of a hook pays for that
for name in ("on_dag_run_running", "on_dag_run_success", "on_dag_run_failed"):
    setattr(hooks, name, hooks.hookimpl(measured(name)))


class Probe(AirflowPlugin):  # type: ignore[misc]
    """Airflow looks for one in every file of the folder."""

    name = "probe"

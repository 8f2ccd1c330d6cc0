"""The hooks, which Airflow calls in its scheduler before it commits (3.x: in its API server too, when somebody marks
a run).

On Airflow 2.x an exception that leaves a hook ends the scheduler, and again when it is restarted. So each hook is one
guarded step that neither waits nor reaches for the database. What is no ``Exception`` passes: it is the scheduler's own
signal handler that ends the process (``SystemExit``), or ``KeyboardInterrupt``.
"""

import logging
import os
from collections.abc import Callable
from functools import cache
from typing import Any

from pluggy import HookimplMarker

from groundcrew_listener.event import Change
from groundcrew_listener.outbox import Outbox

OUTBOXES: dict[int, Outbox] = {}
"""By process id: a forked process must neither send what its parent has not sent, nor wait for its parent's thread."""

Hook = Callable[[Any], None]

log = logging.getLogger("groundcrew_listener")
hookimpl = HookimplMarker("airflow")


def _hook(state: str) -> Hook:
    """A hook for runs that have come to this state. It leaves out Airflow's ``msg``, as pluggy allows."""

    def hook(dag_run: Any) -> None:
        try:
            change = Change.of(dag_run, state)
            pid = os.getpid()
            outbox = OUTBOXES.get(pid) or OUTBOXES.setdefault(pid, Outbox())
            outbox.put(change)
        except Exception as error:
            try:  # noqa: SIM105 - making a ``suppress`` could fail outside of it
                _say_once(type(error).__name__)
            except Exception:  # noqa: S110 - not even a broken log handler may end the scheduler
                pass

    return hook


@cache
def _say_once(reason: str) -> None:
    log.warning("a run state was lost in its hook, there may be more reason=%s", reason)


on_dag_run_running = hookimpl(_hook("running"))
on_dag_run_success = hookimpl(_hook("success"))
on_dag_run_failed = hookimpl(_hook("failed"))

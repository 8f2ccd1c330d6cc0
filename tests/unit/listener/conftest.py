import os
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from groundcrew_listener import hooks
from tests.support.bus import Bus, open_bus
from tests.support.listener.runs import end


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    """A bus, and the environment variables of an MWAA environment that reports to it."""
    with open_bus() as bus:
        for name, value in bus.environment().items():
            monkeypatch.setenv(name, value)
        yield bus


@pytest.fixture(autouse=True)
def _airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As much of Airflow as the listener asks for, and a process that has not run a hook yet."""
    version = ModuleType("airflow.version")
    version.version = "2.10.3"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "airflow", ModuleType("airflow"))
    monkeypatch.setitem(sys.modules, "airflow.version", version)
    hooks._say_once.cache_clear()
    yield
    if outbox := hooks.OUTBOXES.pop(os.getpid(), None):
        end(outbox)

"""The way to the bus: how much at once, what is tried again, and what is not."""

import subprocess
import sys
import time
from typing import Any

import pytest

from groundcrew_listener.bus import Bus, batches
from groundcrew_listener.environment import Environment
from groundcrew_listener.event import LARGEST_CONF, entry
from tests.support import bus as fake
from tests.support.listener.imports import IMPORTS
from tests.support.listener.runs import change


@pytest.fixture
def line(bus: fake.Bus, monkeypatch: pytest.MonkeyPatch) -> Bus:
    """A connection to the bus; it does not pause between its tries."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return Bus(Environment.here(), "3.3.1")


def test_changes_go_out_together(line: Bus, bus: fake.Bus) -> None:
    assert line.put([change(run_id=str(number)) for number in range(10)]) == (10, "")
    assert (bus.calls, [told["run_id"] for told in bus.details]) == (1, [str(number) for number in range(10)])


def test_as_many_as_fit_into_a_call() -> None:
    large = change(conf={"a": "x" * (LARGEST_CONF - 100)})
    entries = [entry(large, Environment("222222222222", "us-east-1", "orders"), "3.3.1") for _ in range(10)]
    assert [len(batch) for batch in batches(entries)] == [3, 3, 3, 1]
    assert all(sum(len(one["Detail"]) for one in batch) < 256_000 for batch in batches(entries))


def test_what_was_not_taken_is_tried_again(line: Bus, bus: fake.Bus) -> None:
    bus.mood = "takes half"
    assert line.put([change(run_id=str(number)) for number in range(10)]) == (9, "InternalFailure")
    assert bus.calls == 3
    assert len({told["run_id"] for told in bus.details}) == 9


@pytest.mark.parametrize(("mood", "code"), [("throttles", "ThrottlingException"), ("denies", "AccessDeniedException")])
def test_a_refusal_is_tried_again_twice(mood: str, code: str, line: Bus, bus: fake.Bus) -> None:
    bus.mood = mood
    assert line.put([change()]) == (0, code)
    assert bus.calls == 3


def test_what_may_have_been_taken_is_not_tried_again(line: Bus, bus: fake.Bus) -> None:
    bus.mood = "hangs up"
    assert line.put([change()]) == (0, "ConnectionClosedError")
    bus.mood = "silent"
    assert line.put([change()]) == (0, "ReadTimeoutError")
    assert bus.calls == 2


def test_its_client_waits_seconds_and_never_tries_again_by_itself(line: Bus) -> None:
    config: Any = line._client.meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (1, 3, 1)


def test_a_bus_out_of_reach_is_given_up(line: Bus, bus: fake.Bus) -> None:
    with bus.out_of_reach():
        assert line.put([change()]) == (0, "ConnectTimeoutError")
    assert line.put([change()]) == (1, "")


def test_sts_is_asked_for_the_account_only_where_nobody_says_it(bus: fake.Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    Bus(Environment.here(), "3.3.1").put([change()])
    monkeypatch.setenv("CUSTOMER_ACCOUNT_ID", "333333333333")
    Bus(Environment.here(), "3.3.1").put([change()])
    assert [told["environment"]["account"] for told in bus.details] == [fake.ACCOUNT, "333333333333"]
    assert bus.identities == 1


def test_after_the_import_nothing_else_is_imported(bus: fake.Bus) -> None:
    """``outbox`` keeps a fork from falling into the import of this module, and into no other."""
    environment = bus.environment() | {"PYTHONPATH": "layers/airflow/plugins:."}
    done = subprocess.run([sys.executable, "-c", IMPORTS], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "(3, '')\n(0, 'EndpointConnectionError')\n[]\n"

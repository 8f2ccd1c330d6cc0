"""Of what the outside engine's receipt covers nothing is believed either: environments may write where it lies."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from exports import outside
from exports.order import Order
from exports.receipt import SKEW, Receipt
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from tests.support.exports.outside_world import World

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def world() -> World:
    made = World("3.3.1")
    made.log()
    made.seconds += 120
    return made


def read(world: World, change: Change = lambda _receipt: None) -> Receipt:
    """An export of three tables, one of which is listed whole, and what is read of its receipt."""
    since = (world.now - timedelta(hours=1)).isoformat()
    begins: dict[str, str | None] = {"log": since, "task_instance": None, "job": since}
    ordered_at = world.now
    receipt = world.export(begins)
    change(receipt)
    order = Order(
        environment=EnvironmentRef(**receipt["environment"]),
        export_id=receipt["export_id"],
        policy="daily",
        correlation_id="x",
        ordered_at=ordered_at,
        engine="outside",
        airflow_version=world.version,
        tables={name: {"from": at, "until": None} for name, at in begins.items()},
    )
    return Receipt.read(json.dumps(receipt).encode(), order, world.now)


def test_what_was_read_is_what_is_covered(world: World) -> None:
    receipt = read(world)
    windows = {one.table.name: one.window for one in receipt.tables}
    settled = (receipt.snapshot_at - outside.SETTLED).isoformat()
    assert windows["log"]["until"] == windows["task_instance"]["until"] == settled
    assert windows["task_instance"]["from"] is None
    assert windows["job"] == {"column": None, "from": None, "until": None}


def _window(table: str, **said: str | None) -> Change:
    return lambda receipt: receipt["tables"][table]["window"].update(said)


@pytest.mark.parametrize(
    "change",
    [
        _window("log", until="2099-01-01T00:00:00+00:00"),
        _window("log", until=None),
        _window("log", column="logical_date"),
        _window("job", column="latest_heartbeat", until="2026-11-01T00:00:00+00:00"),
        lambda receipt: receipt.update(snapshot_at="2099-01-01T00:00:00+00:00"),
        lambda receipt: receipt.update(snapshot_at="2020-01-01T00:00:00+00:00"),
    ],
)
def test_what_was_not_ordered_is_refused(world: World, change: Change) -> None:
    with pytest.raises(PermanentError) as refused:
        read(world, change)
    assert refused.value.cause == "BadReceipt"


def test_clocks_may_differ_a_little(world: World) -> None:
    def late(receipt: dict[str, Any]) -> None:
        at = world.now + SKEW
        receipt["snapshot_at"] = at.isoformat()
        for name in ("log", "task_instance"):
            receipt["tables"][name]["window"]["until"] = (at - outside.SETTLED).isoformat()

    assert read(world, late).snapshot_at == world.now + SKEW

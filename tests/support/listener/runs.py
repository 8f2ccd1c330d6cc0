"""A run as the hooks get it."""

from datetime import UTC, datetime
from typing import Any

from groundcrew_listener.event import Change
from groundcrew_listener.outbox import Outbox
from localcloud.testing.waiting import eventually

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Run:
    """A run as a hook gets it: what is loaded lies in ``__dict__``, anything else would ask the database."""

    def __init__(self, **columns: Any) -> None:
        defaults = {
            "dag_id": "orders_daily",
            "run_id": "manual__1",
            "run_type": "manual",
            "logical_date": START,
            "start_date": START,
            "end_date": None,
            "clear_number": 0,
            "conf": {"day": "2026-11-22"},
        }
        vars(self).update(defaults | columns)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the hook asks the database for {name}")


def change(state: str = "success", **columns: Any) -> Change:
    return Change.of(Run(**columns), state)


def end(box: Outbox) -> None:
    """End a box's thread, and do not leave before it is gone."""
    while not box._queue.empty():
        box._queue.get()
    box.close()
    assert box._thread is None or eventually(lambda: not box._running())

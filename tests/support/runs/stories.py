"""Builders for the planner's tests: what matters to a story is said in it, the rest is here."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.ways.seen import Run
from runs.order import Order
from runs.plan import Plan, Seen
from runs.planner import decide, note

REF = EnvironmentRef("222222222222", "us-east-1", "data")
ASKED = datetime(2026, 11, 22, 12, tzinfo=UTC)
DATE = datetime(2026, 11, 1, tzinfo=UTC)
LATER = ASKED + timedelta(minutes=5)
EXPIRY = ASKED + timedelta(hours=6)


def order(**changes: Any) -> Order:
    """Somebody in the environment's account wants a run of `load`."""
    usual = Order(
        environment=REF,
        request_id="ticket-1",
        dag_id="load",
        run_id="groundcrew__ticket-1",
        conf={"day": "2026-11-21"},
        logical_date=None,
        note="",
        if_paused="reject",
        expires_at=EXPIRY,
        wait=False,
        sender=REF.account,
        correlation_id="event-1",
        requested_at=ASKED,
    )
    return replace(usual, **changes)


def environment(**changes: Any) -> Environment:
    """An environment that can be asked."""
    usual = Environment(ref=REF, arn=REF.arn("aws"), status="AVAILABLE", airflow_version="2.10.3")
    return replace(usual, **changes)


def run(**changes: Any) -> Run:
    """The order's run, as the REST API shows it."""
    usual = Run(
        run_id="groundcrew__ticket-1",
        state="queued",
        conf={"day": "2026-11-21"},
        note=note(order()),
        logical_date=LATER,
        created_at=LATER,
    )
    return replace(usual, **changes)


def foreign(**changes: Any) -> Run:
    """A run with the order's id that somebody else has started."""
    return run(**({"note": "by hand", "state": "running", "start_date": LATER} | changes))


def next_step(now: datetime = LATER, asked: Order | None = None, status: str = "AVAILABLE", **seen: Any) -> Plan:
    """What is to be done next, having seen this."""
    about = environment(status=status, tags=seen.pop("tags", {}))
    return decide(asked or order(), Seen(about, **seen), now)

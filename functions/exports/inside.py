"""The inside engine, from outside: its DAG is shipped, known, started and followed until its receipt is there."""

import json
from dataclasses import replace
from datetime import datetime, timedelta

from exports.order import Order
from groundcrew.environment import Environment
from groundcrew.errors import GroundcrewError, PermanentError
from groundcrew.observability import logger
from groundcrew.shipping import Shipping, place, source
from groundcrew.ways.reach import Reach
from groundcrew.ways.seen import RunRef, Start

DAG = "groundcrew_export"
FILES = ("groundcrew_export.py", "groundcrew_metadata", ".airflowignore")

PARSED_WITHIN = timedelta(minutes=30)
"""How long the scheduler may take to know a DAG that was shipped: MWAA copies the folder every 30 seconds, Airflow
lists it every five minutes (guide L4030, ``[scheduler] dag_dir_list_interval``).
"""

SPREAD_SECONDS = 90
"""How long a change of a DAG that is known already takes to reach every worker."""

ENDED_WITHIN = timedelta(hours=8)
"""How long a run may take, with the time that it waits for a worker; the DAG gives itself half of that."""

RUNS = 3
"""How many runs are tried before it is given up for now."""

SHORTEST_WAIT, LONGEST_WAIT = 10, 300
"""Seconds between two looks; a quarter of the time that has passed in between."""


def ship(order: Order, shipping: Shipping, bucket: str, owner: str, now: datetime) -> Order:
    """Have the DAG in the environment's folder."""
    where = json.dumps(place(order.environment, bucket, owner, order.opt_in), indent=1).encode()
    done = shipping.ship({**source(*FILES), "place.json": where})
    logger.info("shipped", put=len(done.put), removed=len(done.remove), reason=done.reason)
    return replace(order, shipped_at=now.isoformat(), next="extract", seconds=SPREAD_SECONDS if done.replaces else 0)


def follow(order: Order, environment: Environment, reach: Reach, now: datetime, redrives: int) -> Order:
    """Start the run, or look at it; the order goes to ``verify`` once it has succeeded.

    Raises:
        PermanentError: the scheduler does not get to know the DAG, or no run succeeds.
    """
    number = order.attempt + redrives * RUNS
    run_id = f"groundcrew__{order.export_id}" + (f"__{number}" if number else "")
    ref = RunRef(DAG, run_id, order.ordered_at)
    run, _ = reach.ask(lambda way: way.run(ref, of_any_age=True))
    if run is None:
        return _begin(order, environment, reach, ref, now)
    logger.info("looked", run_id=run_id, state=run.state)
    if not run.ended:
        # Airflow's clock may be another one: no run is older than its order.
        began = max(order.ordered_at, run.created_at or run.start_date or order.ordered_at)
        if now - began > ENDED_WITHIN:
            raise _failed(f"{run_id} is {run.state} since {began.isoformat()}", "ExtractTooSlow")
        waited = (now - began).total_seconds()
        return replace(order, next="extract", seconds=round(min(LONGEST_WAIT, max(SHORTEST_WAIT, waited / 4))))
    if run.state == "success":
        return replace(order, next="verify", seconds=0)
    if order.attempt + 1 < RUNS:
        return replace(order, attempt=order.attempt + 1, next="extract", seconds=SHORTEST_WAIT)
    raise _failed(f"{RUNS} runs of {DAG} have failed, the last is {run_id}", "ExtractFailed")


def _begin(order: Order, environment: Environment, reach: Reach, ref: RunRef, now: datetime) -> Order:
    dag, _ = reach.ask(lambda way: way.dag(DAG))
    if dag is None:
        shipped_at = datetime.fromisoformat(str(order.shipped_at))
        if now - shipped_at > PARSED_WITHIN:
            raise PermanentError(
                f"the scheduler of {environment.ref} does not know {DAG} after {PARSED_WITHIN}{_broken(reach)}",
                cause="DagNeverParsed",
                remedy="Look into the log of the environment's DAG processor, then redrive the execution.",
            )
        return replace(order, next="extract", seconds=15)
    if dag.is_paused:
        reach.ask(lambda way: way.unpause(DAG))
    conf = {"export_id": order.export_id, "tables": order.tables}
    started, way = reach.ask(lambda way: way.start(Start(ref, conf, f"Groundcrew exports {order.export_id}")))
    logger.info("started", run_id=ref.run_id, way=way, new=started)
    return replace(order, next="extract", seconds=SHORTEST_WAIT)


def _broken(reach: Reach) -> str:
    try:
        files, _ = reach.ask(lambda way: way.import_errors())
    except GroundcrewError:
        return ""
    ours = [file for file in files if "groundcrew" in file]
    return f"; it cannot import {', '.join(ours)}" if ours else ""


def _failed(what: str, cause: str) -> PermanentError:
    return PermanentError(
        what, cause=cause, remedy="Read the log of its task export in that Airflow, then redrive the execution."
    )

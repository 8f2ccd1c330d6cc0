"""Part ``runs``: from request to run, and how many at once."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench import runs_row, runs_scale
from bench.aws_server import event_message
from bench.cold_start import compare
from bench.lambda_process import HUB, REGION, ROOT, Code, function_process
from bench.results import Figure, NotMeasured, figure
from bench.size import Size
from bench.world import SPOKE, Built, World, world
from localcloud.model.airflow import Airflow
from runs.request import LARGEST_CONF

BARE = Path(__file__).parent / "bare"
ROUTER, WORKER, FOLLOWER = "runs.router.handler", "runs.handler.handler", "runs.follow.handler"
ORDERS = f"https://sqs.{REGION}.amazonaws.com/{HUB}/groundcrew-runs"
DAG = "nightly_load"
PAIRS = 11

AT_ONCE, BATCH = 10_000, 10
LARGEST = 100
"""Environments that a request may name."""
MOST_MEMORY = 256
"""MB that a router may take: half of what the function has."""


def measure(built: Built, size: Size) -> list[Figure]:
    """All figures of this part; while real Airflow starts, what goes by other clocks than the machine's."""
    with runs_row.starting() as airflows:
        figures = runs_scale.measure(size.of(runs_scale.REQUESTS))
        figures += runs_row.measure(airflows, size.times(runs_row.PAIRS))
    return [*figures, *_crowd(built, size.of(AT_ONCE)), *_cold_starts(built, size.times(PAIRS))]


def _crowd(built: Built, at_once: int) -> list[Figure]:
    """Requests in one process of the router, one batch after the other; and then the ten largest there can be."""
    small = [_request(id=f"event-{number}") for number in range(at_once)]
    with world() as place, function_process(built.function(ROUTER), _variables(place, "runs-router")) as router:
        for start in range(0, at_once, BATCH):
            answer, at = router.invoke(event_message(*small[start : start + BATCH]))
            if answer["batchItemFailures"]:
                raise NotMeasured(f"the router answers {answer}")
        seconds, sent = at - router.started, len(place.aws.small.messages)
        named = [f"orders-{number}" for number in range(LARGEST)]
        huge = {"environments": named, "dag_id": DAG, "conf": {"text": "x" * (LARGEST_CONF - 11)}}
        router.invoke(event_message(*(_request(id=f"huge-{number}", detail=huge) for number in range(BATCH))))
        largest = len(place.aws.small.messages) - sent
        if (sent, largest) != (at_once, BATCH * LARGEST):
            raise NotMeasured(f"the router sent {sent} and {largest} orders")
        peak = router.peak_megabytes
    name = f"runs.router_{at_once}"
    return [
        figure(f"{name}_seconds", [seconds], "s", "one process, where five work; AWS answers at once"),
        figure(f"{name}_messages", [sent], "messages", "orders sent: one for each request", at_once),
        figure(f"{name}_peak_memory", [peak], "MB", f"and {BATCH} requests of {LARGEST} runs with 100 kB", MOST_MEMORY),
    ]


def _cold_starts(built: Built, pairs: int) -> list[Figure]:
    """One request for one environment, and its order; the DAG can run."""
    figures = []
    with world() as place:
        _run_airflow(place)
        now = datetime.now(UTC)
        times = {"expires_at": (now + timedelta(hours=6)).isoformat(), "wait": False}
        order = _example("dag-run-ordered")
        order |= {"time": now.isoformat(), "detail": order["detail"] | times}
        for name, function, handler, bare, message in (
            ("worker", "runs", WORKER, "bare_runs.handler", event_message(order)),
            ("router", "runs-router", ROUTER, "bare_router.handler", event_message(_request())),
            ("follower", "runs-follow", FOLLOWER, "bare_runs.follow", _watched(now)),
        ):
            ours, theirs = built.function(handler), Code(BARE, bare)
            variables = _variables(place, function)
            figures += compare(f"runs.{name}_cold_start", ours, theirs, place, variables, message, pairs=pairs)
    return figures


def _watched(now: datetime) -> dict[str, Any]:
    """The state in which the state machine hands a run to the follower."""
    return {
        "environment": {"account": SPOKE, "region": REGION, "name": "orders"},
        "dag_id": DAG,
        "run_id": "groundcrew__ticket-1",
        "since": now.isoformat(),
        "logical_date": None,
        "request_id": "ticket-1",
        "correlation_id": "event-1",
        "airflow_version": "3.3.1",
        "looks": 0,
    }


class Forgetful(Airflow):
    """An Airflow that forgets its runs: each order is the first of its kind."""

    def rest(self, *asked: Any) -> tuple[int, Any]:
        """The answer of an Airflow without runs."""
        self.state.runs.clear()
        return super().rest(*asked)


def _run_airflow(place: World) -> None:
    """The environment of the examples, which runs and lets itself be asked without limit."""
    aws = place.aws
    made = aws.create_environment(SPOKE, REGION, "orders", place.subnets(SPOKE), management="SERVICE")
    aws.clock.advance(300)
    aws.switches["mwaa.rest_per_second"] = 0
    aws.front_door.attach(made, Forgetful("3.3.1", aws.clock.now, [{"dag_id": DAG}]))


def _variables(place: World, function: str) -> dict[str, str]:
    """With those that the template gives the functions of this part only."""
    return place.variables(function) | {
        "GROUNDCREW_RUNS_QUEUE": ORDERS,
        "GROUNDCREW_LOCKS_TABLE": "groundcrew-locks",
        "GROUNDCREW_FOLLOW_MACHINE": f"arn:aws:states:{REGION}:{HUB}:stateMachine:groundcrew-runs",
        "GROUNDCREW_IN_VPC": "false",
    }


def _request(**changes: Any) -> dict[str, Any]:
    request = _example("dag-run-requested")
    del request["detail"]["request_id"]  # so that each event is a request of its own
    return request | {"time": datetime.now(UTC).isoformat()} | changes


def _example(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / f"events/{name}.json").read_text())
    return event

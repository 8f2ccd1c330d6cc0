"""Many requests at once, in the simulation: every run is started once, however often Airflow says "not so fast"."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from bench.limits import LATENCY
from bench.results import Figure, NotMeasured, figure
from bench.simulation import Message, Queue, Simulation, Source, simulation
from localcloud.model.environment import Environment
from runs.handler import handler as worker
from runs.order import REQUESTED
from runs.router import handler as router
from tests.support.queues import queue_arn
from tests.support.runs.hub import MAX_RECEIVES, ORDERS_HIDDEN, ORDERS_QUEUE, REQUESTS_HIDDEN, REQUESTS_QUEUE, deployed
from tests.support.stage import HUB, REGION, SETTINGS

REQUESTS = 1000
ACCOUNTS = [f"{number:012}" for number in range(400, 410)]
VERSIONS = ("2.10.3", "3.3.1")
"""Of the environments, one of each in each account."""

ALLOWED = 10
"""Calls per second of ``InvokeRestApi`` and environment, and as many at once.

https://docs.aws.amazon.com/mwaa/latest/userguide/access-mwaa-apache-airflow-rest-api.html
"""

ROUTERS, WORKERS = 10, 40
"""``MaximumConcurrency`` of the queues (``template.yaml``)."""

REST = "airflow:InvokeRestApi"
SEED = 20261122

REQUESTED_AT = Source(router, queue_arn(REQUESTS_QUEUE), MAX_RECEIVES, REQUESTS_HIDDEN, batch_size=10)
ORDERED_AT = Source(worker, queue_arn(ORDERS_QUEUE), MAX_RECEIVES, ORDERS_HIDDEN)


@dataclass
class Orders(Queue):
    """The orders' queue, which has work to come as long as the requests' queue has some."""

    requests: Queue = field(kw_only=True)

    @property
    def busy(self) -> bool:
        """Is there anything left to do, now or later?"""
        return super().busy or bool(self._sent) or self.requests.busy

    def take(self) -> list[Message]:
        """The next batch; what the router has sent until now is here."""
        self.put(*(json.loads(message["MessageBody"]) for message in self._sent))
        self._sent.clear()
        return super().take()

    @property
    def _sent(self) -> list[dict[str, Any]]:
        return self.simulation.stage.aws.small.messages


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of many requests: ``calls`` by operation, ``throttled`` of them, ``dead`` letters; ``not_once`` are
    the runs that are missing, doubled or not asked for.
    """

    seconds: float
    calls: Counter[str]
    throttled: Counter[str]
    dead: int
    not_once: int


def measure(requests: int) -> list[Figure]:
    """All figures of the simulation."""
    with opened(ACCOUNTS) as (simulated, environments):
        idle = ask(simulated, environments, 1)
    with opened(ACCOUNTS) as (simulated, environments):
        mixed = ask(simulated, environments, requests)
    with opened(ACCOUNTS) as (simulated, environments):
        in_a_row = ask(simulated, environments, requests, in_a_row=True)
    allowed = len(environments) * ALLOWED
    of = f"{len(environments)} environments, {ALLOWED} REST calls/s each"
    worst = f"{of}; one environment after the other"
    return [
        figure("runs.request_idle_calls", [idle.calls.total()], "calls", "from request to fact, with STS"),
        figure("runs.request_idle_seconds", [idle.seconds], "s", f"a call takes {LATENCY} s"),
        *_figures(f"runs.scale_{requests}", mixed, requests, of, allowed),
        *_figures(f"runs.scale_{requests}_in_a_row", in_a_row, requests, worst, allowed),
    ]


def _figures(name: str, outcome: Outcome, requests: int, of: str, allowed: int) -> list[Figure]:
    rest = outcome.calls[REST]
    share = (rest - outcome.throttled[REST]) / (allowed * outcome.seconds)
    return [
        figure(f"{name}_not_once", [outcome.not_once], "runs", "missing, doubled or not asked for, in the doubles", 0),
        figure(f"{name}_dead_letters", [outcome.dead], "messages", of, 0),
        figure(f"{name}_seconds", [outcome.seconds], "s", of),
        figure(f"{name}_throttled", [outcome.throttled.total()], "calls", f"{of}; all recovered"),
        figure(f"{name}_rest_calls_per_run", [rest / requests], "calls", "InvokeRestApi, throttled ones counted"),
        figure(f"{name}_share_of_allowed_rate", [share], "ratio", f"{of}; throttled ones not counted"),
    ]


@contextmanager
def opened(accounts: Sequence[str]) -> Iterator[tuple[Simulation, list[Environment]]]:
    """The product, and environments with a double of Airflow in each: one of each version in each account."""
    settings = replace(SETTINGS, spoke_accounts=(HUB, *accounts))
    with simulation(accounts) as simulated, deployed(simulated.stage, settings):
        aws = simulated.stage.aws
        environments = []
        for account in accounts:
            _, subnets = simulated.stage.vpc(account)
            for version in VERSIONS:
                name = f"data-{version[0]}"
                made = aws.create_environment(account, REGION, name, subnets, management="SERVICE", version=version)
                aws.airflow(made, [{"dag_id": "load", "seconds": 60}])
                environments.append(made)
        simulated.pass_time(60)
        yield simulated, environments


def ask(simulated: Simulation, environments: Sequence[Environment], size: int, *, in_a_row: bool = False) -> Outcome:
    """So many requests at the same moment, evenly over the environments: in no order, or ``in_a_row`` of each.

    Raises:
        NotMeasured: something other than a limit was in the way.
    """
    aws = simulated.stage.aws
    since = len(aws.journal)
    asked = [simulated.stamped(request(environments[number % len(environments)], number)) for number in range(size)]
    if in_a_row:
        asked.sort(key=lambda event: (event["account"], event["detail"]["environments"]))
    else:
        random.Random(SEED).shuffle(asked)
    requests = Queue(simulated, ROUTERS, REQUESTED_AT)
    orders = Orders(simulated, WORKERS, ORDERED_AT, requests=requests)
    requests.put(*asked)
    began = simulated.timeline.now
    simulated.run(requests.work, orders.work)
    made = aws.journal[since:]
    throttled = [entry for entry in made if entry.error]
    if other := {entry.error for entry in throttled} - {"ThrottlingException"}:
        raise NotMeasured(f"calls failed: {other}")
    return Outcome(
        seconds=max(requests.done_at, orders.done_at) - began,
        calls=Counter(entry.operation for entry in made),
        throttled=Counter(entry.operation for entry in throttled),
        dead=requests.dead + orders.dead,
        not_once=_not_once(simulated, environments, size),
    )


def request(environment: Environment, number: int) -> dict[str, Any]:
    """The event of an account that wants a run in its environment."""
    account = environment.caller.account
    return {
        "version": "0",
        "id": f"event-{number}",
        "source": "groundcrew.request",
        "detail-type": REQUESTED,
        "account": account,
        "region": REGION,
        "resources": [],
        "detail": {"environments": [environment.name], "dag_id": "load", "conf": {"number": number}},
    }


def _not_once(simulated: Simulation, environments: Sequence[Environment], size: int) -> int:
    """How many runs are missing, doubled or not asked for."""
    wanted = Counter((environments[number % len(environments)].arn, number) for number in range(size))
    found = Counter(
        (environment.arn, run.conf["number"])
        for environment in environments
        for run in simulated.stage.aws.airflow(environment).runs()
    )
    return (wanted - found).total() + (found - wanted).total()

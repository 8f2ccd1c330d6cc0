"""A day of a large fleet in seconds: the real handlers, botocore's retries and the workers' pauses on a virtual clock.

The functions' code runs unchanged, each invocation in a thread of a ``Timeline``; a call takes ``LATENCY``, AWS's
limits throttle it, and the pauses of botocore and of the queue pass in virtual time. So concurrency, retries and
jitter are the product's own; only cold starts and the handlers' computing time are left out.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

from bench.limits import LATENCY, Limits
from bench.timeline import Timeline
from bench.world import plug_in
from endpoints.handler import handler as endpoints_handler
from localcloud.inprocess import EPOCH
from localcloud.inprocess_faults import Kind
from localcloud.model.environment import Environment
from localcloud.protocol import query
from tests.unit.stage import HUB, QUEUE_ARN, REGION, SETTINGS, VISIBILITY_TIMEOUT, Context, Stage, open_stage

EVENTS_AT_ONCE, ROUTINE_AT_ONCE = 5, 3
"""``MaximumConcurrency`` of the two queues (``template.yaml``)."""

MAX_RECEIVES = 20
"""``maxReceiveCount`` of both (``template.yaml``)."""

IN_A_VPC = 20
"""Environments: with two endpoints each they are within the VPC's quota of 50."""

TICK = 5.0
"""Seconds between two looks of MWAA at its environments."""


@dataclass
class Queue:
    """A queue, and the workers that its event source mapping runs at once."""

    simulation: "Simulation"
    at_once: int
    dead: int = 0
    done_at: float = 0.0
    _messages: list[tuple[float, int, Any]] = field(default_factory=list)  # visible from, receives, event
    _working: int = 0

    def put(self, *events: Any) -> None:
        now = self.simulation.timeline.now
        self._messages += [(now, 0, event) for event in events]

    def work(self) -> None:
        """Begin to work; until the queue is empty."""
        for _ in range(self.at_once):
            self.simulation.timeline.start(self._poll)

    def _poll(self) -> None:
        timeline = self.simulation.timeline
        while self._messages or self._working:
            due = next((item for item in self._messages if item[0] <= timeline.now), None)
            if due is None:
                timeline.sleep(0.1)
                continue
            self._messages.remove(due)
            self._working += 1
            pause = self.simulation.deliver(due[2], due[1] + 1)
            self._working -= 1
            self.done_at = timeline.now
            if pause is not None and due[1] + 1 >= MAX_RECEIVES:
                self.dead += 1
            elif pause is not None:
                self._messages.append((timeline.now + pause, due[1] + 1, due[2]))


@dataclass
class Simulation:
    """A fleet, AWS with its limits, and the clock of both."""

    stage: Stage
    timeline: Timeline
    limits: Limits
    _ticked: float = 0.0
    _deliveries: int = 0

    def passed(self, now: float) -> None:
        """The cloud's clock follows; MWAA looks at its environments now and then."""
        clock = self.stage.aws.clock
        clock.offset = now
        if now - self._ticked >= TICK:
            self._ticked = now
            clock.tick()

    def queue(self, at_once: int) -> Queue:
        return Queue(self, at_once)

    def deliver(self, event: Any, received: int) -> float | None:
        """One invocation with one message: None if it is done, else the seconds until it comes back."""
        self._deliveries += 1
        handle = f"handle-{self._deliveries}"
        record = {
            "messageId": handle,
            "receiptHandle": handle,
            "body": json.dumps(event),
            "attributes": {"ApproximateReceiveCount": str(received)},
            "eventSourceARN": QUEUE_ARN,
        }
        if not endpoints_handler({"Records": [record]}, Context())["batchItemFailures"]:
            return None
        hidden = [v for v in self.stage.aws.small.visibilities if v["ReceiptHandle"] == handle]
        return float(hidden[-1]["VisibilityTimeout"]) if hidden else float(VISIBILITY_TIMEOUT)

    def sweep(self) -> list[dict[str, Any]]:
        """A sweep now; what its rule passes on to the routine queue."""
        since = len(self.stage.aws.events)
        self.stage.sweep()
        return [self.stamped(fact) for fact in self.stage.observed(since)]

    def stamped(self, event: dict[str, Any]) -> dict[str, Any]:
        return event | {"time": query.iso(self.stage.aws.clock.now())}

    def run(self, *acts: Callable[[], object]) -> float:
        """Let things happen at once, and all that follows; the seconds that passed."""
        began = self.timeline.now
        for act in acts:
            self.timeline.start(act)
        self.timeline.run()
        return self.timeline.now - began

    def fill(self, size: int, accounts: Sequence[str], name: str = "data") -> list[Environment]:
        """PENDING environments, evenly over the accounts, in VPCs of the hub: one account's limits for all of them."""
        environments = []
        for start in range(0, size, IN_A_VPC):
            account = accounts[start // IN_A_VPC % len(accounts)]
            _, subnets = self.stage.vpc(HUB, account)
            environments += [
                self.stage.aws.create_environment(account, REGION, f"{name}-{number}", subnets, "PRIVATE_ONLY")
                for number in range(start, min(start + IN_A_VPC, size))
            ]
        self.pass_time(5)
        return environments

    def running(self, size: int, accounts: Sequence[str]) -> list[Environment]:
        """Environments that have all they need."""
        environments = self.fill(size, accounts)
        for environment in environments:
            plug_in(self.stage.aws, environment)
        self.pass_time(60)
        return environments

    def pass_time(self, seconds: float) -> None:
        """While nothing else happens."""
        self.stage.pass_time(seconds)
        self.timeline.now = self.stage.aws.clock.now() - EPOCH


@contextmanager
def simulation(accounts: Sequence[str]) -> Iterator[Simulation]:
    """An AWS with limits, whose calls take time, and the product on it."""
    with ExitStack() as undo:
        stage = undo.enter_context(open_stage(replace(SETTINGS, spoke_accounts=(HUB, *accounts))))
        timeline = Timeline()
        made = Simulation(stage, timeline, Limits(lambda: timeline.now))
        timeline.passed = made.passed
        answer, attempt_of = stage.aws.answer, stage.aws._attempt

        def limited(service: str, name: str, request: Any) -> Any:
            timeline.sleep(LATENCY)
            return answer(service, name, request)

        def attempt(*args: Any) -> Any:
            """Called once for each request: here it is throttled."""
            found = attempt_of(*args)
            stage.aws.faults.clear()
            if not made.limits.take(found.account, found.region, found.operation):
                stage.aws.faults.add(Kind.THROTTLED, found.operation)
            return found

        undo.enter_context(mock.patch.object(stage.aws, "answer", limited))
        undo.enter_context(mock.patch.object(stage.aws, "_attempt", attempt))
        undo.enter_context(mock.patch("botocore.endpoint.time", SimpleNamespace(sleep=timeline.sleep)))
        undo.enter_context(mock.patch("fleet.handler.ThreadPoolExecutor", timeline.pool))
        # Invocations are processes of their own: here they would share what is counted.
        undo.enter_context(mock.patch("groundcrew.observability.metrics", mock.Mock(metric_set={})))
        undo.enter_context(mock.patch("groundcrew.observability.logger.info"))
        yield made

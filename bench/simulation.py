"""A day of a large fleet in seconds: the real handlers, botocore's retries and the workers' pauses on a virtual clock.

The functions' code runs unchanged, each invocation in a thread of a ``Timeline``; a call takes ``LATENCY``, AWS's
limits throttle it, and the pauses of botocore and of the queue pass in virtual time. So concurrency, retries and
jitter are the product's own; only cold starts and the handlers' computing time are left out.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from types import SimpleNamespace
from typing import Any
from unittest import mock

from bench.limits import LATENCY, Limits
from bench.timeline import Timeline
from bench.world import plug_in
from endpoints.handler import handler as endpoints_handler
from localcloud.inprocess.aws import EPOCH
from localcloud.inprocess.faults import Kind
from localcloud.model.environment import Environment
from localcloud.protocol import query
from tests.support.context import Context
from tests.support.stage import HUB, QUEUE_ARN, REGION, SETTINGS, VISIBILITY_TIMEOUT, Stage, open_stage

EVENTS_AT_ONCE, ROUTINE_AT_ONCE = 5, 3
"""``MaximumConcurrency`` of the two queues of part ``endpoints`` (``template.yaml``)."""

IN_A_VPC = 20
"""Environments: with two endpoints each they are within the VPC's quota of 50."""

TICK = 5.0
"""Seconds between two looks of MWAA at its environments."""


@dataclass(frozen=True, slots=True)
class Source:
    """A queue's ARN and the function that works on it, as ``template.yaml`` joins them."""

    handler: Callable[..., dict[str, Any]]
    arn: str
    max_receives: int
    visibility_timeout: int
    batch_size: int = 1


ENDPOINTS = Source(endpoints_handler, QUEUE_ARN, max_receives=20, visibility_timeout=VISIBILITY_TIMEOUT)


@dataclass(slots=True, eq=False)
class Message:
    """An event in a queue, and from when on it can be seen."""

    event: Any
    at: float
    received: int = 0


@dataclass
class Queue:
    """A queue, and the workers that its event source mapping runs at once."""

    simulation: "Simulation"
    at_once: int
    source: Source = ENDPOINTS
    dead: int = 0
    done_at: float = 0.0
    _messages: list[Message] = field(default_factory=list)
    _working: int = 0

    def put(self, *events: Any) -> None:
        now = self.simulation.timeline.now
        self._messages += [Message(event, now) for event in events]

    def work(self) -> None:
        """Begin to work; until the queue is empty."""
        for _ in range(self.at_once):
            self.simulation.timeline.start(self._poll)

    @property
    def busy(self) -> bool:
        """Is there anything left to do, now or later?"""
        return bool(self._messages or self._working)

    def take(self) -> list[Message]:
        """The next batch: none if nothing can be seen now."""
        now = self.simulation.timeline.now
        batch = list(islice((message for message in self._messages if message.at <= now), self.source.batch_size))
        for message in batch:
            self._messages.remove(message)
        return batch

    def _poll(self) -> None:
        timeline = self.simulation.timeline
        while self.busy:
            batch = self.take()
            if not batch:
                timeline.sleep(0.1)
                continue
            self._working += 1
            pauses = self.simulation.deliver(self.source, batch)
            self._working -= 1
            self.done_at = timeline.now
            for message, pause in zip(batch, pauses, strict=True):
                if pause is not None and message.received >= self.source.max_receives:
                    self.dead += 1
                elif pause is not None:
                    message.at = timeline.now + pause
                    self._messages.append(message)


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

    def deliver(self, source: Source, batch: Sequence[Message]) -> list[float | None]:
        """One invocation: of each message None if it is done, else the seconds until it comes back."""
        records = [self._record(source, message) for message in batch]
        visibilities = self.stage.aws.small.visibilities
        since = len(visibilities)
        failed = {one["itemIdentifier"] for one in source.handler({"Records": records}, Context())["batchItemFailures"]}
        hidden = {one["ReceiptHandle"]: one["VisibilityTimeout"] for one in visibilities[since:]}
        handles = [record["receiptHandle"] for record in records]
        return [float(hidden.get(one, source.visibility_timeout)) if one in failed else None for one in handles]

    def _record(self, source: Source, message: Message) -> dict[str, Any]:
        """The message as its function gets it, once more."""
        message.received += 1
        self._deliveries += 1
        handle = f"handle-{self._deliveries}"
        return {
            "messageId": handle,
            "receiptHandle": handle,
            "body": json.dumps(message.event),
            "attributes": {"ApproximateReceiveCount": str(message.received), "SentTimestamp": self.stage.queue.now()},
            "eventSourceARN": source.arn,
        }

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
        undo.enter_context(mock.patch("groundcrew.places.ThreadPoolExecutor", timeline.pool))
        # Invocations are processes of their own: here they would share what is counted.
        undo.enter_context(mock.patch("groundcrew.observability.metrics", mock.Mock(metric_set={})))
        undo.enter_context(mock.patch("groundcrew.observability.logger.info"))
        yield made

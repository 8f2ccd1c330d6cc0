"""The whole part on the in-process cloud: requests come in, and its three functions work until nothing is left to do.

Its queues are played as SQS does it, its state machine as ``statemachines/follow.asl.yaml`` says.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

from groundcrew.environment import EnvironmentRef
from groundcrew.events import schema_error, schema_name
from groundcrew.settings import Settings
from localcloud.inprocess.faults import Kind
from localcloud.inprocess.services import SmallServices
from localcloud.model.airflow_state import Run
from localcloud.model.environment import Environment
from runs.follow import handler as follow_handler
from runs.handler import handler as worker
from runs.order import Order
from runs.router import handler as router
from runs.settings import RunSettings
from tests.support.asl import Machine
from tests.support.queues import Queue
from tests.support.runs.secrets import SECRET, assume_role, told
from tests.support.stage import HUB, REGION, SETTINGS, SPOKE, Stage, open_stage

ORDERS = f"https://sqs.{REGION}.amazonaws.com/{HUB}/groundcrew-runs"
MACHINE = f"arn:aws:states:{REGION}:{HUB}:stateMachine:groundcrew-runs"
MORE = RunSettings(locks_table="groundcrew-locks", in_vpc=False, follow_machine=MACHINE)
REQUESTS_QUEUE, ORDERS_QUEUE = "groundcrew-run-requests", "groundcrew-runs"
REQUESTS_HIDDEN, ORDERS_HIDDEN = 1800, 720
"""Seconds; visibility timeouts of the queues (``template.yaml``)."""

MAX_RECEIVES = 100
"""``maxReceiveCount`` of both queues (``template.yaml``)."""

DAGS: tuple[dict[str, Any], ...] = (
    {"dag_id": "load", "seconds": 10},
    {"dag_id": "held", "is_paused": True},
    {"dag_id": "broken", "has_import_errors": True},
)


@dataclass
class Message:
    """A message in a queue, and when it can be seen."""

    queue: Queue
    body: str
    at: float
    sent: str
    received: int = 0


@dataclass
class Hub:
    """One cloud with the part deployed on it; ``dead`` are the messages in the dead-letter queue."""

    stage: Stage
    messages: list[Message] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)
    revive: Callable[[], None] = lambda: None
    """Called when Step Functions tries a function again that has failed."""
    _environments: list[Environment] = field(default_factory=list)
    _ended: set[str] = field(default_factory=set)
    _said: int = 0

    def __post_init__(self) -> None:
        aws = self.stage.aws
        self.requests = Queue(aws, REQUESTS_QUEUE, router, REQUESTS_HIDDEN, MAX_RECEIVES)
        self.orders = Queue(aws, ORDERS_QUEUE, worker, ORDERS_HIDDEN, MAX_RECEIVES)
        self.machine = Machine(
            "follow.asl.yaml",
            {"${FollowFunctionArn}": follow_handler},
            self.now,
            self.pass_time,
            failed=lambda _error: self.revive(),
        )

    # ------------------------------------------------------------------ what there is
    def environment(
        self,
        version: str = "2.10.3",
        name: str = "data",
        account: str = SPOKE,
        *,
        dags: Sequence[dict[str, Any]] = DAGS,
        access: str = "PUBLIC_ONLY",
        tags: dict[str, str] | None = None,
    ) -> Environment:
        """An environment that runs, with a double of Airflow in it."""
        aws = self.stage.aws
        subnets = aws.network.private_subnets(aws.network.vpc(owner=account))
        made = aws.create_environment(
            account, REGION, name, subnets, access, tags=tags, management="SERVICE", version=version
        )
        aws.airflow(made, dags)
        self.stage.pass_time(1800)
        assert made.status == "AVAILABLE"
        self._environments.append(made)
        return made

    def runs(self, environment: Environment | None = None) -> list[Run]:
        """All runs of an environment, or of all."""
        found = [environment] if environment else self._environments
        return [run for one in found for run in self.stage.aws.airflow(one).runs()]

    def foreign(self, environment: Environment, run_id: str, **more: Any) -> None:
        """Somebody starts a run by hand, through Airflow's own REST API."""
        body = {"dag_run_id": run_id, "logical_date": None} | more
        if environment.setting("AirflowVersion").startswith("2."):
            body = {key: value for key, value in body.items() if value is not None}
        status, _ = self.stage.aws.airflow(environment).rest("POST", "/dags/load/dagRuns", {}, body)
        assert status == 200

    def busy(self, environment: Environment, seconds: float) -> None:
        """The environment is updated for so long."""
        environment.status, until = "UPDATING", self.now() + timedelta(seconds=seconds)

        def finish(_now: float) -> None:
            if environment.status == "UPDATING" and self.now() >= until:
                environment.status = "AVAILABLE"

        self.stage.aws.clock.on_tick(finish)

    def refuse_rest(self) -> None:
        """The role may not invoke the REST API: only the command line is left."""
        self.stage.aws.faults.add(Kind.DENIED, "airflow:InvokeRestApi", nth=None)

    def asked(self, pattern: str = "airflow*") -> list[str]:
        """What was asked of MWAA and of Airflow, one after the other."""
        return [
            f"{entry.attempt.params['Method']} {entry.attempt.params['Path']}"
            if entry.operation == "airflow:InvokeRestApi"
            else entry.operation.removeprefix("airflow-cli:")
            for entry in self.stage.aws.calls(pattern)
        ]

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.stage.aws.clock.now(), UTC)

    def order(self, environment: Environment, dag_id: str = "load", **changes: Any) -> Order:
        """An order for a run, made now."""
        caller = environment.caller
        usual = Order(
            environment=EnvironmentRef(caller.account, caller.region, environment.name),
            request_id="ticket-1",
            dag_id=dag_id,
            run_id="groundcrew__ticket-1",
            conf={"day": "2026-11-21", "password": SECRET},
            logical_date=None,
            note="",
            if_paused="reject",
            expires_at=self.now() + timedelta(hours=6),
            wait=False,
            sender=caller.account,
            correlation_id="event-1",
            requested_at=self.now(),
        )
        return replace(usual, **changes)

    def put(self, order: Order) -> None:
        """The order is in the queue."""
        self._add(self.orders, order.as_message(REGION))

    def request(self, environments: Any, sender: str = SPOKE, dag_id: str = "load", **detail: Any) -> None:
        """``DAG Run Requested`` is in the queue of the router."""
        event = {
            "version": "0",
            "id": "event-1",
            "source": "groundcrew.request",
            "detail-type": "DAG Run Requested",
            "account": sender,
            "time": self.now().isoformat(),
            "region": REGION,
            "resources": [],
            "detail": {"environments": environments, "dag_id": dag_id, "request_id": "ticket-1"} | detail,
        }
        self._add(self.requests, json.dumps(event))

    def _add(self, queue: Queue, body: str) -> None:
        self.messages.append(Message(queue, body, self.stage.aws.clock.now(), queue.now()))

    # ------------------------------------------------------------------ what happens
    def deliver(self, message: Message) -> None:
        """The function gets the message; it is done, hidden for as long as the function says, or comes back."""
        message.received += 1
        message.at = self.stage.aws.clock.now() + message.queue.visibility_timeout
        try:
            pause = message.queue.receive(message.body, received=message.received, sent=message.sent)
            if pause is None:
                self.messages.remove(message)
            else:
                message.at = self.stage.aws.clock.now() + pause
        finally:
            self._collect_orders()

    def _collect_orders(self) -> None:
        sent, self.stage.aws.small.messages[:] = list(self.stage.aws.small.messages), []
        for one in sent:
            assert one["QueueUrl"] == ORDERS
            self._add(self.orders, one["MessageBody"])

    def work_off(self, until: Callable[[], bool] = lambda: False) -> None:
        """Deliver until no message is left, or until something is so; time passes as the messages want it."""
        while self.messages and not until():
            message = min(self.messages, key=lambda one: one.at)
            if message.received >= MAX_RECEIVES:
                self.messages.remove(message)
                self.dead.append(message)
                continue
            self.pass_time(message.at - self.stage.aws.clock.now())
            self.deliver(message)

    def follow(self, until: Callable[[], bool] = lambda: False) -> None:
        """Play every execution of the state machine to its end, or until something is so."""
        for arn, execution in list(self.stage.aws.small.executions.items()):
            if arn in self._ended or until():
                continue
            end = self.machine.run(json.loads(execution["input"]), until=lambda _data: until())
            if end.kind == "Succeed":
                self._ended.add(arn)
                execution["status"] = "SUCCEEDED"

    def pass_time(self, seconds: float) -> None:
        if seconds > 0:
            self.stage.aws.clock.advance(seconds)

    def facts(self) -> list[tuple[str, dict[str, Any]]]:
        """What was announced since the last look, each as its schema says."""
        announced = self.stage.facts(self._said)
        self._said += len(announced)
        for fact in announced:
            assert schema_error(fact["detail"], schema_name(fact["detail-type"])) is None, fact
        return [(fact["detail-type"].removeprefix("DAG Run "), fact["detail"]) for fact in announced]

    def outcome(self, order: Order) -> dict[str, Any]:
        """The one fact about an order that is worked on until it leaves the queue; ``said`` is which."""
        self.put(order)
        self.work_off()
        ((said, detail),) = self.facts()
        return {"said": said} | detail

    def cause(self, order: Order) -> str:
        """Why it is rejected; what is seen and what to do is part of it."""
        found = self.outcome(order)
        assert found["said"] == "Rejected"
        assert found["evidence"]
        assert found["remedy"]
        return str(found["cause"])

    def way(self, order: Order) -> str:
        """How it is started."""
        found = self.outcome(order)
        assert (found["said"], found["already"]) == ("Started", False)
        return str(found["way"])


@contextmanager
def open_hub(settings: Settings = SETTINGS, more: RunSettings = MORE) -> Iterator[Hub]:
    """A hub, until the block ends; by then it must not have told any secret."""
    with open_stage(settings) as stage, deployed(stage, settings, more):
        stage.aws.switches["mwaa.rest_per_second"] = 0  # time stands still during a job
        hub = Hub(stage)
        with mock.patch.object(SmallServices, "_assume_role", assume_role):
            yield hub
        assert not told(stage), f"told: {told(stage)}"


@contextmanager
def deployed(stage: Stage, settings: Settings = SETTINGS, more: RunSettings = MORE) -> Iterator[None]:
    """The functions of this part have their settings, and go by the stage's clock, until the block ends."""
    clock = stage.aws.clock

    def now() -> datetime:
        return datetime.fromtimestamp(clock.now(), UTC)

    with ExitStack() as undo:
        for module in ("router", "handler", "follow"):
            undo.enter_context(mock.patch(f"runs.{module}.settings", return_value=settings))
        for module in ("handler", "follow"):
            undo.enter_context(mock.patch(f"runs.{module}.run_settings", return_value=more))
        undo.enter_context(mock.patch("runs.router.orders_url", return_value=ORDERS))
        for module in ("router", "handler"):
            undo.enter_context(mock.patch(f"runs.{module}.now", now))
        undo.enter_context(mock.patch("groundcrew.aws.locks.time", SimpleNamespace(time=clock.now)))
        yield

"""The router on the in-process cloud: requests are handed to it, its orders and facts are read."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from unittest import mock

from groundcrew.events import Envelope, schema_error, schema_name
from groundcrew.settings import Settings
from runs.order import Order
from runs.router import handler
from tests.support.context import Context
from tests.support.stage import HUB, REGION, SETTINGS, SPOKE, SPOKE2, Stage, open_stage

ORDERS = f"https://sqs.{REGION}.amazonaws.com/{HUB}/groundcrew-runs"
REQUESTS = f"arn:aws:sqs:{REGION}:{HUB}:groundcrew-run-requests"
TIME = "2026-11-18T12:00:00Z"
SENT = str(int(datetime.fromisoformat(TIME).timestamp() * 1000))


def asking(environments: Any, sender: str = SPOKE, dag_id: Any = "nightly", **detail: Any) -> dict[str, Any]:
    """``DAG Run Requested`` by an account."""
    return {
        "version": "0",
        "id": "request-1",
        "source": "groundcrew.request",
        "detail-type": "DAG Run Requested",
        "account": sender,
        "time": TIME,
        "region": REGION,
        "resources": [],
        "detail": {"environments": environments, "dag_id": dag_id} | detail,
    }


@dataclass
class Desk:
    """Where requests come in."""

    stage: Stage
    subnets: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def environment(self, account: str, name: str, region: str = REGION, **tags: str) -> None:
        """An environment, as far as a router sees it."""
        network = self.stage.aws.network
        if (account, region) not in self.subnets:
            self.subnets[account, region] = network.private_subnets(network.vpc(owner=account, region=region))
        self.stage.aws.create_environment(account, region, name, self.subnets[account, region], tags=tags)

    def fleet(self) -> None:
        """Five environments in three accounts."""
        self.environment(HUB, "tools", team="platform")
        self.environment(SPOKE, "orders", team="orders", tier="gold")
        self.environment(SPOKE, "billing", team="billing", tier="gold")
        self.environment(SPOKE2, "orders", team="orders")
        self.environment(SPOKE2, "lab")

    def deliver(self, *events: Any) -> list[str]:
        """Give the router one batch; the ids of the messages that stay in the queue."""
        records = [
            {
                "messageId": f"message-{number}",
                "receiptHandle": f"handle-{number}",
                "body": event if isinstance(event, str) else json.dumps(event),
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": SENT},
                "eventSourceARN": REQUESTS,
            }
            for number, event in enumerate(events)
        ]
        failures = handler({"Records": records}, Context())["batchItemFailures"]
        return [failure["itemIdentifier"] for failure in failures]

    def orders(self) -> list[Order]:
        """What was ordered since the last look, as the worker reads it."""
        sent, self.stage.aws.small.messages[:] = list(self.stage.aws.small.messages), []
        assert {message["QueueUrl"] for message in sent} <= {ORDERS}
        return [Order.read(Envelope.read(json.loads(message["MessageBody"]))) for message in sent]

    def ordered(self) -> list[str]:
        return [str(order.environment) for order in self.orders()]

    def facts(self) -> list[tuple[str, dict[str, Any]]]:
        """What was announced since the last look, each as its schema says."""
        announced, self.stage.aws.events[:] = self.stage.facts(), []
        for fact in announced:
            assert schema_error(fact["detail"], schema_name(fact["detail-type"])) is None
        return [(fact["detail-type"], fact["detail"]) for fact in announced]

    def refused(self, event: Any, kind: str = "DAG Run Rejected") -> dict[str, Any]:
        """The one fact about a request that orders nothing and leaves the queue."""
        assert self.deliver(event) == []
        assert self.orders() == []
        ((said, detail),) = self.facts()
        assert said == kind
        return detail

    def cause(self, event: Any) -> str:
        """Why it was rejected; that it is said what to do is part of it."""
        detail = self.refused(event)
        assert detail["evidence"]
        assert detail["remedy"]
        return str(detail["cause"])


@contextmanager
def open_desk(settings: Settings = SETTINGS) -> Iterator[Desk]:
    """A desk, until the block ends."""
    with ExitStack() as undo:
        stage = undo.enter_context(open_stage(settings))
        undo.enter_context(mock.patch("runs.router.settings", return_value=settings))
        undo.enter_context(mock.patch("runs.router.orders_url", return_value=ORDERS))
        undo.enter_context(mock.patch("runs.router.now", return_value=datetime.fromisoformat(TIME)))
        yield Desk(stage)

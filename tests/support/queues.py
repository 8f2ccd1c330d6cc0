"""SQS queues with a function behind each, played as SQS plays them, on the in-process cloud's clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from localcloud.inprocess.aws import InProcessAws
from tests.support.context import Context

HUB, REGION = "111111111111", "us-east-1"


def queue_arn(name: str) -> str:
    """ARN of a queue of the hub."""
    return f"arn:aws:sqs:{REGION}:{HUB}:{name}"


@dataclass
class Queue:
    """One queue of the hub. ``dead`` are the messages in its dead-letter queue.

    ``visibility_timeout`` (seconds) and ``max_receives`` are those of ``template.yaml``.
    """

    aws: InProcessAws
    name: str
    handler: Callable[[Any, Any], dict[str, Any]]
    visibility_timeout: int
    max_receives: int
    dead: list[str] = field(default_factory=list)

    @property
    def arn(self) -> str:
        return queue_arn(self.name)

    def now(self) -> str:
        """The time that a message carries which is sent now: milliseconds since 1970."""
        return str(int(self.aws.clock.now() * 1000))

    def receive(self, *bodies: str, received: int = 1, sent: str = "") -> float | None:
        """Give the function one batch. Seconds until it comes back, None if all of it may leave the queue."""
        records = [
            {
                "messageId": f"message-{number}",
                "receiptHandle": f"handle-{number}",
                "body": body,
                "attributes": {"ApproximateReceiveCount": str(received), "SentTimestamp": sent or self.now()},
                "eventSourceARN": self.arn,
            }
            for number, body in enumerate(bodies)
        ]
        hidden = len(self.aws.small.visibilities)
        if not self.handler({"Records": records}, Context())["batchItemFailures"]:
            return None
        changes = self.aws.small.visibilities[hidden:]
        return float(changes[-1]["VisibilityTimeout"] if changes else self.visibility_timeout)

    def work(self, body: str, sent: str = "") -> int:
        """Work on a message until it leaves the queue; how often it was received."""
        sent = sent or self.now()
        for received in range(1, self.max_receives + 1):
            pause = self.receive(body, received=received, sent=sent)
            if pause is None:
                return received
            self.aws.clock.advance(pause)
        self.dead.append(body)
        return self.max_receives

"""Working through a queue: what is done leaves it, what must wait or be tried again stays, what nobody can do dies
loudly.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from groundcrew.errors import GroundcrewError, PermanentError, TransientError
from groundcrew.events import Envelope
from groundcrew.observability import about_message, count, logger

LOOKS = 10
"""How often a message may look again before it leaves the waiting to the next sweep; well below ``maxReceiveCount``."""

LONGEST_PAUSE = 900
"""Seconds; the longest time between two tries of a message."""


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The job is not finished and nobody can hurry it: come back in so many seconds."""

    seconds: int


Job = Callable[[Envelope], LookAgain | None]


class Queue(Protocol):
    """Where the messages wait: SQS, or a test's double."""

    def hide(self, queue_arn: str, receipt_handle: str, seconds: int) -> None:
        """Make a message visible again in so many seconds."""


def work_through(event: Mapping[str, Any], job: Job, queue: Queue) -> dict[str, Any]:
    """Do the job for each message of a batch, one after the other, none stopping the others.

    Returns:
        The partial batch response: the messages that stay in the queue
        (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html).
    """
    stay = [record["messageId"] for record in event["Records"] if not _done(record, job, queue)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in stay]}


def _done(record: Mapping[str, Any], job: Job, queue: Queue) -> bool:
    """Whether a message may leave the queue."""
    about_message(record["messageId"])
    received = int(record["attributes"]["ApproximateReceiveCount"])
    try:
        again = job(Envelope.read(_body(record)))
        if again is None:
            return True
        if received >= LOOKS:
            logger.info("left to the next sweep", looks=received)
            return True
        pause = again.seconds
    except PermanentError as error:
        refuse(error)
        return True
    except TransientError as error:
        logger.warning("tried again later", cause=error.cause, error=error.what, tries=received)
        count("TriedAgain")
        pause = min(LONGEST_PAUSE, 2**received) + random.randrange(1 + min(30, 2**received))  # noqa: S311 - jitter
    except Exception:
        # A mistake of ours: the message stays, is tried again after the queue's visibility timeout, then goes to the
        # dead-letter queue.
        logger.exception("failed")
        count("Failed")
        return False
    try:
        queue.hide(record["eventSourceARN"], record["receiptHandle"], pause)
    except GroundcrewError as error:
        logger.warning("not hidden, comes back after the visibility timeout", error=error.what)
    return False


def _body(record: Mapping[str, Any]) -> object:
    try:
        return json.loads(record["body"])
    except (ValueError, RecursionError):
        return None


def refuse(error: PermanentError) -> None:
    """Record and count what trying again cannot cure."""
    logger.error("cannot be done", cause=error.cause, error=error.what, remedy=error.remedy)
    count("Refused")

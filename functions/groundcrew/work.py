"""Working through a queue: what is done leaves it, what must wait or be tried again stays, what nobody can do dies
loudly.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
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
    """The job is not finished and nobody can hurry it: come back in so many seconds.

    ``swept``: a sweep finds the job again by itself, so the message need not wait for ever.
    """

    seconds: int
    swept: bool = True


Job = Callable[[Envelope], LookAgain | None]

Unreadable = Callable[[str, PermanentError], None]
"""Told of a message that is no event: its id, and what is wrong with it."""


class Queue(Protocol):
    """Where the messages wait: SQS, or a test's double."""

    def hide(self, queue_arn: str, receipt_handle: str, seconds: int) -> None:
        """Make a message visible again in so many seconds."""


def work_through(
    event: Mapping[str, Any], job: Job, queue: Queue, unreadable: Unreadable | None = None
) -> dict[str, Any]:
    """Do the job for each message of a batch, one after the other, none stopping the others.

    Returns:
        The partial batch response: the messages that stay in the queue
        (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html).
    """
    stay = [record["messageId"] for record in event["Records"] if not _done(record, job, queue, unreadable)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in stay]}


def _done(record: Mapping[str, Any], job: Job, queue: Queue, unreadable: Unreadable | None) -> bool:
    """Whether a message may leave the queue."""
    about_message(record["messageId"])
    received = int(record["attributes"]["ApproximateReceiveCount"])
    try:
        again = job(_read(record, unreadable))
        if again is None:
            return True
        if again.swept and received >= LOOKS:
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


def _read(record: Mapping[str, Any], unreadable: Unreadable | None) -> Envelope:
    try:
        return Envelope.read(_body(record), _queued_at(record))
    except PermanentError as error:
        if unreadable:
            unreadable(record["messageId"], error)
        raise


def _queued_at(record: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(int(record["attributes"]["SentTimestamp"]) / 1000, UTC)


def _body(record: Mapping[str, Any]) -> object:
    try:
        return json.loads(record["body"], object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        return None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are said once.

    EventBridge escapes nothing that it puts into an input transformer's template, so a text of somebody else's choice
    could say again, and otherwise, who asks
    (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html, common issues).
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is said twice")
    return found


def refuse(error: PermanentError) -> None:
    """Record and count what trying again cannot cure."""
    logger.error("cannot be done", cause=error.cause, error=error.what, remedy=error.remedy)
    count("Refused")


@contextmanager
def keeping(kind: type[PermanentError] = PermanentError) -> Iterator[None]:
    """What is refused inside is no fault of the message's, which would be lost with it: it stays in the queue, and
    becomes a dead letter that can be redriven.
    """
    try:
        yield
    except kind as error:
        raise TransientError(error.what, cause=error.cause, remedy=error.remedy) from error

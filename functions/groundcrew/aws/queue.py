"""Messages: sent to a queue, and hidden while they wait in it."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from groundcrew.aws.errors import translated
from groundcrew.aws.session import own_client
from groundcrew.errors import TransientError

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import BatchResultErrorEntryTypeDef

AT_ONCE = 10
"""Messages of one ``SendMessageBatch`` (SQS quota)."""

LARGEST_BATCH = 262_144
"""Bytes of all its messages. SQS takes 1 MiB since 2025; not everywhere, for all we know."""


class SqsQueue:
    """A queue of this account, named by its ARN."""

    def hide(self, queue_arn: str, receipt_handle: str, seconds: int) -> None:
        """Make a message visible again in so many seconds."""
        region, account, name = queue_arn.split(":")[3:6]
        client: SQSClient = own_client("sqs", region)
        url = f"{client.meta.endpoint_url}/{account}/{name}"
        with translated(f"sqs:ChangeMessageVisibility on {name}"):
            client.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds)


def send(queue_url: str, messages: Iterable[str], *, region: str) -> None:
    """Send messages in ASCII; all are tried, whatever becomes of the others.

    Raises:
        TransientError: not all of them were taken; which, is not known.
    """
    client: SQSClient = own_client("sqs", region)
    name = queue_url.rsplit("/", 1)[-1]
    failed: list[BatchResultErrorEntryTypeDef] = []
    for batch in _batches(messages):
        with translated(f"sqs:SendMessageBatch on {name}"):
            answer = client.send_message_batch(
                QueueUrl=queue_url,
                Entries=[{"Id": str(number), "MessageBody": message} for number, message in enumerate(batch)],
            )
        failed += answer.get("Failed", [])
    if failed:
        codes = sorted({entry["Code"] for entry in failed})
        raise TransientError(f"{len(failed)} messages were not taken by {name}: {', '.join(codes)}", cause=codes[0])


def send_in_turn(queue_url: str, message: str, *, group: str, once: str, region: str) -> None:
    """Send a message to a FIFO queue: those of a group are worked on one after the other, and those with the same
    ``once`` within five minutes are one.

    Raises:
        TransientError: it was not taken.
    """
    client: SQSClient = own_client("sqs", region)
    with translated(f"sqs:SendMessage on {queue_url.rsplit('/', 1)[-1]}"):
        client.send_message(QueueUrl=queue_url, MessageBody=message, MessageGroupId=group, MessageDeduplicationId=once)


def _batches(messages: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == AT_ONCE or size + len(message) > LARGEST_BATCH):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message)
    if batch:
        yield batch

"""Messages that wait in their queue."""

from typing import TYPE_CHECKING

from groundcrew.aws.errors import translated
from groundcrew.aws.session import own_client

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


class SqsQueue:
    """A queue of this account, named by its ARN."""

    def hide(self, queue_arn: str, receipt_handle: str, seconds: int) -> None:
        """Make a message visible again in so many seconds."""
        region, account, name = queue_arn.split(":")[3:6]
        client: SQSClient = own_client("sqs", region)
        url = f"{client.meta.endpoint_url}/{account}/{name}"
        with translated(f"sqs:ChangeMessageVisibility on {name}"):
            client.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds)

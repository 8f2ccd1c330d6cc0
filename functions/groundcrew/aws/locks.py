"""Locks that all functions share, in a DynamoDB table: what may be done by one at a time."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groundcrew.aws.cli import StillRunning
from groundcrew.aws.errors import translated
from groundcrew.aws.session import own_client
from groundcrew.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class Locks:
    """The locks of one table."""

    table: str
    region: str

    @contextmanager
    def held(self, name: str, seconds: int) -> Iterator[None]:
        """Do something alone. The lock opens by itself after so many seconds, should its holder be gone.

        It stays shut if what was begun inside may still be going on (``StillRunning``).

        Raises:
            TransientError: somebody else holds the lock.
        """
        holder = uuid.uuid4().hex
        self._take(name, holder, seconds)
        try:
            yield
        except StillRunning:
            raise
        except BaseException:
            self._leave(name, holder)
            raise
        self._leave(name, holder)

    def lease(self, name: str, holder: str, seconds: int) -> None:
        """Take, or keep, a lock for longer than one invocation: ``holder`` comes back before so many seconds are over.

        Raises:
            TransientError: somebody else holds the lock.
        """
        self._take(name, holder, seconds)

    def release(self, name: str, holder: str) -> None:
        """Open a lock that ``holder`` may have leased."""
        self._leave(name, holder)

    def _take(self, name: str, holder: str, seconds: int) -> None:
        now = time.time()
        client: DynamoDBClient = own_client("dynamodb", self.region)
        try:
            with translated(f"dynamodb:PutItem of {name}"):
                client.put_item(
                    TableName=self.table,
                    Item={"name": {"S": name}, "holder": {"S": holder}, "until": {"N": str(round(now + seconds))}},
                    # The last part is for the SDK, which tries again what was not answered.
                    ConditionExpression="attribute_not_exists(#name) OR #until < :now OR #holder = :holder",
                    ExpressionAttributeNames={"#name": "name", "#until": "until", "#holder": "holder"},
                    ExpressionAttributeValues={":now": {"N": str(round(now))}, ":holder": {"S": holder}},
                )
        except PermanentError as error:
            if error.cause == "ConditionalCheckFailedException":
                raise TransientError(f"{name} is held by somebody else", cause="Busy") from error
            # The table is ours: what is wrong with it is no fault of whoever asks.
            raise TransientError(error.what, cause=error.cause, remedy=error.remedy) from error

    def _leave(self, name: str, holder: str) -> None:
        client: DynamoDBClient = own_client("dynamodb", self.region)
        try:
            with translated(f"dynamodb:DeleteItem of {name}"):
                client.delete_item(
                    TableName=self.table,
                    Key={"name": {"S": name}},
                    ConditionExpression="#holder = :holder",
                    ExpressionAttributeNames={"#holder": "holder"},
                    ExpressionAttributeValues={":holder": {"S": holder}},
                )
        except (PermanentError, TransientError):
            return  # it opens by itself

"""The hub's bucket, written with the environment's execution role."""

import base64
from functools import cached_property
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.session import Session

from groundcrew_metadata.place import Place

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

CONFIG = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 6, "mode": "standard"})


class Storage:
    """Where objects go; ``put`` may be called from any thread, by one at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place

    @cached_property
    def _client(self) -> "S3Client":
        """Made when the first object is there, while PostgreSQL goes on: it takes as long as 50,000 rows.

        botocore and not boto3, which would cost a task more memory and give nothing that is used here.
        """
        client: S3Client = Session().create_client("s3", region_name=self._place.region, config=CONFIG)  # type: ignore[assignment]
        return client

    def put(self, key: str, body: bytes | bytearray, sha256: bytes, kind: str) -> None:
        """Write an object, whole or not at all; S3 refuses a body that does not have this digest.

        Raises:
            botocore.exceptions.ClientError: it may not be written, or there is no such bucket of this owner.
        """
        self._client.put_object(
            Bucket=self._place.bucket,
            ExpectedBucketOwner=self._place.owner,
            Key=key,
            Body=body,  # type: ignore[arg-type] # a bytearray is taken, too
            ContentType=kind,
            ChecksumSHA256=base64.b64encode(sha256).decode(),
        )

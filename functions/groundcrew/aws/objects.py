"""Objects in S3: as a role of a spoke in its account's buckets, or as the function itself in the hub's.

Every call names the account that must own the bucket: a bucket that somebody else made under an expected name gets
nothing (https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from groundcrew.aws.errors import translated
from groundcrew.aws.session import Role, Roles, own_client
from groundcrew.errors import AlreadyExists, PermanentError, TransientError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it lies in its bucket; ``version`` is None in a bucket without versions."""

    key: str
    version: str | None
    etag: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Its own keys, in small letters, as S3 gives them back."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One version of an object, or the mark of its deletion."""

    key: str
    version: str
    latest: bool
    deleted: bool
    modified: datetime


class Bucket:
    """The objects of one bucket.

    What every method raises: NotFound (no such bucket or object), AccessDenied, another PermanentError (such as a
    KMS key that is disabled), or TransientError.
    """

    def __init__(self, client: Callable[[], "S3Client"], name: str, owner: str) -> None:
        """Use :meth:`of_spoke` or :meth:`own`."""
        self._client, self.name, self._owner = client, name, owner

    @classmethod
    def of_spoke(cls, roles: Roles, role: Role, name: str) -> "Bucket":
        """A bucket of a spoke's account and Region, as one of its roles."""
        return cls(lambda: roles.client("s3", role), name, role.account)

    @classmethod
    def own(cls, name: str, account: str, region: str) -> "Bucket":
        """A bucket of the hub, with the function's own role."""
        return cls(lambda: own_client("s3", region), name, account)

    @property
    def _whose(self) -> dict[str, Any]:
        return {"Bucket": self.name, "ExpectedBucketOwner": self._owner}

    def head(self, key: str) -> Stored:
        """What is known of an object without its content."""
        with translated(f"s3:HeadObject of {self.name}/{key}"):
            answer = self._client().head_object(Key=key, **self._whose)
        return Stored(key, answer.get("VersionId"), answer["ETag"], answer.get("Metadata") or {})

    def get(self, key: str, version: str | None = None) -> tuple[Stored, bytes]:
        """An object, all of it, in that version or in its latest."""
        chosen: Any = {"VersionId": version} if version else {}
        with translated(f"s3:GetObject of {self.name}/{key}"):
            answer = self._client().get_object(Key=key, **chosen, **self._whose)
            content = answer["Body"].read()
        return Stored(key, answer.get("VersionId"), answer["ETag"], answer.get("Metadata") or {}), content

    def put(
        self,
        key: str,
        content: bytes,
        *,
        replaces: str | None = None,
        only_new: bool = False,
        metadata: Mapping[str, str] | None = None,
        content_type: str = JSON,
        kms_key: str | None = None,
    ) -> Stored:
        """Write an object: all of it or nothing (https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html).

        Args:
            key: where.
            content: what.
            replaces: the ETag that must still be there.
            only_new: there must be no such object.
            metadata: names in small letters, values in ASCII.
            content_type: of the content.
            kms_key: encrypt with this key; by default with what the bucket's owner chose for the bucket.

        Raises:
            AlreadyExists: with ``only_new``, there is one.
            TransientError: with ``replaces``, another one is there by now (``ChangedMeanwhile``).
        """
        more: Any = {}
        if replaces:
            more["IfMatch"] = replaces
        if only_new:
            more["IfNoneMatch"] = "*"
        if kms_key:
            more |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}
        doing = f"s3:PutObject of {self.name}/{key}"
        try:
            with translated(doing):
                answer = self._client().put_object(
                    Key=key,
                    Body=content,
                    ContentType=content_type,
                    Metadata=dict(metadata or {}),
                    **more,
                    **self._whose,
                )
        except PermanentError as error:
            if error.cause == "PreconditionFailed" and only_new:
                raise AlreadyExists(f"{doing}: there is one", cause="AlreadyExists") from error
            if error.cause == "PreconditionFailed" or (replaces and error.cause == "NoSuchKey"):
                raise TransientError(f"{doing}: it was changed meanwhile", cause="ChangedMeanwhile") from error
            raise
        return Stored(key, answer.get("VersionId"), answer["ETag"], metadata or {})

    def delete(self, key: str, version: str | None = None) -> None:
        """Delete an object (with versions: hide it), or one version of it for good; gone already is good, too."""
        chosen: Any = {"VersionId": version} if version else {}
        with translated(f"s3:DeleteObject of {self.name}/{key}"):
            self._client().delete_object(Key=key, **chosen, **self._whose)

    def keys(self, prefix: str, after: str = "") -> list[str]:
        """The keys of all objects below a prefix that come after ``after``, in order."""
        with translated(f"s3:ListObjectsV2 of {self.name}/{prefix}"):
            chosen: Any = {"Prefix": prefix, "StartAfter": after} if after else {"Prefix": prefix}
            pages = self._client().get_paginator("list_objects_v2").paginate(**chosen, **self._whose)
            return [item["Key"] for page in pages for item in page.get("Contents") or ()]

    def versions(self, key: str) -> list[Listed]:
        """Every version of one object, and the marks of its deletion, in no order."""
        with translated(f"s3:ListObjectVersions of {self.name}/{key}"):
            return [version for version in self._listed(key) if version.key == key]

    def _listed(self, prefix: str) -> Iterator[Listed]:
        pages = self._client().get_paginator("list_object_versions").paginate(Prefix=prefix, **self._whose)
        for page in pages:
            for kind, deleted in (("Versions", False), ("DeleteMarkers", True)):
                items: Any = page.get(kind) or []
                for item in items:
                    yield Listed(item["Key"], item["VersionId"], item["IsLatest"], deleted, item["LastModified"])

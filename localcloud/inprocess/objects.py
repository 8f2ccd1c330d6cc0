"""S3 of the in-process cloud: buckets with versions, conditional writes, multipart uploads and encryption.

There is no IAM here: a bucket answers its owner's account, and those that ``readers`` and ``writers`` name.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.model.caller import Caller, Ids
from localcloud.model.errors import AwsError
from localcloud.model.network import Record

SMALLEST_PART = 5 * 1024 * 1024
"""Bytes of every part but the last (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html)."""

_READS = ("GetObject", "HeadObject", "ListObjectsV2", "ListObjectVersions")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object; without content it is a delete marker."""

    id: str
    content: bytes | None
    etag: str
    modified: float
    headers: Record  # members of GetObject's answer that do not change


@dataclass
class Upload:
    """A multipart upload that has not ended."""

    key: str
    headers: Record
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)  # number -> ETag, content


@dataclass
class Bucket:
    """One bucket; ``kms_key`` is its default encryption, if not S3's own keys."""

    name: str
    owner: str
    region: str
    versioned: bool = True
    kms_key: str | None = None
    readers: set[str] = field(default_factory=set)
    writers: set[str] = field(default_factory=set)
    keys: defaultdict[str, list[Version]] = field(default_factory=lambda: defaultdict(list))  # the newest is the last
    uploads: dict[str, Upload] = field(default_factory=dict)

    def current(self, key: str) -> Version | None:
        """What GetObject would give."""
        versions = self.keys.get(key)
        return versions[-1] if versions and versions[-1].content is not None else None

    def content(self, key: str) -> bytes | None:
        """The content of an object, for tests."""
        version = self.current(key)
        return version.content if version else None


@dataclass
class Objects:
    """All buckets; their names are one for everybody."""

    now: Callable[[], float]
    ids: Ids
    buckets: dict[str, Bucket] = field(default_factory=dict)
    disabled_keys: set[str] = field(default_factory=set)  # ARNs of KMS keys

    def bucket(self, name: str, owner: str, region: str = "us-east-1", **options: Any) -> Bucket:
        """This bucket, made if it does not exist."""
        return self.buckets.setdefault(name, Bucket(name, owner, region, **options))

    def call(self, name: str, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Run one operation; ``AwsError`` is its error answer."""
        bucket = self._bucket(name, caller, params)
        match name:
            case "PutObject":
                self._conditions(bucket, params)
                return self._put(bucket, params["Key"], params.get("Body") or b"", self._headers(bucket, params))
            case "GetObject" | "HeadObject":
                found = self._get(bucket, params)
                if name == "GetObject":
                    self._usable(found["SSEKMSKeyId"])
                return found
            case "DeleteObject":
                return self._delete(bucket, params["Key"], params.get("VersionId"))
            case "ListObjectsV2":
                return self._list(bucket, params)
            case "ListObjectVersions":
                return self._versions(bucket, params)
            case "CreateMultipartUpload":
                upload_id = self.ids.new("", 32)
                bucket.uploads[upload_id] = Upload(params["Key"], self._headers(bucket, params))
                return {"Bucket": bucket.name, "Key": params["Key"], "UploadId": upload_id}
            case "UploadPart":
                content = params.get("Body") or b""
                etag = f'"{_md5(content)}"'
                self._upload(bucket, params).parts[params["PartNumber"]] = (etag, content)
                return {"ETag": etag}
            case "CompleteMultipartUpload":
                return self._complete(bucket, params)
            case "AbortMultipartUpload":
                self._upload(bucket, params)
                del bucket.uploads[params["UploadId"]]
                return {}
            case _:
                raise NotImplementedError(f"s3:{name} has no answer in process")

    def _bucket(self, name: str, caller: Caller, params: Mapping[str, Any]) -> Bucket:
        bucket = self.buckets.get(params["Bucket"])
        if bucket is None:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        admitted = bucket.readers if name in _READS else bucket.writers
        if caller.account not in {bucket.owner, *admitted} or params.get("ExpectedBucketOwner", bucket.owner) != (
            bucket.owner
        ):
            raise AwsError("AccessDenied", "Access Denied", 403)
        return bucket

    def _headers(self, bucket: Bucket, params: Mapping[str, Any]) -> Record:
        kms_key = params.get("SSEKMSKeyId") or bucket.kms_key
        encryption = params.get("ServerSideEncryption") or ("aws:kms" if kms_key else "AES256")
        self._usable(kms_key)
        kept = {key: params[key] for key in ("ContentType", "ContentEncoding", "Metadata") if params.get(key)}
        return {**kept, "ServerSideEncryption": encryption, "SSEKMSKeyId": kms_key}

    def _usable(self, kms_key: str | None) -> None:
        """The code is KMS's own, behind a prefix."""
        if kms_key in self.disabled_keys:
            raise AwsError("KMS.DisabledException", f"{kms_key} is disabled.", 400)

    @staticmethod
    def _conditions(bucket: Bucket, params: Mapping[str, Any]) -> None:
        """https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html"""
        current = bucket.current(params["Key"])
        if params.get("IfNoneMatch") == "*" and current is not None:
            raise AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
        if "IfMatch" in params:
            if current is None:
                raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
            if current.etag.strip('"') != params["IfMatch"].strip('"'):
                raise AwsError(
                    "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412
                )

    def _put(self, bucket: Bucket, key: str, content: bytes, headers: Record, etag: str = "") -> Record:
        # An ETag is the content's MD5 only without KMS: nobody may rely on it.
        tag = etag or (self.ids.new("", 32) if headers["SSEKMSKeyId"] else _md5(content))
        version = Version(self.ids.new("", 32), content, f'"{tag}"', self.now(), headers)
        self._add(bucket, key, version)
        shown = {name: headers[name] for name in ("ServerSideEncryption", "SSEKMSKeyId")}
        return {"ETag": version.etag, "VersionId": version.id if bucket.versioned else None, **shown}

    @staticmethod
    def _add(bucket: Bucket, key: str, version: Version) -> None:
        if not bucket.versioned:
            bucket.keys[key].clear()
        bucket.keys[key].append(version)

    def _get(self, bucket: Bucket, params: Mapping[str, Any]) -> Record:
        wanted = params.get("VersionId")
        versions = bucket.keys.get(params["Key"], [])
        version = next((one for one in versions if one.id == wanted), None) if wanted else bucket.current(params["Key"])
        if version is None or version.content is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        if params.get("IfMatch") and params["IfMatch"].strip('"') != version.etag.strip('"'):
            raise AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
        return {
            **version.headers,
            "Body": version.content,
            "ContentLength": len(version.content),
            "ETag": version.etag,
            "LastModified": version.modified,
            "VersionId": version.id if bucket.versioned else None,
        }

    def _delete(self, bucket: Bucket, key: str, version_id: str | None) -> Record:
        if version_id:
            bucket.keys[key] = [version for version in bucket.keys[key] if version.id != version_id]
            return {"VersionId": version_id}
        if not bucket.versioned:
            bucket.keys.pop(key, None)
            return {}
        marker = Version(self.ids.new("", 32), None, "", self.now(), {})
        bucket.keys[key].append(marker)
        return {"DeleteMarker": True, "VersionId": marker.id}

    @staticmethod
    def _list(bucket: Bucket, params: Mapping[str, Any]) -> Record:
        prefix, after = params.get("Prefix", ""), params.get("ContinuationToken") or params.get("StartAfter", "")
        keys = sorted(key for key in bucket.keys if key.startswith(prefix) and key > after and bucket.current(key))
        limit = int(params.get("MaxKeys", 1000))
        page = [(key, version) for key in keys[:limit] if (version := bucket.current(key))]
        more = len(keys) > limit
        return {
            "Name": bucket.name,
            "Prefix": prefix,
            "KeyCount": len(page),
            "IsTruncated": more,
            "NextContinuationToken": page[-1][0] if more else None,
            "Contents": [
                {"Key": key, "ETag": one.etag, "LastModified": one.modified, "Size": len(one.content or b"")}
                for key, one in page
            ],
        }

    @staticmethod
    def _versions(bucket: Bucket, params: Mapping[str, Any]) -> Record:
        """All in one answer: no test makes a thousand."""
        found: dict[str, list[Record]] = {"Versions": [], "DeleteMarkers": []}
        for key in sorted(key for key in bucket.keys if key.startswith(params.get("Prefix", ""))):
            for version in reversed(bucket.keys[key]):
                facts = {"Key": key, "VersionId": version.id, "LastModified": version.modified}
                facts["IsLatest"] = version is bucket.keys[key][-1]
                if version.content is None:
                    found["DeleteMarkers"].append(facts)
                else:
                    found["Versions"].append({**facts, "ETag": version.etag, "Size": len(version.content)})
        return {"Name": bucket.name, "Prefix": params.get("Prefix", ""), "IsTruncated": False, **found}

    @staticmethod
    def _upload(bucket: Bucket, params: Mapping[str, Any]) -> Upload:
        upload = bucket.uploads.get(params["UploadId"])
        if upload is None:
            raise AwsError("NoSuchUpload", "The specified upload does not exist.", 404)
        return upload

    def _complete(self, bucket: Bucket, params: Mapping[str, Any]) -> Record:
        upload = self._upload(bucket, params)
        named = [(int(part["PartNumber"]), part["ETag"].strip('"')) for part in params["MultipartUpload"]["Parts"]]
        if named != sorted(named):
            raise AwsError("InvalidPartOrder", "The list of parts was not in ascending order.", 400)
        parts = []
        for number, etag in named:
            known = upload.parts.get(number)
            if known is None or known[0].strip('"') != etag:
                raise AwsError("InvalidPart", "One or more of the specified parts could not be found.", 400)
            parts.append(known[1])
        if any(len(part) < SMALLEST_PART for part in parts[:-1]):
            raise AwsError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", 400)
        self._conditions(bucket, {**params, "Key": upload.key})
        digests = b"".join(bytes.fromhex(_md5(part)) for part in parts)
        answer = self._put(bucket, upload.key, b"".join(parts), upload.headers, f"{_md5(digests)}-{len(parts)}")
        del bucket.uploads[params["UploadId"]]
        return {"Bucket": bucket.name, "Key": upload.key, **answer}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()

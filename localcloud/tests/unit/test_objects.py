"""S3's double: what the product, and what code inside an environment, may rely on."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from localcloud.inprocess.aws import InProcessAws, in_process
from localcloud.inprocess.objects import SMALLEST_PART
from localcloud.model.errors import AwsError
from localcloud.protocol.rest_xml import unchunked

OWNER = "111111111111"


@pytest.fixture
def aws() -> Iterator[InProcessAws]:
    with in_process() as opened:
        opened.objects.bucket("data", OWNER)
        yield opened


@pytest.fixture
def s3(aws: InProcessAws) -> Any:
    return boto3.session.Session().client("s3")


def refused(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def upload(s3: Any, *sizes: int) -> tuple[str, list[dict[str, Any]]]:
    upload_id = s3.create_multipart_upload(Bucket="data", Key="big")["UploadId"]
    parts = []
    for number, size in enumerate(sizes, start=1):
        body = bytes([number]) * size
        answer = s3.upload_part(Bucket="data", Key="big", UploadId=upload_id, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    return upload_id, parts


def test_any_key_and_any_content_come_back(s3: Any) -> None:
    key, content = "dags/a b+c/é%20.txt", bytes(range(256)) * 300
    s3.put_object(Bucket="data", Key=key, Body=content, Metadata={"who": "me"}, ContentType="text/plain")
    answer = s3.get_object(Bucket="data", Key=key)
    assert (answer["Body"].read(), answer["Metadata"], answer["ContentType"]) == (content, {"who": "me"}, "text/plain")
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="data", Prefix="dags/")["Contents"]] == [key]


def test_a_dotted_bucket_is_in_the_path(aws: InProcessAws, s3: Any) -> None:
    aws.objects.bucket("with.dots", OWNER)
    s3.put_object(Bucket="with.dots", Key="a/b", Body=b"1")
    assert aws.objects.buckets["with.dots"].content("a/b") == b"1"


def test_lists_come_in_pages(s3: Any) -> None:
    for number in range(5):
        s3.put_object(Bucket="data", Key=f"k{number}", Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="data", PaginationConfig={"PageSize": 2})
    assert [[one["Key"] for one in page["Contents"]] for page in pages] == [["k0", "k1"], ["k2", "k3"], ["k4"]]


def test_an_upload_is_seen_only_when_it_is_complete(aws: InProcessAws, s3: Any) -> None:
    upload_id, parts = upload(s3, SMALLEST_PART, 10)
    assert aws.objects.buckets["data"].content("big") is None
    s3.complete_multipart_upload(Bucket="data", Key="big", UploadId=upload_id, MultipartUpload={"Parts": parts})
    content = aws.objects.buckets["data"].content("big")
    assert content == b"\1" * SMALLEST_PART + b"\2" * 10
    assert s3.head_object(Bucket="data", Key="big")["ETag"].endswith('-2"')


def test_what_is_wrong_with_an_upload_is_said(s3: Any) -> None:
    upload_id, parts = upload(s3, 10, 10)
    complete = s3.complete_multipart_upload
    where: dict[str, Any] = {"Bucket": "data", "Key": "big", "UploadId": upload_id}
    assert refused(complete, **where, MultipartUpload={"Parts": parts}) == "EntityTooSmall"
    assert refused(complete, **where, MultipartUpload={"Parts": parts[::-1]}) == "InvalidPartOrder"
    unknown = [{"PartNumber": 3, "ETag": parts[0]["ETag"]}]
    assert refused(complete, **where, MultipartUpload={"Parts": unknown}) == "InvalidPart"
    s3.abort_multipart_upload(**where)
    assert refused(complete, **where, MultipartUpload={"Parts": parts}) == "NoSuchUpload"


def test_writes_may_depend_on_what_is_there(s3: Any) -> None:
    etag = s3.put_object(Bucket="data", Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, Bucket="data", Key="k", Body=b"2", IfNoneMatch="*") == "PreconditionFailed"
    s3.put_object(Bucket="data", Key="k", Body=b"2", IfMatch=etag)
    assert refused(s3.put_object, Bucket="data", Key="k", Body=b"3", IfMatch=etag) == "PreconditionFailed"
    assert refused(s3.put_object, Bucket="data", Key="none", Body=b"3", IfMatch=etag) == "NoSuchKey"


@pytest.mark.parametrize(("content", "whole"), [(b"abc", True), (b"abd", False)])
def test_a_body_is_held_against_its_checksum(content: bytes, whole: bool) -> None:
    sent = b"3\r\n" + content + b"\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n"
    if whole:
        assert unchunked(sent) == content
        return
    with pytest.raises(AwsError, match="BadDigest"):
        unchunked(sent)


def test_only_its_owner_and_whom_it_admits_use_a_bucket(aws: InProcessAws, s3: Any) -> None:
    aws.objects.bucket("theirs", "222222222222", readers={OWNER})
    assert refused(s3.put_object, Bucket="theirs", Key="k", Body=b"") == "AccessDenied"
    assert refused(s3.get_object, Bucket="theirs", Key="k") == "NoSuchKey"
    assert refused(s3.get_object, Bucket="data", Key="k", ExpectedBucketOwner="222222222222") == "AccessDenied"
    assert refused(s3.get_object, Bucket="none", Key="k") == "NoSuchBucket"


def test_without_versions_nothing_old_is_kept(aws: InProcessAws, s3: Any) -> None:
    aws.objects.bucket("plain", OWNER, versioned=False)
    assert "VersionId" not in s3.put_object(Bucket="plain", Key="k", Body=b"1")
    s3.put_object(Bucket="plain", Key="k", Body=b"2")
    assert len(aws.objects.buckets["plain"].keys["k"]) == 1
    s3.delete_object(Bucket="plain", Key="k")
    assert aws.objects.buckets["plain"].content("k") is None

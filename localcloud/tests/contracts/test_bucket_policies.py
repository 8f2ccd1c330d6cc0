"""A bucket's own policy: who of other accounts may write, each below its own account's prefix.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import HUB, SPOKE, LocalCloud, allow, unique

VARIABLE = "${aws:PrincipalAccount}"


@pytest.fixture
def bucket(cloud: LocalCloud) -> str:
    name = unique("bucket").lower()
    cloud.client("s3", HUB).create_bucket(Bucket=name)
    return name


@pytest.fixture
def writer(cloud: LocalCloud) -> Any:
    """S3 with a role of another account that may put anything anywhere, as far as that account is concerned."""
    statement = allow("s3:PutObject", "arn:aws:s3:::*")
    return cloud.as_role("s3", cloud.role(statement, account=SPOKE, trust="airflow-env.amazonaws.com"))


def _document(statement: Any, version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": [statement]})


def _let(cloud: LocalCloud, bucket: str, version: str = "2012-10-17") -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/extracts/{VARIABLE}/*",
        "Condition": {"StringEquals": {"aws:PrincipalAccount": SPOKE}},
    }
    cloud.client("s3", HUB).put_bucket_policy(Bucket=bucket, Policy=_document(statement, version))


def test_the_callers_account_is_a_variable(cloud: LocalCloud, bucket: str, writer: Any) -> None:
    _let(cloud, bucket)
    writer.put_object(Bucket=bucket, Key=f"extracts/{SPOKE}/x", Body=b"")
    for key in (f"extracts/{HUB}/x", "manifests/x", f"extracts/{VARIABLE}/x"):
        with pytest.raises(ClientError, match="AccessDenied"):
            writer.put_object(Bucket=bucket, Key=key, Body=b"")


def test_in_policies_of_the_older_version_it_is_text(cloud: LocalCloud, bucket: str, writer: Any) -> None:
    _let(cloud, bucket, "2008-10-17")
    with pytest.raises(ClientError, match="AccessDenied"):
        writer.put_object(Bucket=bucket, Key=f"extracts/{SPOKE}/x", Body=b"")


def test_without_a_policy_no_other_account_writes(bucket: str, writer: Any) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        writer.put_object(Bucket=bucket, Key=f"extracts/{SPOKE}/x", Body=b"")


def test_who_replaces_an_object_on_a_condition_may_read_it(cloud: LocalCloud, bucket: str) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html"""
    etag = cloud.client("s3", HUB).put_object(Bucket=bucket, Key="x", Body=b"1")["ETag"]
    objects = f"arn:aws:s3:::{bucket}/*"
    writes = cloud.as_role("s3", cloud.role(allow("s3:PutObject", objects)))
    writes.put_object(Bucket=bucket, Key="new", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="AccessDenied"):
        writes.put_object(Bucket=bucket, Key="x", Body=b"2", IfMatch=etag)
    reads_too = cloud.as_role("s3", cloud.role(allow(["s3:GetObject", "s3:PutObject"], objects)))
    reads_too.put_object(Bucket=bucket, Key="x", Body=b"2", IfMatch=etag)

"""A bucket's own policy: who of other accounts may write, each below its own account's prefix.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.aws import Aws
from tests.cloud.conftest import unique

HUB, SPOKE = "111111111111", "222222222222"
VARIABLE = "${aws:PrincipalAccount}"


@pytest.fixture
def bucket(aws: Aws) -> str:
    name = unique("bucket").lower()
    aws.client("s3", HUB).create_bucket(Bucket=name)
    return name


@pytest.fixture
def writer(aws: Aws) -> Any:
    """S3 with a role of another account that may put anything anywhere, as far as that account is concerned."""
    iam, name = aws.client("iam", SPOKE), unique("writer")
    trust = {"Effect": "Allow", "Principal": {"Service": "airflow-env.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust))["Role"]["Arn"]
    statement = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::*"}
    iam.put_role_policy(RoleName=name, PolicyName="put", PolicyDocument=_document(statement))
    return aws.as_role("s3", role)


def _document(statement: Any, version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": [statement]})


def _let(aws: Aws, bucket: str, version: str = "2012-10-17") -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/extracts/{VARIABLE}/*",
        "Condition": {"StringEquals": {"aws:PrincipalAccount": SPOKE}},
    }
    aws.client("s3", HUB).put_bucket_policy(Bucket=bucket, Policy=_document(statement, version))


def test_the_callers_account_is_a_variable(aws: Aws, bucket: str, writer: Any) -> None:
    _let(aws, bucket)
    writer.put_object(Bucket=bucket, Key=f"extracts/{SPOKE}/x", Body=b"")
    for key in (f"extracts/{HUB}/x", "manifests/x", f"extracts/{VARIABLE}/x"):
        with pytest.raises(ClientError, match="AccessDenied"):
            writer.put_object(Bucket=bucket, Key=key, Body=b"")


def test_in_policies_of_the_older_version_it_is_text(aws: Aws, bucket: str, writer: Any) -> None:
    _let(aws, bucket, "2008-10-17")
    with pytest.raises(ClientError, match="AccessDenied"):
        writer.put_object(Bucket=bucket, Key=f"extracts/{SPOKE}/x", Body=b"")


def test_without_a_policy_no_other_account_writes(bucket: str, writer: Any) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        writer.put_object(Bucket=bucket, Key=f"extracts/{SPOKE}/x", Body=b"")

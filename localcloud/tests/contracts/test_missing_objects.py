"""Objects that are not there: S3 says so only to those who may list them.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import SPOKE, LocalCloud, allow, unique


def status(call: Any, **params: Any) -> int:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return int(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_a_missing_object_is_denied_to_those_who_may_not_list_it(cloud: LocalCloud, operation: str) -> None:
    bucket = unique("missing")
    cloud.client("s3", SPOKE).create_bucket(Bucket=bucket)

    def asked(key: str, *statements: dict[str, Any]) -> int:
        role = cloud.role(allow("s3:GetObject"), *statements, account=SPOKE)
        return status(getattr(cloud.as_role("s3", role), operation), Bucket=bucket, Key=key)

    lists = allow("s3:ListBucket", f"arn:aws:s3:::{bucket}", StringLike={"s3:prefix": ["tables/*", "verified/*"]})
    assert asked("tables/a") == 403
    assert asked("tables/a", allow("s3:ListBucket")) == 404
    assert [asked(key, lists) for key in ("tables/a", "verified/b", "other/c")] == [404, 404, 403]

"""What is ours: tags say so, and the resource must be of a kind that Groundcrew makes."""

from typing import Any

import pytest

from groundcrew.network import SecurityGroup, VpcEndpoint
from tests.support.endpoints.stories import (
    ARN,
    DATABASE,
    EARLIER,
    MINE,
    OWNER,
    SQS,
    endpoint,
    group,
    plan,
    touched,
    whole,
)

FOR_SQS = OWNER.shared_tags("sqs")
IN_CHINA = "cn.com.amazonaws.vpce.cn-north-1.vpce-svc-1"

RESOURCES: list[tuple[str, VpcEndpoint | SecurityGroup, bool]] = [
    ("an endpoint for MWAA's service", endpoint(), True),
    ("one whose purpose was lost", endpoint(tags={key: MINE[key] for key in MINE if "purpose" not in key}), True),
    ("one in China", endpoint(service=IN_CHINA), True),
    ("the VPC's endpoint for SQS", endpoint("sqs", tags=FOR_SQS), True),
    ("another stack's", endpoint(tags=MINE | {"groundcrew:stack": "111111111111/us-east-1/other"}), False),
    ("one for logs, tagged as a database's", endpoint(service="com.amazonaws.us-east-1.logs"), False),
    ("one for SQS, tagged as a database's", endpoint(service=SQS), False),
    ("one for logs, tagged as SQS's", endpoint("sqs", service="com.amazonaws.us-east-1.logs", tags=FOR_SQS), False),
    ("a database's, tagged as SQS's", endpoint("sqs", service=DATABASE, tags=FOR_SQS), False),
    ("MWAA's own", endpoint(tags=MINE | {"AmazonMWAAManaged": "true"}), False),
    ("a group named as we name groups", group(), True),
    ("a group of another name", group(name="databases"), False),
    ("a group that only ends like ours", group(name="not-groundcrew-data"), False),
    ("a group of MWAA's", group(tags=MINE | {"AmazonMWAAManaged": "true"}), False),
]


@pytest.mark.parametrize(("resource", "ours"), [case[1:] for case in RESOURCES], ids=[case[0] for case in RESOURCES])
def test_tags_alone_make_nothing_ours(resource: VpcEndpoint | SecurityGroup, ours: bool) -> None:
    assert OWNER.made(resource) is ours
    assert OWNER.owns(resource, ARN) is (ours and resource.tags.get("groundcrew:environment") == ARN)


def test_what_is_ours_for_one_environment_is_not_anothers() -> None:
    assert not OWNER.owns(endpoint(), ARN + "-2")


@pytest.mark.parametrize("status", ["PENDING", "AVAILABLE"])
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"service": "com.amazonaws.us-east-1.logs"}, id="another service"),
        pytest.param({"tags": MINE | {"AmazonMWAAManaged": "true"}}, id="MWAA's own"),
    ],
)
def test_nobody_can_have_an_endpoint_deleted_by_tagging_it(wrong: dict[str, Any], status: str) -> None:
    for state in ("available", "failed"):
        tagged = endpoint(id="vpce-tagged", state=state, created_at=EARLIER, **wrong)
        assert tagged.id not in touched(plan(*whole(), tagged, status=status).actions)


def test_nobody_can_have_a_group_used_or_deleted_by_tagging_it() -> None:
    tagged = group(id="sg-0", name="theirs"), group(id="sg-1", name="theirs", vpc_id="vpc-2")
    assert plan(*whole(), *tagged, status="AVAILABLE").actions == ()

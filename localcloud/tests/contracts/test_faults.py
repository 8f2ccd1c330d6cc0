"""The fault injector: each kind, in each service's own words, for one role only."""

import time
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from localcloud.testing.served import LocalCloud, allow, unique

pytestmark = pytest.mark.usefixtures("_no_faults")


@pytest.fixture(scope="module")
def role(cloud: LocalCloud) -> str:
    return cloud.role(allow("*"), name=unique("struck"))


def call(cloud: LocalCloud, role: str, service: str) -> Any:
    clients = {
        "ec2": lambda: cloud.as_role("ec2", role).describe_vpcs(),
        "events": lambda: cloud.as_role("events", role).list_event_buses(),
        "iam": lambda: cloud.as_role("iam", role).list_roles(),
        "lambda": lambda: cloud.as_role("lambda", role).list_functions(),
        "monitoring": lambda: cloud.as_role("cloudwatch", role).describe_alarms(),
        "mwaa": lambda: cloud.as_role("mwaa", role).list_environments(),
        "s3": lambda: cloud.as_role("s3", role).list_buckets(),
        "sqs": lambda: cloud.as_role("sqs", role).list_queues(),
        "ssm": lambda: cloud.as_role("ssm", role).describe_parameters(),
        "sts": lambda: cloud.as_role("sts", role).get_caller_identity(),
    }
    return clients[service]()


@pytest.mark.parametrize(
    ("service", "throttled", "status"),
    [
        ("ec2", "RequestLimitExceeded", 503),
        ("events", "ThrottlingException", 400),
        ("iam", "Throttling", 400),
        ("lambda", "TooManyRequestsException", 429),
        ("monitoring", "Throttling", 400),
        ("mwaa", "ThrottlingException", 429),
        ("s3", "SlowDown", 503),
        ("sqs", "RequestThrottled", 403),
        ("ssm", "ThrottlingException", 400),
        ("sts", "Throttling", 400),
    ],
)
def test_each_service_fails_in_its_own_words(
    cloud: LocalCloud, role: str, service: str, throttled: str, status: int
) -> None:
    struck = role.rsplit("/", 1)[-1]
    for kind, code, answer in (
        ("throttle", throttled, status),
        ("error", None, 500),
        ("denied", None, None),
    ):
        cloud.control.clear_faults()
        cloud.control.add_fault(role=struck, action=".*", kind=kind)
        with pytest.raises(ClientError) as failure:
            call(cloud, role, service)
        response = failure.value.response
        found = response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]
        if code:
            assert found == (code, answer)
        elif kind == "error":
            assert found[0].startswith("Internal"), found
            assert found[1] == 500
        else:
            assert found[0] in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
        assert cloud.control.faults()[0]["fired"] == 1
        call(cloud, role, service)  # only the first call


def test_the_nth_call_of_one_role_and_action(cloud: LocalCloud, role: str) -> None:
    cloud.control.add_fault(role=role, action="sqs:ListQueues", kind="throttle", nth=2, times=2)
    sqs, since = cloud.as_role("sqs", role), cloud.control.next_call()
    outcomes = []
    for _number in range(4):
        try:
            sqs.list_queues()
            outcomes.append(True)
        except ClientError:
            outcomes.append(False)
    assert outcomes == [True, False, False, True]
    cloud.as_role("sqs", cloud.role(allow("sqs:ListQueues"))).list_queues()
    rule = cloud.control.faults()[0]
    assert (rule["seen"], rule["fired"]) == (4, 2)
    assert [one["fault"] for one in cloud.control.calls(since, role=role)] == [None, "throttle", "throttle", None]


def test_a_dropped_answer_had_its_effect(cloud: LocalCloud, role: str) -> None:
    name = unique("queue")
    cloud.control.add_fault(role=role, action="sqs:CreateQueue", kind="drop")
    with pytest.raises(ConnectionClosedError):
        cloud.as_role("sqs", role).create_queue(QueueName=name)
    assert cloud.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]


def test_the_sdk_repeats_a_call_whose_answer_was_dropped(cloud: LocalCloud, role: str) -> None:
    cloud.control.add_fault(role=role, action="sqs:CreateQueue", kind="drop")
    sqs = cloud.aws.as_role("sqs", role, config=Config(retries={"total_max_attempts": 2, "mode": "standard"}))
    since = cloud.control.next_call()
    sqs.create_queue(QueueName=unique("queue"))
    assert [one["fault"] for one in cloud.control.calls(since, role=role)] == ["drop", None]


def test_a_delayed_answer(cloud: LocalCloud, role: str) -> None:
    cloud.control.add_fault(role=role, action="sqs:ListQueues", kind="delay", seconds=0.3)
    started = time.monotonic()
    cloud.as_role("sqs", role).list_queues()
    assert time.monotonic() - started >= 0.3

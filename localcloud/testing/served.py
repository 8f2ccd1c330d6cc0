"""A served local cloud: one for each test process, and what tests make in it."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from localcloud.__main__ import down, up
from localcloud.aws import Aws
from localcloud.client import Client
from localcloud.testing.waiting import DEADLINE_SECONDS, eventually

HUB, SPOKE, SPOKE2, OUTSIDER = "111111111111", "222222222222", "333333333333", "999999999999"


@dataclass(frozen=True)
class LocalCloud:
    """A served cloud, as tests use it."""

    control: Client
    aws: Aws

    def client(self, service: str, account: str = HUB, region: str = "us-east-1") -> Any:
        return self.aws.client(service, account, region)

    def as_role(self, service: str, role_arn: str, region: str = "us-east-1") -> Any:
        return self.aws.as_role(service, role_arn, region)

    def role(
        self,
        *statements: dict[str, Any],
        account: str = HUB,
        trust: dict[str, Any] | str = "lambda.amazonaws.com",
        path: str = "/groundcrew/",
        name: str = "",
    ) -> str:
        """The ARN of a new role with these statements; ``trust`` is a service or a whole trust statement."""
        iam = self.client("iam", account)
        name = name or unique("role")
        if isinstance(trust, str):
            trust = {"Effect": "Allow", "Principal": {"Service": trust}, "Action": "sts:AssumeRole"}
        created = iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=policy(trust))
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=policy(*statements))
        return str(created["Role"]["Arn"])

    def queue(self, account: str = HUB, region: str = "us-east-1", **attributes: str) -> tuple[str, str]:
        """URL and ARN of a new queue."""
        sqs = self.client("sqs", account, region)
        url = sqs.create_queue(QueueName=unique("queue"), Attributes=attributes)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return url, arn

    def received(
        self, url: str, account: str = HUB, region: str = "us-east-1", seconds: float = DEADLINE_SECONDS
    ) -> dict[str, Any]:
        """The next message of a queue, removed from it."""
        sqs = self.client("sqs", account, region)

        def message() -> dict[str, Any] | None:
            found = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], AttributeNames=["All"])
            return found["Messages"][0] if found.get("Messages") else None

        taken = eventually(message, seconds)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=taken["ReceiptHandle"])
        return dict(taken)


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: str | list[str] = "*", **condition: Any) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A cloud of this test process's own."""
    directory = tmp_path_factory.mktemp("localcloud")
    control = up(directory)
    yield LocalCloud(control, Aws(control))
    down(directory)


@pytest.fixture
def _no_faults(cloud: LocalCloud) -> Iterator[None]:
    yield
    cloud.control.clear_faults()

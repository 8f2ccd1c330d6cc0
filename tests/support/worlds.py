"""Two AWSs to try the same code on: the doubles of the local cloud, and moto.

A test that takes the fixture ``world`` runs on both. So what our doubles answer is compared with moto wherever the
product's own calls go. Where the two differ, the test says what AWS documents.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol
from unittest import mock

import boto3
import botocore.session

from localcloud.inprocess.aws import InProcessAws, in_process
from localcloud.inprocess.moto import MotoAws
from tests.support.stage import HUB, REGION, SPOKE, _client

ROLE = f"arn:aws:iam::{HUB}:role/machine"
MACHINE = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}


class World(Protocol):
    """Set up AWS for a test before the product calls it, and read its state afterwards."""

    aws: InProcessAws

    def bucket(self, name: str, account: str, *, versioned: bool = True) -> None: ...
    def delete_bucket(self, name: str) -> None: ...
    def parameter(self, name: str, value: str) -> None: ...
    def table(self, name: str) -> None: ...
    def queue(self, name: str) -> str: ...
    def messages(self, url: str) -> list[str]: ...
    def secret(self, name: str, account: str) -> str: ...
    def machine(self, name: str) -> str: ...
    def bus(self, name: str) -> None: ...
    def vpc(self, owner: str) -> str: ...
    def group(self, account: str, vpc: str, name: str) -> str: ...


@cache
def client(service: str, account: str) -> Any:
    """A client of the account's root, whichever AWS answers it."""
    return boto3.client(  # type: ignore[call-overload]
        service, region_name=REGION, aws_access_key_id=account, aws_secret_access_key="in-process"
    )


@dataclass
class OnDoubles:
    """The local cloud's own doubles, which tests fill directly."""

    aws: InProcessAws

    def bucket(self, name: str, account: str, *, versioned: bool = True) -> None:
        self.aws.objects.bucket(name, account, versioned=versioned)

    def delete_bucket(self, name: str) -> None:
        del self.aws.objects.buckets[name]

    def parameter(self, name: str, value: str) -> None:
        self.aws.parameters[name] = value

    def table(self, name: str) -> None:
        """A table of the doubles is there when it is used."""

    def queue(self, name: str) -> str:
        return f"https://sqs.{REGION}.amazonaws.com/{HUB}/{name}"

    def messages(self, url: str) -> list[str]:
        return [message["MessageBody"] for message in self.aws.small.messages if message["QueueUrl"] == url]

    def secret(self, name: str, account: str) -> str:
        return self.aws.small.secrets.add(account, REGION, name).arn

    def machine(self, name: str) -> str:
        return f"arn:aws:states:{REGION}:{HUB}:stateMachine:{name}"

    def bus(self, name: str) -> None:
        """Every bus of the doubles is there."""

    def vpc(self, owner: str) -> str:
        return self.aws.network.vpc(owner=owner)

    def group(self, account: str, vpc: str, name: str) -> str:
        return self.aws.security_group(account, vpc, name)


@dataclass
class OnMoto:
    """moto, filled through AWS's own operations."""

    aws: InProcessAws

    def bucket(self, name: str, account: str, *, versioned: bool = True) -> None:
        s3 = client("s3", account)
        s3.create_bucket(Bucket=name)
        if versioned:
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def delete_bucket(self, name: str) -> None:
        client("s3", SPOKE).delete_bucket(Bucket=name)

    def parameter(self, name: str, value: str) -> None:
        client("ssm", HUB).put_parameter(Name=name, Value=value, Type="String")

    def table(self, name: str) -> None:
        client("dynamodb", HUB).create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def queue(self, name: str) -> str:
        attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        return str(client("sqs", HUB).create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])

    def messages(self, url: str) -> list[str]:
        sqs, found = client("sqs", HUB), []
        while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found += [message["Body"] for message in batch]
        return found

    def secret(self, name: str, account: str) -> str:
        return str(client("secretsmanager", account).create_secret(Name=name)["ARN"])

    def machine(self, name: str) -> str:
        made = client("stepfunctions", HUB).create_state_machine(
            name=name, definition=json.dumps(MACHINE), roleArn=ROLE
        )
        return str(made["stateMachineArn"])

    def bus(self, name: str) -> None:
        client("events", HUB).create_event_bus(Name=name)

    def vpc(self, owner: str) -> str:
        return str(client("ec2", owner).create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])

    def group(self, account: str, vpc: str, name: str) -> str:
        made = client("ec2", account).create_security_group(GroupName=name, Description=name, VpcId=vpc)
        return str(made["GroupId"])


@contextmanager
def opened(kind: str) -> Iterator[World]:
    """``doubles`` or ``moto``, until the block ends; clients are kept, for one costs 15 ms."""
    behind = MotoAws if kind == "moto" else InProcessAws
    with (
        in_process(kind=behind) as aws,
        mock.patch.object(botocore.session.Session, "create_client", _client),
        mock.patch("botocore.retries.quota.RetryQuota.acquire", return_value=True),
    ):
        yield OnMoto(aws) if kind == "moto" else OnDoubles(aws)

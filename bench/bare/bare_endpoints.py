"""What ``endpoints`` asks AWS for an environment that needs nothing, by plain boto3."""

import json
from functools import cache
from typing import Any

import boto3

HUB, REGION = "111111111111", "us-east-1"


@cache
def client(service: str) -> Any:
    """A client with the function's own role."""
    return boto3.client(service, region_name=REGION)  # type: ignore[call-overload]


@cache
def observer(account: str) -> dict[str, str]:
    """The session of an account's observer role."""
    role = f"arn:aws:iam::{account}:role/groundcrew/groundcrew-observer-{REGION}"
    keys = client("sts").assume_role(RoleArn=role, RoleSessionName="bare")["Credentials"]
    return {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
    }


@cache
def observing(service: str, account: str) -> Any:
    """A client with an account's observer role."""
    return boto3.client(service, region_name=REGION, **observer(account))  # type: ignore[call-overload]


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """One message, one environment."""
    envelope = json.loads(event["Records"][0]["body"])
    account, name = envelope["account"], envelope["detail"]["name"]
    environment = observing("mwaa", account).get_environment(Name=name)["Environment"]
    client("ssm").get_parameter(Name="/groundcrew/endpoints/default")
    subnets = environment["NetworkConfiguration"]["SubnetIds"]
    owner = observing("ec2", account).describe_subnets(SubnetIds=subnets)["Subnets"][0]["OwnerId"]
    ec2 = observing("ec2", owner)
    ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-endpoint-type", "Values": ["Interface"]}])
    ec2.describe_security_groups(
        Filters=[
            {"Name": "tag:groundcrew:stack", "Values": [f"{HUB}/{REGION}/groundcrew"]},
            {"Name": "tag:groundcrew:environment", "Values": [environment["Arn"]]},
        ]
    )
    return {"batchItemFailures": []}

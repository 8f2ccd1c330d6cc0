"""What the sweep asks AWS, by plain boto3."""

import json
import os
from functools import cache
from typing import Any

import boto3

HUB, REGION = "111111111111", "us-east-1"


@cache
def client(service: str) -> Any:
    """A client with the function's own role."""
    return boto3.client(service, region_name=REGION)  # type: ignore[call-overload]


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """All accounts, one after the other."""
    entries = []
    for account in os.environ["GROUNDCREW_SPOKE_ACCOUNTS"].split(","):
        role = f"arn:aws:iam::{account}:role/groundcrew/groundcrew-observer-{REGION}"
        keys = client("sts").assume_role(RoleArn=role, RoleSessionName="bare")["Credentials"]
        session = {
            "region_name": REGION,
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }
        mwaa, ec2 = boto3.client("mwaa", **session), boto3.client("ec2", **session)
        names = mwaa.list_environments()["Environments"]
        tag: Any = {"Name": "tag:groundcrew:stack", "Values": [f"{HUB}/{REGION}/groundcrew"]}
        ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-endpoint-type", "Values": ["Interface"]}, tag])
        ec2.describe_security_groups(Filters=[tag])
        entries += [
            {
                "EventBusName": "groundcrew",
                "Source": "groundcrew",
                "DetailType": "Environment Observed",
                "Detail": json.dumps({"status": mwaa.get_environment(Name=name)["Environment"]["Status"]}),
            }
            for name in names
        ]
    client("events").put_events(Entries=entries)
    return {"environments": len(entries)}

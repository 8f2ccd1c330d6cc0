"""What the functions of ``tokens`` ask AWS where every token is fresh, by plain boto3."""

import json
from typing import Any

import boto3

REGION = "us-east-1"


def acting(role: str, account: str, service: str) -> Any:
    """A client with a role of an account."""
    arn = f"arn:aws:iam::{account}:role/groundcrew/groundcrew-{role}-{REGION}"
    keys = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="bare")["Credentials"]
    return boto3.client(  # type: ignore[call-overload]
        service,
        region_name=REGION,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def bound(name: str) -> dict[str, Any]:
    """A binding."""
    answer = boto3.client("ssm").get_parameter(Name=f"/groundcrew/tokens/{name}")
    found: dict[str, Any] = json.loads(answer["Parameter"]["Value"])
    return found


def held(account: str, name: str, bucket: str) -> None:
    """Look at the token of an environment."""
    s3, key = acting("courier", account, "s3"), f"groundcrew/tokens/{name}.json"
    whose = {"Bucket": bucket, "ExpectedBucketOwner": account}
    s3.list_object_versions(Prefix=key, **whose)
    s3.head_object(Key=key, **whose)


def look(event: dict[str, Any], context: object) -> dict[str, Any]:
    """One event about one environment."""
    about = json.loads(event["Records"][0]["body"])["detail"]["environment"]
    environment = acting("observer", about["account"], "mwaa").get_environment(Name=about["name"])["Environment"]
    bound(environment["Tags"]["groundcrew:tokens"])
    held(about["account"], about["name"], environment["SourceBucketArn"].rpartition(":")[2])
    return {"batchItemFailures": []}


def rotate(event: dict[str, Any], context: object) -> dict[str, Any]:
    """One order, of a binding that serves one account."""
    binding = bound(json.loads(event["Records"][0]["body"])["detail"]["binding"])
    for account in binding["accounts"]:
        mwaa = acting("observer", account, "mwaa")
        for name in mwaa.list_environments(MaxResults=25)["Environments"]:
            environment = mwaa.get_environment(Name=name)["Environment"]
            held(account, name, environment["SourceBucketArn"].rpartition(":")[2])
    return {"batchItemFailures": []}

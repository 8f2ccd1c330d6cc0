"""What the first functions of ``exports`` and ``cleanup`` ask AWS about an environment whose job is due, by boto3."""

import json
import os
from typing import Any

import boto3

REGION = "us-east-1"


def due(event: dict[str, Any], part: str, *, looks: bool) -> dict[str, Any]:
    """One event about one environment: its policy is read, and an execution is begun."""
    about = json.loads(event["Records"][0]["body"])["detail"]["environment"]
    role = f"arn:aws:iam::{about['account']}:role/groundcrew/groundcrew-observer-{REGION}"
    keys = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="bare")["Credentials"]
    mwaa = boto3.client(
        "mwaa",
        region_name=REGION,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    environment = mwaa.get_environment(Name=about["name"])["Environment"]
    name = environment["Tags"][f"groundcrew:{part}"]
    boto3.client("ssm").get_parameter(Name=f"/groundcrew/{part}/{name}")
    if looks:
        s3 = boto3.client("s3")
        folder = f"manifests/{about['account']}/{about['region']}/{about['name']}/"
        s3.list_objects_v2(Bucket=os.environ["GROUNDCREW_EXPORTS_BUCKET"], Prefix=folder)
    machine = os.environ["GROUNDCREW_MACHINE"]
    boto3.client("stepfunctions").start_execution(stateMachineArn=machine, name="bare", input=json.dumps(about))
    return {"batchItemFailures": []}


def exports(event: dict[str, Any], context: object) -> dict[str, Any]:
    """An environment that has never been exported."""
    return due(event, "exports", looks=True)


def cleanup(event: dict[str, Any], context: object) -> dict[str, Any]:
    """An environment whose policy only reports."""
    return due(event, "cleanup", looks=False)

"""No CodeArtifact token but where it belongs, in all that the scenarios before this one have left on the cloud."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from localcloud.installation import HUB, SPOKES
from localcloud.testing.served import unique
from tests.cloud.scenarios.deployed import REGIONS, Deployed
from tests.support.figures import Figure

OBJECTS = ("groundcrew/tokens/", "dags/codeartifact.txt")
"""Where tokens belong, in environments' buckets; nothing else of a bucket may hold one. Secrets are not looked into."""

PLANTED = "/aws/lambda/groundcrew-planted"


def left(groundcrew: Deployed) -> Iterator[tuple[str, str]]:
    """Everything that functions can have written, with where it is."""
    for account in (HUB, *SPOKES):
        for region in REGIONS:
            yield from _in_place(groundcrew, account, region)
        yield from _objects(groundcrew.aws.client("s3", account), account)
    yield from (("a fact", json.dumps(fact)) for fact in groundcrew.heard)


def _in_place(groundcrew: Deployed, account: str, region: str) -> Iterator[tuple[str, str]]:
    def client(service: str) -> Any:
        return groundcrew.aws.client(service, account, region)

    place = f"{account}/{region}"
    for group in client("logs").describe_log_groups()["logGroups"]:
        for page in client("logs").get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
            yield from ((f"{place} log {group['logGroupName']}", event["message"]) for event in page["events"])
    for function in client("lambda").list_functions()["Functions"]:
        yield f"{place} function {function['FunctionName']}", json.dumps(function, default=str)
    for page in client("ssm").get_paginator("get_parameters_by_path").paginate(Path="/", Recursive=True):
        yield from ((f"{place} parameter {one['Name']}", one["Value"]) for one in page["Parameters"])
    for page in client("cloudwatch").get_paginator("list_metrics").paginate():
        yield f"{place} metrics", json.dumps(page["Metrics"])
    for name in client("mwaa").list_environments()["Environments"]:
        yield f"{place} environment {name}", json.dumps(client("mwaa").get_environment(Name=name), default=str)
    for table in client("dynamodb").list_tables()["TableNames"]:
        yield f"{place} table {table}", json.dumps(client("dynamodb").scan(TableName=table)["Items"], default=str)
    for url in client("sqs").list_queues().get("QueueUrls", []):
        found = client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        yield from ((f"{place} queue {url}", message["Body"]) for message in found.get("Messages", []))


def _objects(s3: Any, account: str) -> Iterator[tuple[str, str]]:
    for bucket in s3.list_buckets()["Buckets"]:
        for one in s3.list_object_versions(Bucket=bucket["Name"]).get("Versions", []):
            if one["Key"].startswith(OBJECTS) or one["Size"] > 1_000_000:
                continue
            got = s3.get_object(Bucket=bucket["Name"], Key=one["Key"], VersionId=one["VersionId"])
            text = json.dumps(got["Metadata"]) + got["Body"].read().decode(errors="replace")
            yield f"{account} object {bucket['Name']}/{one['Key']}", text


def found(groundcrew: Deployed) -> list[str]:
    """Where there is a token that should not be there."""
    tokens = groundcrew.cloud.tokens()
    return [where for where, text in left(groundcrew) if any(token in text for token in tokens)]


def test_tokens_are_where_they_belong_only(groundcrew: Deployed, figure: Figure) -> None:
    tokens = groundcrew.cloud.tokens()
    if not tokens:
        pytest.skip("judges what other scenarios have left; in this run none has minted a token")
    assert found(groundcrew) == []
    figure("CodeArtifact tokens found nowhere else", len(tokens))
    figure("places looked into for them", sum(1 for _ in left(groundcrew)))


def test_a_token_elsewhere_is_found(groundcrew: Deployed) -> None:
    """The control: one in a log, in an object, in a parameter."""
    if not (tokens := groundcrew.cloud.tokens()):
        pytest.skip("in this run no token has been minted")
    text, bucket, parameter = f"it is {next(iter(tokens))}", unique("planted"), "/groundcrew/tokens/planted"
    logs, s3, ssm = (groundcrew.aws.client(service, HUB) for service in ("logs", "s3", "ssm"))
    logs.create_log_group(logGroupName=PLANTED)
    s3.create_bucket(Bucket=bucket)
    try:
        logs.create_log_stream(logGroupName=PLANTED, logStreamName="control")
        line = {"timestamp": round(time.time() * 1000), "message": text}
        logs.put_log_events(logGroupName=PLANTED, logStreamName="control", logEvents=[line])
        s3.put_object(Bucket=bucket, Key="groundcrew/startup/tokens.sh", Body=text.encode())
        ssm.put_parameter(Name=parameter, Type="String", Value=text)
        where = {one.rsplit(" ", 1)[-1] for one in found(groundcrew)}
        assert where == {PLANTED, parameter, f"{bucket}/groundcrew/startup/tokens.sh"}
    finally:
        logs.delete_log_group(logGroupName=PLANTED)
        s3.delete_object(Bucket=bucket, Key="groundcrew/startup/tokens.sh")
        s3.delete_bucket(Bucket=bucket)
        ssm.delete_parameter(Name=parameter)

"""What a Lambda function sees, and what happens when it fails.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

import io
import json
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import HUB, LocalCloud, allow, unique
from localcloud.testing.waiting import eventually

CODE = """
import json, os, sys, time
import boto3


class Trouble(Exception):
    pass


def handler(event, context):
    if "Records" in event:
        return records(event["Records"])
    if event.get("fail"):
        raise Trouble("as asked")
    if event.get("metric"):
        print(json.dumps({"_aws": {"Timestamp": 0, "CloudWatchMetrics": [{"Namespace": event["metric"], "Dimensions": [
            ["part"]], "Metrics": [{"Name": "Runs", "Unit": "Count"}]}]}, "part": "x", "Runs": [1, 2]}))
    if name := event.get("import"):
        __import__(name)
    if event.get("sleep"):
        time.sleep(event["sleep"])
    who = boto3.client("sts").get_caller_identity()["Arn"] if event.get("who") else None
    return {"path": sys.path, "environment": dict(os.environ), "who": who, "pid": os.getpid(), "arn":
            context.invoked_function_arn}


def records(messages):
    sqs = boto3.client("sqs")
    failed = []
    for message in messages:
        body = json.loads(message["body"])
        if seconds := body.get("sleep"):
            time.sleep(seconds)
        if url := body.get("hide"):
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["receiptHandle"], VisibilityTimeout=1000)
        if out := body.get("out"):
            facts = {"pid": os.getpid(), "at": time.time(), **body}
            sqs.send_message(QueueUrl=out, MessageBody=json.dumps(facts))
        if body.get("fail"):
            failed.append({"itemIdentifier": message["messageId"]})
    return {"batchItemFailures": failed}
"""

LOGS = allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"])


def package(code: str = CODE, name: str = "app.py") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, code)
    return packed.getvalue()


def function(cloud: LocalCloud, *statements: dict[str, Any], **settings: Any) -> str:
    """The name of a new function whose role may do this, besides writing its logs."""
    name = unique("function")
    defaults = {"Runtime": cloud.control.status()["runtime"], "Timeout": 10}
    cloud.client("lambda").create_function(
        FunctionName=name,
        Role=cloud.role(LOGS, *statements),
        Handler="app.handler",
        Code={"ZipFile": package()},
        **{**defaults, **settings},
    )
    return name


def invoke(cloud: LocalCloud, name: str, **event: Any) -> tuple[dict[str, Any], bool]:
    """The answer, and whether it is an error."""
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    return json.loads(answer["Payload"].read()), "FunctionError" in answer


@pytest.fixture(scope="module")
def plain(cloud: LocalCloud) -> str:
    return function(cloud)


def test_the_runtime_must_be_the_one_that_is_here(cloud: LocalCloud) -> None:
    with pytest.raises(ClientError, match="deploy with Runtime="):
        function(cloud, Runtime="python3.9")


def test_a_new_account_has_less_memory_for_functions(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
    with pytest.raises(ClientError, match="less than or equal to 3008"):
        function(cloud, MemorySize=3009)
    name = function(cloud, MemorySize=3008)
    with pytest.raises(ClientError, match="less than or equal to 3008"):
        cloud.client("lambda").update_function_configuration(FunctionName=name, MemorySize=3009)
    cloud.control.switch(**{"quota.lambda_memory_mb": 10_240})
    try:
        function(cloud, MemorySize=3540)
    finally:
        cloud.control.switch(**{"quota.lambda_memory_mb": 3008})


def test_environment_variables_have_four_kilobytes(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
    function(cloud, Environment={"Variables": {"NAME": "x" * 4092}})
    with pytest.raises(ClientError, match="4KB limit"):
        function(cloud, Environment={"Variables": {"NAME": "é" * 2047}})


def test_an_error_has_its_own_type(cloud: LocalCloud, plain: str) -> None:
    answer, failed = invoke(cloud, plain, fail=True)
    assert failed
    assert (answer["errorType"], answer["errorMessage"]) == ("Trouble", "as asked")


def test_a_function_sees_its_package_layers_runtime_and_nothing_of_the_host(cloud: LocalCloud, plain: str) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/python-package.html#python-package-searchpath"""
    answer, _failed = invoke(cloud, plain)
    environment = answer["environment"]
    assert answer["path"][0] == environment["LAMBDA_TASK_ROOT"]
    assert environment["AWS_ENDPOINT_URL"] == cloud.control.endpoint
    assert not [name for name in environment if name.startswith(("LOCALCLOUD_CLOUD", "PYTEST", "VIRTUAL", "HOME"))]
    for missing in ("ministack", "pytest", "aws_lambda_powertools", "localcloud", "pip"):
        error, failed = invoke(cloud, plain, **{"import": missing})
        assert failed, missing
        assert error["errorType"] == "ModuleNotFoundError"
    assert not invoke(cloud, plain, **{"import": "boto3"})[1]


def test_a_layer_is_importable(cloud: LocalCloud) -> None:
    content = package("", "python/only_in_the_layer.py")
    layer = cloud.client("lambda").publish_layer_version(LayerName=unique("layer"), Content={"ZipFile": content})
    name = function(cloud, Layers=[layer["LayerVersionArn"]])
    assert not invoke(cloud, name, **{"import": "only_in_the_layer"})[1]


def test_a_function_acts_as_its_role(cloud: LocalCloud, plain: str) -> None:
    answer, _failed = invoke(cloud, plain, who=True)
    assert answer["who"].startswith(f"arn:aws:sts::{HUB}:assumed-role/")
    assert answer["who"].endswith(f"/{plain}")
    assert answer["arn"].endswith(f":function:{plain}")


def test_reserved_concurrency_throttles(cloud: LocalCloud) -> None:
    name = function(cloud)
    cloud.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError, match="TooManyRequestsException"):
        invoke(cloud, name)


def test_a_timeout_ends_the_function(cloud: LocalCloud) -> None:
    answer, failed = invoke(cloud, function(cloud, Timeout=1), sleep=3)
    assert failed
    assert "timed out after 1.00 seconds" in answer["errorMessage"]


def test_logs_can_be_read_and_become_metrics(cloud: LocalCloud) -> None:
    name, namespace = function(cloud), unique("Test")
    invoke(cloud, name, metric=namespace)
    logs = cloud.client("logs")
    events = eventually(lambda: logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"])
    assert any(namespace in event["message"] for event in events)
    now = cloud.control.now()
    statistics = cloud.client("cloudwatch").get_metric_statistics(
        Namespace=namespace, MetricName="Runs", Dimensions=[{"Name": "part", "Value": "x"}],
        StartTime=now - 300, EndTime=now + 300, Period=600, Statistics=["Sum", "SampleCount"],
    )  # fmt: skip
    assert (statistics["Datapoints"][0]["Sum"], statistics["Datapoints"][0]["SampleCount"]) == (3, 2)


def test_a_role_without_log_permissions_writes_no_logs(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html"""
    name = unique("function")
    cloud.client("lambda").create_function(
        FunctionName=name, Role=cloud.role(), Handler="app.handler", Code={"ZipFile": package()},
        Runtime=cloud.control.status()["runtime"],
    )  # fmt: skip
    invoke(cloud, name)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        cloud.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")


def test_an_asynchronous_event_is_tried_three_times_and_then_kept(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html"""
    url, queue = cloud.queue()
    name = function(cloud, allow("sqs:SendMessage", queue))
    lambda_ = cloud.client("lambda")
    lambda_.put_function_event_invoke_config(FunctionName=name, DestinationConfig={"OnFailure": {"Destination": queue}})
    since = cloud.control.now()
    lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"fail": true}')
    for attempt, wait in ((1, 60), (2, 120), (3, 0)):
        fails(cloud, name, since, attempt)
        cloud.control.advance(wait)
    record = json.loads(cloud.received(url)["Body"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["requestPayload"] == {"fail": True}
    assert record["responsePayload"]["errorType"] == "Trouble"


def fails(cloud: LocalCloud, name: str, since: float, times: int) -> None:
    eventually(lambda: errors(cloud, name, since) == times)


def errors(cloud: LocalCloud, name: str, since: float) -> float:
    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda", MetricName="Errors", Dimensions=[{"Name": "FunctionName", "Value": name}],
        StartTime=since - 60, EndTime=cloud.control.now() + 60, Period=86400, Statistics=["Sum"],
    )  # fmt: skip
    return float(sum(point["Sum"] for point in found["Datapoints"]))


def test_the_role_must_be_allowed_to_send_to_the_destination(cloud: LocalCloud) -> None:
    url, queue = cloud.queue()
    name = function(cloud)
    lambda_ = cloud.client("lambda")
    lambda_.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": queue}}
    )
    since = cloud.control.next_call()
    lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"fail": true}')
    eventually(lambda: cloud.control.calls(since, action="sqs:SendMessage"))
    assert "Messages" not in cloud.client("sqs").receive_message(QueueUrl=url)


def test_a_rule_needs_the_functions_policy(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-lambda-permissions"""
    name, source = function(cloud), unique("source")
    events, lambda_ = cloud.client("events"), cloud.client("lambda")
    arn = events.put_rule(Name=source, EventPattern=json.dumps({"source": [source]}))["RuleArn"]
    target = lambda_.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    events.put_targets(Rule=source, Targets=[{"Id": "one", "Arn": target}])
    events.put_events(Entries=[{"Source": source, "DetailType": "x", "Detail": "{}"}])
    assert [one["code"] for one in cloud.control.failures() if one["source"] == arn] == ["NO_PERMISSIONS"]
    lambda_.add_permission(
        FunctionName=name, StatementId="rule", Action="lambda:InvokeFunction", SourceArn=arn,
        Principal="events.amazonaws.com",
    )  # fmt: skip
    events.put_events(Entries=[{"Source": source, "DetailType": "x", "Detail": "{}"}])
    logs = cloud.client("logs")
    eventually(lambda: logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"])

"""Input transformers: a rule turns an event into the message a queue gets.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import HUB, SPOKE, LocalCloud, unique
from localcloud.tests.contracts.test_eventbridge import (
    ORGANIZATION,
    admit,
    entry,
    forward_role,
    guarded_queue,
    new_bus,
    open_to,
    put,
    rule,
)
from localcloud.tests.contracts.test_stacks import Stack, typed

PATHS = {
    "id": "$.id", "account": "$.account", "time": "$.time", "first": "$.resources[0]", "name": "$.detail.run.name",
    "conf": "$.detail.run.conf", "none": "$.detail.run.none", "list": "$.detail.list", "missing": "$.detail.missing",
}  # fmt: skip
DETAIL: dict[str, Any] = {"run": {"name": 'a "b"', "conf": {"x": [1, {"y": "z"}]}, "none": None}, "list": [1, "two"]}


def transformed(cloud: LocalCloud, template: str, **paths: str) -> str:
    """What a queue gets of an event on a bus of its own, through a rule with this template."""
    bus = new_bus(cloud)
    url, queue = cloud.queue()
    source = unique("source")
    transformer = {"InputPathsMap": paths or PATHS, "InputTemplate": template}
    arn = rule(cloud, {"Arn": queue, "InputTransformer": transformer}, bus, source=source)
    admit(cloud, url, queue, arn)
    put(cloud, {**entry(source, bus.rsplit("/", 1)[-1], **DETAIL), "Resources": ["arn:one", "arn:two"]})
    return str(cloud.received(url)["Body"])


def test_values_stand_as_json_where_the_template_does_not_quote_them(cloud: LocalCloud) -> None:
    template = (
        '{"id": <id>, "account": <account>, "time": <time>, "first": <first>, "name": <name>, "none": <none>,'
        ' "conf": <conf>, "list": <list>, "missing": <missing>, "text": "of <account>: <list>"}'
    )
    body = json.loads(transformed(cloud, template))
    assert len(body["id"]) == 36
    assert body["time"].endswith("Z")
    assert (body["account"], body["first"], body["missing"], body["none"]) == (HUB, "arn:one", "", None)
    assert (body["name"], body["conf"], body["list"]) == (DETAIL["run"]["name"], DETAIL["run"]["conf"], DETAIL["list"])
    assert body["text"] == f"of {HUB}: [1, two]"


def test_the_reserved_variables(cloud: LocalCloud) -> None:
    template = (
        '{"envelope": <aws.events.event>, "event": <aws.events.event.json>, "rule": "<aws.events.rule-name>",'
        ' "arn": <aws.events.rule-arn>, "at": "<aws.events.event.ingestion-time>"}'
    )
    body = json.loads(transformed(cloud, template, unused="$.id"))
    assert body["event"] == {**body["envelope"], "detail": DETAIL}
    assert body["arn"].endswith(f"/{body['rule']}")
    assert body["at"][:16] == body["event"]["time"][:16]


def test_a_template_may_be_a_text(cloud: LocalCloud) -> None:
    assert transformed(cloud, '"<account> ran <conf>"') == f'"{HUB} ran {{x: [1, {{y: z}}]}}"'


@pytest.mark.parametrize(
    ("template", "error"), [('{"id": <id>', "Invalid InputTemplate"), ('{"id": <other>}', "invalid placeholder")]
)
def test_a_wrong_template_is_refused(cloud: LocalCloud, template: str, error: str) -> None:
    _url, queue = cloud.queue()
    target = {"Arn": queue, "InputTransformer": {"InputPathsMap": {"id": "$.id"}, "InputTemplate": template}}
    with pytest.raises(ClientError, match=error):
        rule(cloud, target)


def test_a_route_from_another_account_made_by_a_template(cloud: LocalCloud) -> None:
    """The sender's rule forwards, the hub's rule transforms; queue and dead-letter queue admit that rule alone."""
    stack, name, source = Stack(cloud), unique("route"), unique("source")
    template = '{"version": "0", "id": <id>, "account": <account>, "detail": {"dag_id": "b", "conf": <conf>}}'
    transformer = {"InputPathsMap": {key: PATHS[key] for key in ("id", "account", "conf")}, "InputTemplate": template}
    arn = f"arn:aws:events:us-east-1:{HUB}:rule/{name}/{name}"

    def admitting(queue: str) -> dict[str, Any]:
        condition = {"ArnEquals": {"aws:SourceArn": arn}}
        statement = {
            "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": {"Fn::GetAtt": [queue, "Arn"]}, "Condition": condition,
        }  # fmt: skip
        return typed("AWS::SQS::QueuePolicy", Queues=[{"Ref": queue}], PolicyDocument={"Statement": [statement]})

    resources = {
        "Bus": typed("AWS::Events::EventBus", Name=name),
        "BusPolicy": typed(
            "AWS::Events::EventBusPolicy", EventBusName={"Ref": "Bus"}, StatementId="all",
            Statement={**open_to(**ORGANIZATION), "Resource": {"Fn::GetAtt": ["Bus", "Arn"]}},
        ),
        "Requests": typed("AWS::SQS::Queue"),
        "RequestsPolicy": admitting("Requests"),
        "Dead": typed("AWS::SQS::Queue"),
        "DeadPolicy": admitting("Dead"),
        "Rule": typed(
            "AWS::Events::Rule", Name=name, EventBusName={"Ref": "Bus"}, EventPattern={"source": [source]},
            Targets=[{
                "Id": "queue", "Arn": {"Fn::GetAtt": ["Requests", "Arn"]}, "InputTransformer": transformer,
                "DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["Dead", "Arn"]}},
            }],
        ),
    }  # fmt: skip
    assert stack.put(**resources) == "CREATE_COMPLETE"
    urls, bus = stack.outputs(), f"arn:aws:events:us-east-1:{HUB}:event-bus/{name}"
    rule(cloud, {"Arn": bus, "RoleArn": forward_role(cloud, bus)}, account=SPOKE, source=source)
    sent = put(cloud, entry(source, **DETAIL), account=SPOKE)["Entries"][0]["EventId"]
    message = json.loads(cloud.received(urls["Requests"])["Body"])
    detail = {"dag_id": "b", "conf": {"x": [1, {"y": "z"}]}}
    assert message == {"version": "0", "id": sent, "account": SPOKE, "detail": detail}
    cloud.client("sqs").set_queue_attributes(QueueUrl=urls["Requests"], Attributes={"Policy": ""})
    put(cloud, entry(source, **DETAIL), account=SPOKE)
    dead = cloud.received(urls["Dead"])
    assert dead["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert json.loads(dead["Body"])["account"] == SPOKE
    wrong = {**transformer, "InputTemplate": "{"}
    target = {"Id": "queue", "Arn": {"Fn::GetAtt": ["Requests", "Arn"]}, "InputTransformer": wrong}
    changed = {**resources, "Rule": typed("AWS::Events::Rule", Name=name, EventBusName=name, Targets=[target])}
    assert "Invalid InputTemplate" in stack.update(**changed)
    stack.delete()


def test_an_object_in_a_bucket_is_an_event_of_its_owner(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html"""
    stack, name = Stack(cloud, SPOKE), unique("bucket")
    notification = {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    versions = {"Status": "Enabled"}
    bucket = typed(
        "AWS::S3::Bucket", BucketName=name, NotificationConfiguration=notification, VersioningConfiguration=versions
    )
    assert stack.put(Bucket=bucket) == "CREATE_COMPLETE"
    bus = new_bus(cloud, open_to(StringEquals={"aws:PrincipalOrgID": "o-groundcrew01", "events:source": "aws.s3"}))
    url, queue = guarded_queue(cloud)
    rule(cloud, {"Arn": queue}, bus, source="aws.s3")
    forward = rule(cloud, {"Arn": bus, "RoleArn": forward_role(cloud, bus)}, account=SPOKE, source="aws.s3")
    stored = cloud.client("s3", SPOKE).put_object(Bucket=name, Key="in/a b.json", Body=b"hello")
    event = json.loads(cloud.received(url)["Body"])
    assert (event["source"], event["detail-type"], event["account"]) == ("aws.s3", "Object Created", SPOKE)
    assert (event["region"], event["resources"]) == ("us-east-1", [f"arn:aws:s3:::{name}"])
    made = event["detail"]["object"]
    assert (made["key"], made["size"], made["etag"]) == ("in/a b.json", 5, stored["ETag"].strip('"'))
    assert made["version-id"] == stored["VersionId"]
    assert made["sequencer"]
    assert set(event["detail"]) == {
        "version", "bucket", "object", "request-id", "requester", "source-ip-address", "reason"
    }  # fmt: skip
    assert (event["detail"]["reason"], event["detail"]["requester"]) == ("PutObject", SPOKE)
    cloud.client("events", SPOKE).disable_rule(Name=forward.rsplit("/", 1)[-1])
    s3 = cloud.client("s3", SPOKE)
    for one in s3.list_object_versions(Bucket=name)["Versions"]:
        s3.delete_object(Bucket=name, Key=one["Key"], VersionId=one["VersionId"])
    stack.delete()

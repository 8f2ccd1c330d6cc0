"""Schedules fire on the cloud's clock, with their role.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role
"""

import datetime
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import HUB, SPOKE, LocalCloud, allow, unique
from localcloud.tests.contracts.test_eventbridge import admit, new_bus, open_to, rule
from localcloud.tests.contracts.test_stacks import Stack, typed

PUT_EVENTS = "arn:aws:scheduler:::aws-sdk:eventbridge:putEvents"
CONTEXT = {"at": "<aws.scheduler.scheduled-time>", "execution": "<aws.scheduler.execution-id>"}


def test_a_schedule_invokes_with_its_role(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role"""
    url, queue = cloud.queue()
    group = f"arn:aws:scheduler:us-east-1:{HUB}:schedule-group/default"
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceArn": group, "aws:SourceAccount": HUB}},
    }
    scheduler = cloud.client("scheduler")
    cases = {
        "works": cloud.role(allow("sqs:SendMessage", queue), trust=trust),
        "powerless": cloud.role(trust=trust),
        "untrusting": cloud.role(allow("sqs:SendMessage", queue)),
        "missing": f"arn:aws:iam::{HUB}:role/nobody",
    }
    names = {case: unique(case) for case in cases}
    for case, role in cases.items():
        scheduler.create_schedule(
            Name=names[case], ScheduleExpression="rate(5 minutes)", FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": queue, "RoleArn": role, "Input": json.dumps({"case": case})},
        )  # fmt: skip
    cloud.control.advance(300)
    assert json.loads(cloud.received(url)["Body"]) == {"case": "works"}
    assert "Messages" not in cloud.client("sqs").receive_message(QueueUrl=url)
    failed = {one["source"].rsplit("/", 1)[-1] for one in cloud.control.failures() if one["code"] == "NO_PERMISSIONS"}
    assert {names["powerless"], names["untrusting"], names["missing"]} <= failed
    for name in names.values():
        scheduler.delete_schedule(Name=name)


def test_a_failed_schedule_goes_to_its_dead_letter_queue(cloud: LocalCloud) -> None:
    dead_url, dead = cloud.queue()
    role = cloud.role(allow("sqs:SendMessage", dead), trust="scheduler.amazonaws.com")
    name = unique("schedule")
    cloud.client("scheduler").create_schedule(
        Name=name, ScheduleExpression="rate(1 minutes)", FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": f"{dead}x", "RoleArn": role, "DeadLetterConfig": {"Arn": dead}},
    )  # fmt: skip
    cloud.control.advance(60)
    assert cloud.received(dead_url)["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    cloud.client("scheduler").delete_schedule(Name=name)


def once(
    cloud: LocalCloud, target: dict[str, Any], *statements: dict[str, Any], account: str = HUB
) -> tuple[str, list[str]]:
    """Fire a schedule in a minute, and pass that minute; when it was to fire, and the codes of its failures."""
    at = datetime.datetime.fromtimestamp(cloud.control.now() + 60, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    role = cloud.role(*statements, account=account, trust="scheduler.amazonaws.com")
    created = cloud.client("scheduler", account).create_schedule(
        Name=unique("schedule"), ScheduleExpression=f"at({at})", FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE", Target={"RoleArn": role, **target},
    )  # fmt: skip
    cloud.control.advance(61, step=1)
    failures = cloud.control.failures()
    return f"{at}Z", [one["code"] for one in failures if one["source"] == created["ScheduleArn"]]


def watched_bus(cloud: LocalCloud, source: str) -> tuple[str, str]:
    """A bus that admits the organization's events of this source, and a queue that gets them."""
    bus = new_bus(cloud, open_to(StringEquals={"aws:PrincipalOrgID": "o-groundcrew01", "events:source": source}))
    url, queue = cloud.queue()
    admit(cloud, url, queue, rule(cloud, {"Arn": queue}, bus, source=source))
    return bus, url


def test_a_universal_target_puts_events(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html"""
    source = unique("source")
    bus, url = watched_bus(cloud, source)
    entry = {"EventBusName": bus, "Source": source, "DetailType": "Request", "Detail": json.dumps(CONTEXT)}
    target = {"Arn": PUT_EVENTS, "Input": json.dumps({"Entries": [entry]})}
    at, _failures = once(cloud, target, allow("events:PutEvents", bus))
    event = json.loads(cloud.received(url)["Body"])
    assert (event["source"], event["detail-type"], event["account"]) == (source, "Request", HUB)
    assert event["detail"]["at"] == at
    assert len(event["detail"]["execution"]) == 16
    assert once(cloud, target, allow("events:PutEvents", f"{bus}x"), account=SPOKE)[1] == ["NO_PERMISSIONS"]
    assert once(cloud, target, allow("events:PutEvents", bus), account=SPOKE)[1] == []
    assert json.loads(cloud.received(url)["Body"])["account"] == SPOKE


def test_a_bus_is_a_target_of_its_own(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html"""
    source = unique("source")
    bus, url = watched_bus(cloud, source)
    parameters = {"Source": source, "DetailType": "Request"}
    target = {"Arn": bus, "EventBridgeParameters": parameters, "Input": json.dumps(CONTEXT)}
    at, _failures = once(cloud, target, allow("events:PutEvents", bus))
    event = json.loads(cloud.received(url)["Body"])
    assert (event["source"], event["detail-type"], event["detail"]["at"]) == (source, "Request", at)
    wrong = {**target, "EventBridgeParameters": {**parameters, "Source": "another"}}
    assert once(cloud, wrong, allow("events:PutEvents", bus), account=SPOKE)[1] == ["NO_PERMISSIONS"]


def test_a_queue_gets_the_input_or_a_message_of_a_universal_target(cloud: LocalCloud) -> None:
    url, queue = cloud.queue()
    allowed = allow("sqs:SendMessage", queue)
    at, _failures = once(cloud, {"Arn": queue, "Input": json.dumps(CONTEXT)}, allowed)
    assert json.loads(cloud.received(url)["Body"])["at"] == at
    message = json.dumps({"QueueUrl": url, "MessageBody": json.dumps(CONTEXT)})
    at, _failures = once(cloud, {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "Input": message}, allowed)
    assert json.loads(cloud.received(url)["Body"])["at"] == at


def test_a_schedule_of_a_template_puts_events(cloud: LocalCloud) -> None:
    source = unique("source")
    bus, url = watched_bus(cloud, source)
    entry = {"EventBusName": bus, "Source": source, "DetailType": "Request", "Detail": json.dumps(CONTEXT)}
    role = cloud.role(allow("events:PutEvents", bus), trust="scheduler.amazonaws.com")
    target = {"Arn": PUT_EVENTS, "RoleArn": role, "Input": json.dumps({"Entries": [entry]})}
    stack, window = Stack(cloud), {"Mode": "OFF"}
    schedule = typed(
        "AWS::Scheduler::Schedule", ScheduleExpression="cron(0 * * * ? *)", FlexibleTimeWindow=window, Target=target
    )
    assert stack.put(Schedule=schedule) == "CREATE_COMPLETE"
    cloud.control.advance(3660)
    assert json.loads(cloud.received(url)["Body"])["detail"]["at"].endswith(":00:00Z")
    stack.delete()


@pytest.mark.parametrize(
    "target",
    [
        {"Arn": PUT_EVENTS},
        {"Arn": PUT_EVENTS, "Input": "no JSON"},
        {"Arn": f"arn:aws:events:us-east-1:{HUB}:event-bus/default", "Input": "{}"},
    ],
)
def test_a_wrong_target_is_refused(cloud: LocalCloud, target: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        once(cloud, target)

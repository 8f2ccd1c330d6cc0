"""Schedules fire on the cloud's clock, with their role.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role
"""

import json

from tests.cloud.conftest import HUB, LocalCloud, allow, unique


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

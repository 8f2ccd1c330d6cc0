"""Events are hints, delivered at best: lost, doubled or in the wrong order, the result is the same."""

import json
from collections.abc import Callable, Iterator

import pytest

from localcloud.installation import HUB
from localcloud.testing.served import unique
from tests.cloud.scenarios.deployed import OTHER, SPOKE, Deployed

SCHEDULE_SECONDS = 15 * 60 + 1
STATUS_CHANGE = "MWAA Environment Status Change"


@pytest.fixture
def arrived(groundcrew: Deployed) -> Iterator[Callable[[], set[str]]]:
    """The types of MWAA's events that have reached the hub's bus."""
    found: set[str] = set()
    sqs, events, name = groundcrew.aws.client("sqs", HUB), groundcrew.aws.client("events", HUB), unique("arriving")
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventBusName="groundcrew", EventPattern=json.dumps({"source": ["aws.airflow"]}))
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    events.put_targets(Rule=name, EventBusName="groundcrew", Targets=[{"Id": "queue", "Arn": arn}])

    def types() -> set[str]:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        found.update(json.loads(message["Body"])["detail-type"] for message in messages)
        return found

    yield types
    events.remove_targets(Rule=name, EventBusName="groundcrew", Ids=["queue"])
    events.delete_rule(Name=name, EventBusName="groundcrew")
    sqs.delete_queue(QueueUrl=url)


def test_calls_of_the_api_that_cloudtrail_tells_stay_in_their_account(
    groundcrew: Deployed, arrived: Callable[[], set[str]]
) -> None:
    """CloudTrail's events have the source of the service."""
    call = {"eventSource": "airflow.amazonaws.com", "eventName": "UpdateEnvironment"}
    for detail_type, detail in (("AWS API Call via CloudTrail", call), (STATUS_CHANGE, {"name": "none"})):
        event = {"Source": "aws.airflow", "DetailType": detail_type, "Detail": json.dumps(detail)}
        groundcrew.cloud.put_aws_event(SPOKE, "us-east-1", event)
    groundcrew.until(lambda: STATUS_CHANGE in arrived(), "MWAA's event")
    groundcrew.until_idle()
    assert arrived() == {STATUS_CHANGE}


def test_lost_the_sweep_heals(groundcrew: Deployed) -> None:
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environments = [groundcrew.environment(), groundcrew.environment(OTHER)]
        for environment in environments:
            groundcrew.until_status(environment, "PENDING")
            groundcrew.until_idle()
            assert environment.endpoints() == []
        swept = groundcrew.sweep()
        for environment in environments:
            groundcrew.until_right(environment)
    assert swept == {"places": 6, "environments": 2, "troubles": 0}
    assert groundcrew.facts("Environment Observed", environments[0])[-1]["detail"]["status"] == "PENDING"


def test_lost_the_scheduled_sweep_heals(groundcrew: Deployed) -> None:
    with groundcrew.switched(mwaa_event_delivery="drop"), groundcrew.scheduled():
        environment = groundcrew.environment()
        groundcrew.until_status(environment, "PENDING")
        groundcrew.cloud.advance(SCHEDULE_SECONDS)
        groundcrew.until_right(environment)


def test_lost_when_it_was_deleted_the_sweep_clears_up(groundcrew: Deployed) -> None:
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environment.delete()
        groundcrew.until_status(environment, "DELETED")
        groundcrew.until_idle()
        assert environment.endpoints()
        groundcrew.sweep()
        groundcrew.until_gone(environment)


@pytest.mark.parametrize(("delivery", "looks"), [("double:10", 10), ("reorder", 1)])
def test_doubled_and_reordered(groundcrew: Deployed, delivery: str, looks: int) -> None:
    with groundcrew.switched(mwaa_event_delivery=delivery):
        environment = groundcrew.environment()
        groundcrew.until_right(environment)
        groundcrew.until_idle()
        assert environment.faults() == []
        assert groundcrew.calls(environment).count("airflow:GetEnvironment") >= looks
        environment.delete()
        groundcrew.until_gone(environment)


def test_swept_again_and_again_nothing_changes(groundcrew: Deployed) -> None:
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    before, since = environment.endpoints() + environment.groups(), groundcrew.cloud.next_call()
    for _ in range(3):
        groundcrew.sweep()
        groundcrew.until_idle()
    assert environment.endpoints() + environment.groups() == before
    assert groundcrew.cloud.calls(since, role="groundcrew-network") == []

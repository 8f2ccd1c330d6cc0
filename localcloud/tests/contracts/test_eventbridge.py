"""Events across accounts and Regions, and what becomes of those that cannot be delivered.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-event-delivery.html
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import HUB, OUTSIDER, SPOKE, SPOKE2, LocalCloud, allow, policy, unique
from localcloud.testing.waiting import eventually

ORGANIZATION = {"StringEquals": {"aws:PrincipalOrgID": "o-groundcrew01"}}
SERVICE = {"Service": "events.amazonaws.com"}


def entry(source: str = "groundcrew", bus: str = "default", **detail: Any) -> dict[str, Any]:
    return {"Source": source, "DetailType": "Test", "Detail": json.dumps(detail), "EventBusName": bus}


def new_bus(cloud: LocalCloud, *statements: dict[str, Any], account: str = HUB, region: str = "us-east-1") -> str:
    """The ARN of a new bus; the statements become its policy, for that bus."""
    events, name = cloud.client("events", account, region), unique("bus")
    arn = str(events.create_event_bus(Name=name)["EventBusArn"])
    if statements:
        document = policy(*({**statement, "Resource": arn} for statement in statements))
        events.put_permission(EventBusName=name, Policy=document)
    return arn


def open_to(principal: Any = "*", **condition: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": "events:PutEvents", "Condition": condition}


def rule(
    cloud: LocalCloud,
    target: dict[str, Any],
    bus: str = "default",
    account: str = HUB,
    region: str = "us-east-1",
    source: str | None = None,
) -> str:
    """The ARN of a new rule; it matches one source of its own if none is given."""
    events, name = cloud.client("events", account, region), unique("rule")
    bus_name = bus.rsplit("/", 1)[-1]
    pattern = json.dumps({"source": [source or name]})
    arn = str(events.put_rule(Name=name, EventBusName=bus_name, EventPattern=pattern)["RuleArn"])
    events.put_targets(Rule=name, EventBusName=bus_name, Targets=[{"Id": "one", **target}])
    return arn


def source_of(rule_arn: str) -> str:
    return rule_arn.rsplit("/", 1)[-1]


def guarded_queue(
    cloud: LocalCloud, rule_arn: str | None = None, account: str = HUB, region: str = "us-east-1"
) -> tuple[str, str]:
    """A queue open to EventBridge, or to one rule."""
    url, arn = cloud.queue(account, region)
    admit(cloud, url, arn, rule_arn, account, region)
    return url, arn


def admit(
    cloud: LocalCloud, url: str, arn: str, rule_arn: str | None, account: str = HUB, region: str = "us-east-1"
) -> None:
    statement: dict[str, Any] = {"Effect": "Allow", "Principal": SERVICE, "Action": "sqs:SendMessage", "Resource": arn}
    if rule_arn:
        statement["Condition"] = {"ArnEquals": {"aws:SourceArn": rule_arn}}
    cloud.client("sqs", account, region).set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(statement)})


def forward_role(cloud: LocalCloud, bus: str, account: str = SPOKE) -> str:
    return cloud.role(allow("events:PutEvents", bus), account=account, trust="events.amazonaws.com")


def put(cloud: LocalCloud, *entries: dict[str, Any], account: str = HUB, region: str = "us-east-1") -> Any:
    return cloud.client("events", account, region).put_events(Entries=list(entries))


def last_failure(cloud: LocalCloud, rule_arn: str) -> dict[str, Any]:
    return next(one for one in reversed(cloud.control.failures()) if one["source"] == rule_arn)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-3"])
def test_an_event_keeps_its_envelope_across_accounts_and_regions(cloud: LocalCloud, region: str) -> None:
    bus = new_bus(cloud, open_to(**ORGANIZATION))
    url, queue = guarded_queue(cloud)
    source = unique("source")
    rule(cloud, {"Arn": queue}, bus, source=source)
    rule(cloud, {"Arn": bus, "RoleArn": forward_role(cloud, bus)}, account=SPOKE, region=region, source=source)
    sent = {**entry(source, name="x"), "Resources": [f"arn:aws:airflow:{region}:{SPOKE}:environment/x"]}
    event_id = put(cloud, sent, account=SPOKE, region=region)["Entries"][0]["EventId"]
    event = json.loads(cloud.received(url)["Body"])
    assert (event["id"], event["account"], event["region"]) == (event_id, SPOKE, region)
    assert event["resources"] == sent["Resources"]
    assert event["detail"] == {"name": "x"}


@pytest.mark.parametrize(
    ("condition", "delivered"),
    [
        (ORGANIZATION, True),
        ({"StringEquals": {"aws:PrincipalOrgID": "o-other"}}, False),
        ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{SPOKE}:role/groundcrew/*"}}, True),
        ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{SPOKE2}:role/groundcrew/*"}}, False),
        ({"StringEquals": {"events:source": "admitted"}}, True),
        ({"StringEquals": {"events:source": "another"}}, False),
    ],
)
def test_a_bus_admits_rules_by_its_policy(cloud: LocalCloud, condition: dict[str, Any], delivered: bool) -> None:
    bus = new_bus(cloud, open_to(**condition))
    url, queue = guarded_queue(cloud)
    rule(cloud, {"Arn": queue}, bus, source="admitted")
    forward = rule(cloud, {"Arn": bus, "RoleArn": forward_role(cloud, bus)}, account=SPOKE, source="admitted")
    put(cloud, entry("admitted"), account=SPOKE)
    cloud.client("events", SPOKE).disable_rule(Name=source_of(forward))
    if delivered:
        cloud.received(url)
    else:
        assert last_failure(cloud, forward)["code"] == "NO_PERMISSIONS"


def test_the_forwarding_role_must_exist_trust_eventbridge_and_be_allowed(cloud: LocalCloud) -> None:
    bus = new_bus(cloud, open_to(**ORGANIZATION))
    roles = [
        f"arn:aws:iam::{SPOKE}:role/groundcrew/nobody",
        cloud.role(allow("events:PutEvents", bus), account=SPOKE, trust="lambda.amazonaws.com"),
        cloud.role(account=SPOKE, trust="events.amazonaws.com"),
    ]
    for role in roles:
        forward = rule(cloud, {"Arn": bus, "RoleArn": role}, account=SPOKE)
        put(cloud, entry(source_of(forward)), account=SPOKE)
        assert last_failure(cloud, forward)["code"] == "NO_PERMISSIONS", role


def test_the_roles_trust_may_name_the_rule(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html"""
    bus = new_bus(cloud, open_to(**ORGANIZATION))
    url, queue = guarded_queue(cloud)
    source = unique("source")
    rule(cloud, {"Arn": queue}, bus, source=source)
    statement = {"Effect": "Allow", "Principal": SERVICE, "Action": "sts:AssumeRole"}
    for account, works in ((SPOKE, True), (SPOKE2, False)):
        trust = {**statement, "Condition": {"StringEquals": {"aws:SourceAccount": account}}}
        role = cloud.role(allow("events:PutEvents", bus), account=SPOKE, trust=trust)
        forward = rule(cloud, {"Arn": bus, "RoleArn": role}, account=SPOKE, source=source)
        put(cloud, entry(source), account=SPOKE)
        cloud.client("events", SPOKE).disable_rule(Name=source_of(forward))
        if works:
            cloud.received(url)
        else:
            assert last_failure(cloud, forward)["code"] == "NO_PERMISSIONS"


def test_an_account_outside_the_organization_is_refused(cloud: LocalCloud) -> None:
    bus = new_bus(cloud, open_to(**ORGANIZATION))
    forward = rule(cloud, {"Arn": bus, "RoleArn": forward_role(cloud, bus, OUTSIDER)}, account=OUTSIDER)
    put(cloud, entry(source_of(forward)), account=OUTSIDER)
    assert last_failure(cloud, forward)["code"] == "NO_PERMISSIONS"


def test_an_event_is_forwarded_once_only(cloud: LocalCloud) -> None:
    first, second = new_bus(cloud, open_to(**ORGANIZATION)), new_bus(cloud, open_to(**ORGANIZATION), account=SPOKE2)
    source = unique("source")
    onward = rule(cloud, {"Arn": second, "RoleArn": forward_role(cloud, second, HUB)}, first, source=source)
    rule(cloud, {"Arn": first, "RoleArn": forward_role(cloud, first)}, account=SPOKE, source=source)
    put(cloud, entry(source), account=SPOKE)
    assert last_failure(cloud, onward)["code"] == "THIRD_ACCOUNT_HOP_DETECTED"


def test_put_events_on_another_accounts_bus_needs_both_policies(cloud: LocalCloud) -> None:
    bus = new_bus(cloud, open_to({"AWS": f"arn:aws:iam::{SPOKE}:root"}))
    allowed = cloud.role(allow("events:PutEvents", bus), account=SPOKE)
    assert cloud.as_role("events", allowed).put_events(Entries=[entry(bus=bus)])["FailedEntryCount"] == 0
    unnamed = cloud.role(allow("events:PutEvents", bus), account=SPOKE2)
    powerless = cloud.role(account=SPOKE)
    for role in (unnamed, powerless):
        with pytest.raises(ClientError, match="AccessDenied"):
            cloud.as_role("events", role).put_events(Entries=[entry(bus=bus)])


def test_entries_of_one_request_are_authorized_one_by_one(cloud: LocalCloud) -> None:
    role = cloud.role(allow("events:PutEvents", "*", StringEquals={"events:source": "groundcrew"}))
    answer = cloud.as_role("events", role).put_events(Entries=[entry("groundcrew"), entry("another")])
    assert answer["FailedEntryCount"] == 1
    assert [one.get("ErrorCode") for one in answer["Entries"]] == [None, "AccessDeniedException"]
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.as_role("events", role).put_events(Entries=[entry("another")])


def test_a_policy_document_may_deny(cloud: LocalCloud) -> None:
    bus = new_bus(cloud, open_to(), {**open_to({"AWS": f"arn:aws:iam::{SPOKE}:root"}), "Effect": "Deny"})
    role = cloud.role(allow("events:PutEvents", bus), account=SPOKE)
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.as_role("events", role).put_events(Entries=[entry(bus=bus)])
    described = json.loads(cloud.client("events").describe_event_bus(Name=bus.rsplit("/", 1)[-1])["Policy"])
    assert [one["Effect"] for one in described["Statement"]] == ["Allow", "Deny"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Detail": "not json"}, "MalformedDetail"),
        ({"Detail": "[]"}, "MalformedDetail"),
        ({"Source": ""}, "InvalidArgument"),
        ({"Detail": ""}, "InvalidArgument"),
        ({"Source": "aws.airflow"}, "NotAuthorizedForSourceException"),
    ],
)
def test_a_bad_entry_is_refused_and_the_others_pass(cloud: LocalCloud, change: dict[str, str], code: str) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html"""
    answer = put(cloud, {**entry(), **change}, entry())
    assert [one.get("ErrorCode") for one in answer["Entries"]] == [code, None]


def test_a_request_has_ten_entries_and_256_kb_at_most(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html"""
    with pytest.raises(ClientError, match="ValidationException"):
        put(cloud, *[entry()] * 11)
    with pytest.raises(ClientError, match="size"):
        put(cloud, entry(text="x" * 256 * 1024))


def test_a_rule_has_five_targets_at_most(cloud: LocalCloud) -> None:
    events, name = cloud.client("events"), unique("rule")
    events.put_rule(Name=name, EventPattern='{"source": ["x"]}')
    _url, arn = cloud.queue()
    with pytest.raises(ClientError, match="LimitExceeded"):
        events.put_targets(Rule=name, Targets=[{"Id": str(number), "Arn": arn} for number in range(6)])


def test_a_queue_must_admit_the_rule(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html"""
    url, queue = cloud.queue()
    arn = rule(cloud, {"Arn": queue})
    put(cloud, entry(source_of(arn)))
    assert last_failure(cloud, arn)["code"] == "NO_PERMISSIONS"
    admit(cloud, url, queue, f"{arn}x")
    put(cloud, entry(source_of(arn)))
    assert len([one for one in cloud.control.failures() if one["source"] == arn]) == 2
    admit(cloud, url, queue, arn)
    put(cloud, entry(source_of(arn)))
    assert json.loads(cloud.received(url)["Body"])["source"] == source_of(arn)


def test_what_cannot_be_delivered_goes_to_the_dead_letter_queue_with_its_reasons(cloud: LocalCloud) -> None:
    _url, queue = cloud.queue()
    dead_url, dead = cloud.queue()
    arn = rule(cloud, {"Arn": queue, "DeadLetterConfig": {"Arn": dead}})
    admit(cloud, dead_url, dead, arn)
    put(cloud, entry(source_of(arn), name="x"))
    message = cloud.received(dead_url)
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert attributes["RULE_ARN"] == arn
    assert attributes["TARGET_ARN"] == queue
    assert attributes["ERROR_CODE"] == "NO_PERMISSIONS"
    assert json.loads(message["Body"])["detail"] == {"name": "x"}


def test_a_dead_letter_queue_must_admit_the_rule_too(cloud: LocalCloud) -> None:
    dead_url, dead = cloud.queue()
    arn = rule(cloud, {"Arn": f"{dead}-nobody", "DeadLetterConfig": {"Arn": dead}})
    put(cloud, entry(source_of(arn)))
    codes = [one["code"] for one in cloud.control.failures() if one["source"] == arn]
    assert codes == ["NO_RESOURCE", "NO_PERMISSIONS"]
    assert "Messages" not in cloud.client("sqs").receive_message(QueueUrl=dead_url)


@pytest.mark.usefixtures("_no_faults")
def test_a_throttled_target_is_tried_again(cloud: LocalCloud) -> None:
    url, queue = guarded_queue(cloud)
    arn = rule(cloud, {"Arn": queue})
    cloud.control.add_fault(role="events.amazonaws.com", action="sqs:SendMessage", kind="throttle")
    put(cloud, entry(source_of(arn)))
    assert cloud.control.faults()[0]["fired"] == 1
    cloud.control.advance(60)
    cloud.received(url)


@pytest.mark.usefixtures("_no_faults")
def test_retries_end_with_the_policy(cloud: LocalCloud) -> None:
    _url, queue = guarded_queue(cloud)
    dead_url, dead = guarded_queue(cloud)
    retries = {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600}
    arn = rule(cloud, {"Arn": queue, "DeadLetterConfig": {"Arn": dead}, "RetryPolicy": retries})
    cloud.control.add_fault(role="events.amazonaws.com", action="sqs:SendMessage", kind="throttle", times=9)
    put(cloud, entry(source_of(arn)))
    cloud.control.advance(600)
    attributes = cloud.received(dead_url)["MessageAttributes"]
    assert attributes["RETRY_ATTEMPTS"]["StringValue"] == "2"
    assert attributes["EXHAUSTED_RETRY_CONDITION"]["StringValue"] == "MaximumRetryAttempts"
    assert cloud.control.faults()[0]["fired"] == 3


def test_only_aws_sends_aws_events(cloud: LocalCloud) -> None:
    url, queue = guarded_queue(cloud, account=SPOKE)
    rule(cloud, {"Arn": queue}, account=SPOKE, source="aws.airflow")
    cloud.control.put_aws_event(SPOKE, "us-east-1", entry("aws.airflow", name="x"))
    event = json.loads(cloud.received(url, SPOKE)["Body"])
    assert (event["source"], event["account"]) == ("aws.airflow", SPOKE)


def test_rules_on_a_schedule_follow_the_clock(cloud: LocalCloud) -> None:
    url, queue = guarded_queue(cloud)
    events, name = cloud.client("events"), unique("rule")
    events.put_rule(Name=name, ScheduleExpression="rate(15 minutes)")
    events.put_targets(Rule=name, Targets=[{"Id": "one", "Arn": queue}])
    cloud.control.advance(3600)
    counts = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    assert int(counts["Attributes"]["ApproximateNumberOfMessages"]) == 4
    events.disable_rule(Name=name)


def test_an_archive_replays_to_its_own_bus(cloud: LocalCloud) -> None:
    bus, name = new_bus(cloud), unique("archive")
    events = cloud.client("events")
    archive = events.create_archive(ArchiveName=name, EventSourceArn=bus)["ArchiveArn"]
    url, queue = guarded_queue(cloud)
    arn = rule(cloud, {"Arn": queue}, bus)
    put(cloud, entry(source_of(arn), bus=bus))
    first = json.loads(cloud.received(url)["Body"])
    now = cloud.control.now()
    span = {"EventStartTime": now - 60, "EventEndTime": now + 60}
    events.start_replay(ReplayName=name, EventSourceArn=archive, Destination={"Arn": bus}, **span)
    replayed = json.loads(cloud.received(url)["Body"])
    assert (replayed["id"], replayed["replay-name"]) == (first["id"], name)
    assert eventually(lambda: events.describe_replay(ReplayName=name)["State"] == "COMPLETED")

"""A table as a lock: conditions decide, one table and one role at a time.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import HUB, LocalCloud, allow, unique
from localcloud.tests.contracts.test_stacks import Stack, typed

REFUSED = "ConditionalCheckFailedException"


def table(name: str, **properties: Any) -> dict[str, Any]:
    return typed(
        "AWS::DynamoDB::Table", TableName=name, BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        TimeToLiveSpecification={"AttributeName": "until", "Enabled": True},
        SSESpecification={"SSEEnabled": True},
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}, **properties,
    )  # fmt: skip


@pytest.fixture(scope="module")
def locks(cloud: LocalCloud) -> Iterator[str]:
    """The name of a table that CloudFormation made."""
    stack, name = Stack(cloud), unique("locks")
    assert stack.put(Locks=table(name)) == "CREATE_COMPLETE"
    assert stack.outputs()["Locks"] == name
    yield name
    stack.delete()
    with pytest.raises(ClientError, match="ResourceNotFound"):
        cloud.client("dynamodb").describe_table(TableName=name)


def acquire(client: Any, locks: str, name: str, holder: str, now: int, until: int) -> None:
    client.put_item(
        TableName=locks, Item={"name": {"S": name}, "holder": {"S": holder}, "until": {"N": str(until)}},
        ConditionExpression="attribute_not_exists(#name) OR #until < :now OR holder = :holder",
        ExpressionAttributeNames={"#name": "name", "#until": "until"},
        ExpressionAttributeValues={":now": {"N": str(now)}, ":holder": {"S": holder}},
    )  # fmt: skip


def release(client: Any, locks: str, name: str, holder: str) -> None:
    client.delete_item(
        TableName=locks, Key={"name": {"S": name}}, ConditionExpression="holder = :holder",
        ExpressionAttributeValues={":holder": {"S": holder}},
    )  # fmt: skip


def test_a_table_is_on_demand_and_expires_items(cloud: LocalCloud, locks: str) -> None:
    client = cloud.client("dynamodb")
    described = client.describe_table(TableName=locks)["Table"]
    assert (described["TableStatus"], described["BillingModeSummary"]["BillingMode"]) == ("ACTIVE", "PAY_PER_REQUEST")
    expiry = client.describe_time_to_live(TableName=locks)["TimeToLiveDescription"]
    assert (expiry["AttributeName"], expiry["TimeToLiveStatus"]) == ("until", "ENABLED")


def test_a_table_changes_without_losing_its_items(cloud: LocalCloud) -> None:
    stack, other, name, client = Stack(cloud), Stack(cloud), unique("locks"), cloud.client("dynamodb")
    stack.put(Locks=table(name))
    client.put_item(TableName=name, Item={"name": {"S": "x"}})
    expiry = {"AttributeName": "until", "Enabled": False}
    changed = table(name) | {"Properties": {**table(name)["Properties"], "TimeToLiveSpecification": expiry}}
    assert stack.update(Locks=changed) == "UPDATE_COMPLETE"
    assert client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED"
    assert "already exists" in other.put(Locks=table(name))
    assert client.scan(TableName=name)["Count"] == 1
    stack.delete()
    other.delete()


def test_a_lock_is_held_until_it_expires_or_is_released(cloud: LocalCloud, locks: str) -> None:
    client, name = cloud.client("dynamodb"), unique("lock")
    acquire(client, locks, name, "a", now=100, until=200)
    with pytest.raises(ClientError, match=REFUSED):
        acquire(client, locks, name, "b", now=150, until=250)
    acquire(client, locks, name, "a", now=150, until=220)
    acquire(client, locks, name, "b", now=221, until=300)
    with pytest.raises(ClientError, match=REFUSED):
        release(client, locks, name, "a")
    release(client, locks, name, "b")
    assert "Item" not in client.get_item(TableName=locks, Key={"name": {"S": name}}, ConsistentRead=True)
    with pytest.raises(ClientError, match=REFUSED):
        release(client, locks, name, "b")
    acquire(client, locks, name, "c", now=0, until=1)


def test_a_refusal_can_show_who_holds_the_lock(cloud: LocalCloud, locks: str) -> None:
    client, name = cloud.client("dynamodb"), unique("lock")
    acquire(client, locks, name, "a", now=100, until=200)
    with pytest.raises(ClientError, match=REFUSED) as refused:
        client.put_item(
            TableName=locks, Item={"name": {"S": name}}, ConditionExpression="attribute_not_exists(holder)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )  # fmt: skip
    response: dict[str, Any] = dict(refused.value.response)
    assert response["Item"]["holder"] == {"S": "a"}


def test_only_one_of_many_gets_the_lock(cloud: LocalCloud, locks: str) -> None:
    client, name = cloud.client("dynamodb"), unique("lock")

    def won(holder: str) -> bool:
        try:
            acquire(client, locks, name, holder, now=0, until=1)
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(won, map(str, range(24)))) == 1


def test_a_role_is_authorized_table_by_table(cloud: LocalCloud, locks: str) -> None:
    arn = f"arn:aws:dynamodb:us-east-1:{HUB}:table/{locks}"
    calls = ["dynamodb:PutItem", "dynamodb:DeleteItem"]
    allowed = cloud.as_role("dynamodb", cloud.role(allow(calls, arn)))
    acquire(allowed, locks, "mine", "a", now=0, until=1)
    release(allowed, locks, "mine", "a")
    with pytest.raises(ClientError, match="AccessDenied"):
        allowed.get_item(TableName=locks, Key={"name": {"S": "mine"}})
    since = cloud.control.next_call()
    with pytest.raises(ClientError, match="AccessDenied"):
        acquire(cloud.as_role("dynamodb", cloud.role(allow(calls, f"{arn}x"))), locks, "mine", "a", now=0, until=1)
    refused = cloud.control.calls(since, action="dynamodb:PutItem")[-1]
    assert (refused["allowed"], refused["resource"]) == (False, arn)


@pytest.mark.usefixtures("_no_faults")
def test_calls_meet_faults_in_dynamodbs_words(cloud: LocalCloud, locks: str) -> None:
    role = cloud.role(allow("dynamodb:PutItem"))
    client = cloud.as_role("dynamodb", role)
    for kind, code in (
        ("throttle", "ThrottlingException"),
        ("error", "InternalServerError"),
        ("denied", "AccessDenied"),
    ):
        cloud.control.clear_faults()
        cloud.control.add_fault(role=role, action="dynamodb:PutItem", kind=kind)
        with pytest.raises(ClientError, match=code):
            acquire(client, locks, unique("lock"), "a", now=0, until=1)
        acquire(client, locks, unique("lock"), "a", now=0, until=1)

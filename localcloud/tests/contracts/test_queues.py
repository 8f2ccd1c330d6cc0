"""Queues on a clock that can be turned.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
"""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import LocalCloud, allow


def receive(cloud: LocalCloud, url: str) -> list[dict[str, Any]]:
    return list(cloud.client("sqs").receive_message(QueueUrl=url, AttributeNames=["All"]).get("Messages", []))


def with_dead_letters(cloud: LocalCloud, most: int = 1) -> tuple[str, str, str, str]:
    """URL and ARN of a queue, and of its dead-letter queue."""
    dead_url, dead = cloud.queue()
    url, arn = cloud.queue(RedrivePolicy=json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": most}))
    return url, arn, dead_url, dead


def test_a_message_comes_back_when_its_visibility_timeout_is_over(cloud: LocalCloud) -> None:
    url, _arn = cloud.queue(VisibilityTimeout="30")
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    assert receive(cloud, url)
    cloud.control.advance(20)
    assert not receive(cloud, url)
    cloud.control.advance(11)
    assert receive(cloud, url)[0]["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_consumer_changes_the_visibility_of_its_message(cloud: LocalCloud) -> None:
    url, _arn = cloud.queue(VisibilityTimeout="30")
    sqs = cloud.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    handle = receive(cloud, url)[0]["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=600)
    cloud.control.advance(120)
    assert not receive(cloud, url)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
    assert receive(cloud, url)


def test_a_delay_is_900_seconds_at_most(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html"""
    url, _arn = cloud.queue()
    sqs = cloud.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=900)
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=901)
    batch = sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "x", "DelaySeconds": 901}])
    assert batch["Failed"][0]["Code"] == "InvalidParameterValue"
    assert not receive(cloud, url)
    cloud.control.advance(901)
    assert len(receive(cloud, url)) == 1


def test_a_message_received_too_often_moves_to_the_dead_letter_queue(cloud: LocalCloud) -> None:
    url, _arn, dead_url, _dead = with_dead_letters(cloud, most=2)
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    for _time in range(2):
        assert receive(cloud, url)
        cloud.control.advance(31)
    assert not receive(cloud, url)
    assert receive(cloud, dead_url)[0]["Body"] == "x"


def test_dead_letters_move_back_where_they_came_from(cloud: LocalCloud) -> None:
    url, _arn, dead_url, dead = with_dead_letters(cloud)
    sqs = cloud.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    receive(cloud, url)
    cloud.control.advance(31)
    assert not receive(cloud, url)
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead_url)["queueUrls"] == [url]
    sqs.start_message_move_task(SourceArn=dead)
    task = sqs.list_message_move_tasks(SourceArn=dead)["Results"][0]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 1)
    message = receive(cloud, url)[0]
    assert (message["Body"], message["Attributes"]["ApproximateReceiveCount"]) == ("x", "1")
    assert not receive(cloud, dead_url)


def test_only_a_dead_letter_queue_is_the_source_of_a_move(cloud: LocalCloud) -> None:
    _url, arn = cloud.queue()
    with pytest.raises(ClientError, match="Dead Letter Queue"):
        cloud.client("sqs").start_message_move_task(SourceArn=arn)


def test_a_move_is_authorized_on_its_queue(cloud: LocalCloud) -> None:
    _url, _arn, _dead_url, dead = with_dead_letters(cloud)
    cloud.as_role("sqs", cloud.role(allow("sqs:StartMessageMoveTask", dead))).start_message_move_task(SourceArn=dead)
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.as_role("sqs", cloud.role(allow("sqs:StartMessageMoveTask", f"{dead}x"))).start_message_move_task(
            SourceArn=dead
        )


def test_no_message_is_lost_under_concurrency(cloud: LocalCloud) -> None:
    url, _arn, _dead_url, _dead = with_dead_letters(cloud, most=100)
    sqs = cloud.client("sqs")

    def send(number: int) -> None:
        sqs.send_message(QueueUrl=url, MessageBody=str(number))

    def take() -> list[str]:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in messages]

    with ThreadPoolExecutor(4) as threads:
        sent = [threads.submit(send, number) for number in range(100)]
        taken = [body for round_ in [threads.submit(take) for _number in range(30)] for body in round_.result()]
        for one in sent:
            one.result()
    while found := take():
        taken += found
    assert sorted(taken, key=int) == [str(number) for number in range(100)]


def test_a_batch_fails_entry_by_entry(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html"""
    url, _arn = cloud.queue()
    sqs = cloud.client("sqs")
    entries: list[dict[str, Any]] = [{"Id": str(number), "MessageBody": str(number)} for number in range(10)]
    entries[3]["DelaySeconds"] = 901
    entries[7]["MessageBody"] = "\x00"
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert {one["Id"] for one in sent["Failed"]} == {"3", "7"}
    assert all(one["SenderFault"] for one in sent["Failed"])
    assert len(sent["Successful"]) == 8
    for wrong, error in (
        ([*entries, {"Id": "10", "MessageBody": "x"}], "TooManyEntriesInBatchRequest"),
        ([entries[0], entries[0]], "BatchEntryIdsNotDistinct"),
        ([], "EmptyBatchRequest"),
    ):
        with pytest.raises(ClientError, match=error):
            sqs.send_message_batch(QueueUrl=url, Entries=wrong)


def test_a_batch_is_authorized_as_sending_to_its_queue(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html"""
    url, arn = cloud.queue()
    entries = [{"Id": "1", "MessageBody": "x"}]
    role = cloud.role(allow("sqs:SendMessage", arn))
    since = cloud.control.next_call()
    cloud.as_role("sqs", role).send_message_batch(QueueUrl=url, Entries=entries)
    assert [(one["action"], one["resource"]) for one in cloud.control.calls(since, role=role)] == [
        ("sqs:SendMessage", arn)
    ]
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.as_role("sqs", cloud.role(allow("sqs:SendMessage", f"{arn}x"))).send_message_batch(
            QueueUrl=url, Entries=entries
        )


def test_a_message_may_be_hidden_for_twelve_hours_and_received_a_hundred_times(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html"""
    dead_url, dead = cloud.queue()
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 100})
    url, _arn = cloud.queue(VisibilityTimeout="43200", RedrivePolicy=redrive)
    sqs = cloud.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    handle = receive(cloud, url)[0]["ReceiptHandle"]
    cloud.control.advance(60)
    for seconds, error in ((43201, "Must be between"), (43200, "beyond the limit")):
        with pytest.raises(ClientError, match=error):
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=seconds)
        entry = {"Id": "1", "ReceiptHandle": handle, "VisibilityTimeout": seconds}
        assert error in sqs.change_message_visibility_batch(QueueUrl=url, Entries=[entry])["Failed"][0]["Message"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=43000)
    cloud.control.advance(42990, step=3600)
    assert not receive(cloud, url)
    cloud.control.advance(11)
    for number in range(2, 101):
        message = receive(cloud, url)[0]
        assert message["Attributes"]["ApproximateReceiveCount"] == str(number)
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert not receive(cloud, url)
    assert receive(cloud, dead_url)[0]["Body"] == "x"

"""Messages: sent, and hidden while they wait."""

from typing import Any
from unittest import mock

import pytest

from groundcrew.aws.queue import LARGEST_BATCH, SqsQueue, send, send_in_turn
from groundcrew.errors import TransientError
from tests.support.stage import HUB, QUEUE_ARN, REGION, Stage
from tests.support.worlds import World, client, opened


def test_a_message_is_hidden_in_its_own_queue(stage: Stage) -> None:
    SqsQueue().hide(QUEUE_ARN, "handle", 30)
    (asked,) = stage.aws.small.visibilities
    assert asked["QueueUrl"].endswith("/111111111111/groundcrew-endpoints")
    assert (asked["ReceiptHandle"], asked["VisibilityTimeout"]) == ("handle", 30)


def test_a_hidden_message_is_seen_again() -> None:
    """On moto only, for our double keeps no queue."""
    with opened("moto") as moto:
        url = moto.queue("groundcrew-endpoints")
        send(url, ["work"], region=REGION)
        sqs = client("sqs", HUB)
        (message,) = sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"]
        assert moto.messages(url) == []
        SqsQueue().hide(QUEUE_ARN, message["ReceiptHandle"], 0)
        assert moto.messages(url) == ["work"]


def test_the_same_order_sent_twice_in_turn_is_one() -> None:
    with opened("moto") as moto:
        url = moto.queue("rotations.fifo")
        for once in ("1", "1", "2"):
            send_in_turn(url, f"order {once}", group="binding", once=once, region=REGION)
        assert [
            message["Body"]
            for message in client("sqs", HUB).receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        ] == ["order 1", "order 2"]


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([], []),
        ([1] * 10, [10]),
        ([1] * 25, [10, 10, 5]),
        ([LARGEST_BATCH], [1]),
        ([LARGEST_BATCH, 1], [1, 1]),
        ([LARGEST_BATCH // 2] * 3, [2, 1]),
        ([1, LARGEST_BATCH - 1, 1], [2, 1]),
    ],
)
def test_messages_go_in_batches_that_sqs_takes(world: World, sizes: list[int], batches: list[int]) -> None:
    url = world.queue("orders")
    send(url, ("x" * size for size in sizes), region=REGION)
    calls = world.aws.calls("sqs:SendMessageBatch")
    assert [len(call.attempt.params["Entries"]) for call in calls] == batches
    assert sorted(map(len, world.messages(url))) == sorted(sizes)


def test_messages_that_are_not_taken_stop_no_others(stage: Stage) -> None:
    real = stage.aws.small._send_batch

    def partly(url: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
        failed = {"Id": "0", "SenderFault": True, "Code": "InvalidMessageContents", "Message": "what is this"}
        return real(url, entries[1:]) | {"Failed": [failed]}

    with mock.patch.object(stage.aws.small, "_send_batch", partly), pytest.raises(TransientError) as caught:
        send("https://sqs/1/orders", ["x"] * 12, region=REGION)
    assert caught.value.what == "2 messages were not taken by orders: InvalidMessageContents"
    assert len(stage.aws.small.messages) == 10

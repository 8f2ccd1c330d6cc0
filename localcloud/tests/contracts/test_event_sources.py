"""Queues in front of functions: what comes back, what is given up, how much runs side by side.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import LocalCloud, allow
from localcloud.testing.waiting import eventually
from localcloud.tests.contracts.test_functions import function


class Worker:
    """A function behind a queue, telling another queue what it does."""

    def __init__(self, cloud: LocalCloud, batch: int = 10, concurrency: int = 2, **attributes: str) -> None:
        self.cloud, self.sqs = cloud, cloud.client("sqs")
        self.url, self.arn = cloud.queue(**{"VisibilityTimeout": "30", **attributes})
        self.out, _arn = cloud.queue()
        poll = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"]
        self.name = function(cloud, allow(poll, self.arn), allow("sqs:SendMessage"))
        self.mapping = cloud.client("lambda").create_event_source_mapping(
            FunctionName=self.name, EventSourceArn=self.arn, BatchSize=batch,
            FunctionResponseTypes=["ReportBatchItemFailures"], ScalingConfig={"MaximumConcurrency": concurrency},
        )  # fmt: skip

    def send(self, *bodies: dict[str, Any]) -> None:
        texts = [json.dumps({"out": self.out, **body}) for body in bodies]
        entries = [{"Id": str(number), "MessageBody": text} for number, text in enumerate(texts)]
        self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)

    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.cloud.received(self.out)["Body"]))

    def left(self) -> tuple[int, int]:
        """Messages waiting and in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(counts[names[0]]), int(counts[names[1]])


def test_only_failed_messages_come_back_after_the_visibility_timeout(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"""
    worker = Worker(cloud)
    worker.send({"n": 1}, {"n": 2, "fail": True})
    assert sorted([worker.told()["n"], worker.told()["n"]]) == [1, 2]
    eventually(lambda: worker.left() == (0, 1))
    cloud.control.advance(31)
    assert worker.told()["n"] == 2


def test_a_message_received_too_often_goes_to_the_dead_letter_queue(cloud: LocalCloud) -> None:
    dead_url, dead = cloud.queue()
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 2})
    worker = Worker(cloud, RedrivePolicy=redrive)
    worker.send({"fail": True})
    for _attempt in range(2):
        worker.told()
        eventually(lambda: worker.left() == (0, 1))
        cloud.control.advance(31)
    assert json.loads(cloud.received(dead_url)["Body"])["fail"] is True


def test_a_function_may_hide_its_message_longer(cloud: LocalCloud) -> None:
    worker = Worker(cloud)
    worker.send({"hide": worker.url, "fail": True})
    worker.told()
    eventually(lambda: worker.left() == (0, 1))
    cloud.control.advance(900)
    assert worker.left() == (0, 1)
    cloud.control.advance(120)
    worker.told()


def test_workers_run_in_parallel_up_to_the_maximum_concurrency(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"""
    worker = Worker(cloud, batch=1, concurrency=2)
    worker.send(*({"n": number, "sleep": 0.6} for number in range(4)))
    told = sorted((worker.told() for _number in range(4)), key=lambda one: one["at"])
    assert len({one["pid"] for one in told}) == 2
    assert told[1]["at"] - told[0]["at"] < 0.5  # side by side
    assert told[2]["at"] - told[0]["at"] >= 0.5  # but not more than two


def test_a_mapping_needs_the_function_the_queue_and_the_roles_permission(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""
    lambda_, plain = cloud.client("lambda"), function(cloud)
    _url, queue = cloud.queue()
    for function_name, source, error in (
        ("nobody", queue, "Function not found"),
        (plain, f"{queue}x", "NonExistentQueue"),
        (plain, queue, "does not have permissions to call ReceiveMessage"),
        (plain, cloud.queue(VisibilityTimeout="5")[1], "less than Function timeout"),
    ):
        with pytest.raises(ClientError, match=error):
            lambda_.create_event_source_mapping(FunctionName=function_name, EventSourceArn=source)

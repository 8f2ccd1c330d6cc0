"""What is said on the hub's bus, for the demonstration to hear."""

import json
from collections.abc import Sequence
from typing import Any

from localcloud.aws import Aws
from localcloud.installation import HUB, REGION


class Facts:
    """What is said from now on that fits a pattern."""

    def __init__(self, aws: Aws, name: str, sources: Sequence[str], kinds: str) -> None:
        """``name`` is that of the queue and the rule, ``kinds`` how the detail-types begin."""
        self._sqs, events = aws.client("sqs", HUB, REGION), aws.client("events", HUB, REGION)
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        queue = f"arn:aws:sqs:{REGION}:{HUB}:{name}"
        pattern = {"source": list(sources), "detail-type": [{"prefix": kinds}]}
        bus = {"EventBusName": "groundcrew"}
        rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern), **bus)["RuleArn"]
        allow = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        self._sqs.set_queue_attributes(QueueUrl=self._url, Attributes={"Policy": policy})
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue}], **bus)

    def new(self) -> list[dict[str, Any]]:
        """What was said since the last look."""
        messages = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]

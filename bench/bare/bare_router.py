"""What ``runs.router`` asks AWS for a request that names one environment, by plain boto3."""

import json
import os
from typing import Any

import boto3


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """One message, one order."""
    request = json.loads(event["Records"][0]["body"])
    order = json.dumps(request | {"source": "groundcrew", "detail-type": "DAG Run Ordered"})
    entries: Any = [{"Id": "0", "MessageBody": order}]
    boto3.client("sqs").send_message_batch(QueueUrl=os.environ["GROUNDCREW_RUNS_QUEUE"], Entries=entries)
    return {"batchItemFailures": []}

"""SQS: moving messages back from dead-letter queues, and the limits stock does not know.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
"""

import hashlib
import inspect
import json
import threading
import uuid
from typing import Any

from ministack.core import iam_actions
from ministack.core.concurrency import esm_wake
from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, sns, sqs

from localcloud.cloud import Cloud

MAX_DELAY_SECONDS = 900

Data = dict[str, Any]


def install(cloud: Cloud) -> None:
    _make_thread_safe()
    tasks = _MoveTasks(cloud)
    sqs._HANDLERS.update(
        StartMessageMoveTask=tasks.start,
        ListMessageMoveTasks=tasks.listed,
        CancelMessageMoveTask=tasks.cancel,
        ListDeadLetterSourceQueues=_dead_letter_sources,
        SendMessage=_limited(sqs._HANDLERS["SendMessage"]),
    )
    sqs._act_send_message = sqs._HANDLERS["SendMessage"]  # SendMessageBatch sends through this name
    iam_actions.extract_resource_arn = _queue_of_move_task(iam_actions.extract_resource_arn)
    cloud.on_reset(tasks.tasks.clear)


def send_to_queue(queue: dict[str, Any], body: str, attributes: dict[str, Any], now: float) -> None:
    """Put a message of a service's own on a queue, as SendMessage would."""
    message = {
        "id": str(uuid.uuid4()),
        "body": body,
        "md5_body": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "md5_attrs": sqs._md5_msg_attrs(attributes),
        "message_attributes": attributes,
        "sent_at": now,
        "visible_at": now + sqs.queue_delay(queue),
    }
    sqs._ensure_msg_fields(message)
    with sqs._queues_lock:
        queue["messages"].append(message)
    esm_wake.set()


def _make_thread_safe() -> None:
    """One lock around everything that changes a queue.

    Requests, pollers, rules and topics work on the same lists from several threads; stock locks the pollers only, and
    a message sent while another thread rebuilds a list is lost.
    """
    sqs._queues_lock = lock = threading.RLock()

    def locked(work: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            with lock:
                return work(*args, **named)

        return call

    for name in ("_collect_msgs", "_dlq_sweep", "_expire_retained", "_refresh_counts"):
        setattr(sqs, name, locked(getattr(sqs, name)))
    for action, handler in sqs._HANDLERS.items():
        if not inspect.iscoroutinefunction(handler):  # ReceiveMessage waits; what it calls is locked
            sqs._HANDLERS[action] = locked(handler)
    sns._deliver_to_sqs = locked(sns._deliver_to_sqs)
    eventbridge._dispatch_to_sqs = locked(eventbridge._dispatch_to_sqs)


class _MoveTasks:
    """Tasks finish at once: a task moves what is in the queue when it starts."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.tasks: list[Data] = []

    def start(self, data: Data, _url: str) -> Data:
        source_arn, destination_arn = data.get("SourceArn", ""), data.get("DestinationArn")
        source = sqs._queue_by_arn(source_arn)
        if source is None or (destination_arn and sqs._queue_by_arn(destination_arn) is None):
            raise sqs._Err("ResourceNotFoundException", "The resource that you specified doesn't exist.", 404)
        if not _sources(source_arn):
            raise sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
        with sqs._queues_lock:
            moved = self._move(source, destination_arn)
        task = {
            "TaskHandle": uuid.uuid4().hex,
            "Status": "COMPLETED",
            "SourceArn": source_arn,
            "ApproximateNumberOfMessagesMoved": moved,
            "ApproximateNumberOfMessagesToMove": moved,
            "StartedTimestamp": int(self.cloud.clock.now() * 1000),
        }
        if destination_arn:
            task["DestinationArn"] = destination_arn
        self.tasks.insert(0, task)
        esm_wake.set()
        return {"TaskHandle": task["TaskHandle"]}

    def listed(self, data: Data, _url: str) -> Data:
        found = [task for task in self.tasks if task["SourceArn"] == data.get("SourceArn")]
        return {"Results": found[: int(data.get("MaxResults") or 1)]}

    def cancel(self, _data: Data, _url: str) -> Data:
        raise sqs._Err("UnsupportedOperation", "Only tasks in status RUNNING can be cancelled.")

    def _move(self, source: Data, destination_arn: str | None) -> int:
        """Back to where each message came from, if no destination is given; a moved message is a new one to receive."""
        kept, moved = [], 0
        for message in source["messages"]:
            origin = destination_arn or message.get("sys", {}).get("DeadLetterQueueSourceArn")
            target = sqs._queue_by_arn(origin) if origin else None
            if target is None:
                kept.append(message)
                continue
            fresh = {"receive_count": 0, "first_receive_at": None, "receipt_handle": None}
            system = {key: value for key, value in message.get("sys", {}).items() if key != "DeadLetterQueueSourceArn"}
            now = self.cloud.clock.now()
            target["messages"].append({**message, **fresh, "sys": system, "visible_at": now, "enqueued_at": now})
            moved += 1
        source["messages"] = kept
        return moved


def _sources(arn: str) -> list[str]:
    """URLs of the queues whose dead-letter queue this is."""
    return [
        url
        for url, queue in sqs._queues.items()
        if json.loads(queue["attributes"].get("RedrivePolicy") or "{}").get("deadLetterTargetArn") == arn
    ]


def _dead_letter_sources(data: Data, url: str) -> Data:
    return {"queueUrls": _sources(sqs._get_q(data.get("QueueUrl", url))["attributes"]["QueueArn"])}


def _limited(stock: Any) -> Any:
    def send(data: Data, url: str) -> Any:
        if int(data.get("DelaySeconds") or 0) > MAX_DELAY_SECONDS:
            raise sqs._Err(
                "InvalidParameterValue",
                f"Value {data['DelaySeconds']} for parameter DelaySeconds is invalid. "
                "Reason: DelaySeconds must be >= 0 and <= 900.",
            )
        return stock(data, url)

    return send


def _queue_of_move_task(stock: Any) -> Any:
    """Move tasks are authorized on the queue they name by ARN instead of URL."""

    def resource(service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any) -> Any:
        if service == "sqs" and headers.get("x-amz-target", "").endswith(
            ("StartMessageMoveTask", "ListMessageMoveTasks")
        ):
            fallback = f"arn:aws:sqs:{get_region()}:{get_account_id()}:*"
            return json.loads(body or b"{}").get("SourceArn", fallback)
        return stock(service, method, path, headers, body, *rest)

    return resource

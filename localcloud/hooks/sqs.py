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
MAX_VISIBILITY_SECONDS = 12 * 3600

Data = dict[str, Any]


def install(cloud: Cloud) -> None:
    visibility = _Visibility(cloud)
    sqs._collect_msgs = visibility.collected(sqs._collect_msgs)
    _make_thread_safe()
    tasks = _MoveTasks(cloud)
    sqs._HANDLERS.update(
        ChangeMessageVisibility=visibility.changed(sqs._HANDLERS["ChangeMessageVisibility"]),
        ChangeMessageVisibilityBatch=visibility.changed_batch(sqs._HANDLERS["ChangeMessageVisibilityBatch"]),
        StartMessageMoveTask=tasks.start,
        ListMessageMoveTasks=tasks.listed,
        CancelMessageMoveTask=tasks.cancel,
        ListDeadLetterSourceQueues=_dead_letter_sources,
        SendMessage=_limited(sqs._HANDLERS["SendMessage"]),
    )
    sqs._act_send_message = sqs._HANDLERS["SendMessage"]  # SendMessageBatch sends through this name
    iam_actions.extract_iam_action = _without_batch(iam_actions.extract_iam_action)
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


class _Visibility:
    """A message is hidden for twelve hours at most from when it was received, however often that is changed.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def collected(self, stock: Any) -> Any:
        def collect(queue: Data, most: int, timeout: int) -> list[Data]:
            messages: list[Data] = stock(queue, most, timeout)
            for message in messages:
                message["received_at"] = self.cloud.clock.now()
            return messages

        return collect

    def changed(self, stock: Any) -> Any:
        def change(data: Data, url: str) -> Any:
            if problem := self._problem(sqs._get_q(data.get("QueueUrl", url)), data):
                raise sqs._Err("InvalidParameterValue", problem)
            return stock(data, url)

        return change

    def changed_batch(self, stock: Any) -> Any:
        def change(data: Data, url: str) -> Any:
            queue = sqs._get_q(data.get("QueueUrl", url))
            wrong = {entry.get("Id"): self._problem(queue, entry) for entry in data.get("Entries") or []}
            entries = [entry for entry in data.get("Entries") or [] if not wrong[entry.get("Id")]]
            refused = [
                {"Id": name, "Code": "InvalidParameterValue", "Message": problem, "SenderFault": True}
                for name, problem in wrong.items()
                if problem
            ]
            if refused and not entries:
                return {"Successful": [], "Failed": refused}
            answer = stock({**data, "Entries": entries}, url)
            return {**answer, "Failed": [*answer["Failed"], *refused]}

        return change

    def _problem(self, queue: Data, entry: Data) -> str | None:
        timeout = int(entry.get("VisibilityTimeout") or 0)
        invalid = f"Value {timeout} for parameter VisibilityTimeout is invalid. Reason: "
        if not 0 <= timeout <= MAX_VISIBILITY_SECONDS:
            return f"{invalid}Must be between 0 and 43200."
        for message in queue["messages"]:
            if message["receipt_handle"] == entry.get("ReceiptHandle") and "received_at" in message:
                passed = int(self.cloud.clock.now() - message["received_at"])
                if passed + timeout > MAX_VISIBILITY_SECONDS:
                    return f"{invalid}Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
        return None


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


def _without_batch(stock: Any) -> Any:
    """A batch is authorized as the single action: IAM has no others.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-using-identity-based-policies.html
    """

    def action(service: str, *rest: Any) -> str | None:
        found: str | None = stock(service, *rest)
        return found.removesuffix("Batch") if found and service == "sqs" else found

    return action

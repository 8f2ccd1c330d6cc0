"""What surrounds a Lambda invocation: retries, destinations, event source mappings, logs and metrics, under the role.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

import datetime
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from ministack.core.arn import parse_arn
from ministack.core.concurrency import spawn_background
from ministack.core.responses import error_response_json, get_account_id, get_region, request_scope
from ministack.services import cloudwatch, cloudwatch_logs, lambda_svc, sns, sqs
from ministack.services.cloudformation import provisioners

from localcloud.cloud import Cloud
from localcloud.hooks import identity
from localcloud.hooks.sqs import send_to_queue

SERVICE = "lambda.amazonaws.com"
RETRIES = 2
MAX_AGE_SECONDS = 6 * 3600
RETRY_AFTER_SECONDS = 60.0  # one minute before the second attempt, two before the third
SQS_ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")


@dataclass
class Invocation:
    """One event on its way to a function that nobody waits for."""

    function: dict[str, Any]
    event: Any
    account: str
    region: str
    first_at: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempts: int = 0
    due: float = 0.0

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.function.get("config") or self.function)

    @property
    def settings(self) -> dict[str, Any]:
        configs = self.function.get("event_invoke_configs") or {}
        return dict(self.function.get("event_invoke_config") or configs.get("$LATEST") or {})


@dataclass
class _Queue:
    """Lambda's own queue of asynchronous events; its waits pass on the cloud's clock."""

    cloud: Cloud
    waiting: list[Invocation] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def accept(self, function: dict[str, Any], event: Any) -> None:
        account, region = lambda_svc._account_region_from_function_config(function.get("config") or function)
        self._spawn(Invocation(function, event, account, region, self.cloud.clock.now()))

    def retry_due(self, now: float) -> None:
        with self.lock:
            due = [one for one in self.waiting if one.due <= now]
            self.waiting = [one for one in self.waiting if one.due > now]
        for invocation in due:
            self._spawn(invocation)

    def forget(self) -> None:
        with self.lock:
            self.waiting.clear()

    def _spawn(self, invocation: Invocation) -> None:
        spawn_background(self._attempt, invocation, thread_name="localcloud-invocation")

    def _attempt(self, invocation: Invocation) -> None:
        with request_scope(invocation.account, invocation.region):
            result = lambda_svc._execute_function(invocation.function, invocation.event)
            if not result.get("error") and not result.get("throttle"):
                return
            now, settings = self.cloud.clock.now(), invocation.settings
            if result.get("throttle"):  # does not count as an attempt
                invocation.due = now + 1.0
            else:
                invocation.attempts += 1
                invocation.due = now + RETRY_AFTER_SECONDS * invocation.attempts
            retries = settings.get("MaximumRetryAttempts")
            too_old = invocation.due - invocation.first_at > settings.get("MaximumEventAgeInSeconds", MAX_AGE_SECONDS)
            if too_old or invocation.attempts > (RETRIES if retries is None else int(retries)):
                self._give_up(invocation, result, "EventAgeExceeded" if too_old else "RetriesExhausted")
                return
        with self.lock:
            self.waiting.append(invocation)

    def _give_up(self, invocation: Invocation, result: dict[str, Any], condition: str) -> None:
        """Send the record to the on-failure destination, the event to the dead-letter queue; with the function's role.

        https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
        """
        config, body = invocation.config, result.get("body")
        destination = (invocation.settings.get("DestinationConfig") or {}).get("OnFailure", {}).get("Destination")
        queue = (config.get("DeadLetterConfig") or {}).get("TargetArn")
        if queue:
            facts = {"RequestID": invocation.request_id, "ErrorCode": "200", "ErrorMessage": _error_message(body)}
            attributes = {name: {"DataType": "String", "StringValue": text} for name, text in facts.items()}
            self._send(config, queue, json.dumps(invocation.event), attributes)
        if destination:
            record = {
                "version": "1.0",
                "timestamp": _timestamp(self.cloud.clock.now()),
                "requestContext": {
                    "requestId": invocation.request_id,
                    "functionArn": f"{config['FunctionArn']}:{config.get('Version', '$LATEST')}",
                    "condition": condition,
                    "approximateInvokeCount": invocation.attempts,
                },
                "requestPayload": invocation.event,
                "responseContext": {
                    "statusCode": 200,
                    "executedVersion": config.get("Version", "$LATEST"),
                    "functionError": result.get("function_error") or "Unhandled",
                },
                "responsePayload": body,
            }
            self._send(config, destination, json.dumps(record), {})

    def _send(self, config: dict[str, Any], arn: str, message: str, attributes: dict[str, Any]) -> None:
        service = parse_arn(arn).service
        action = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "lambda": "lambda:InvokeFunction"}[service]
        refused = identity.role_may(config["Role"], SERVICE, action, arn)
        if refused is None and service == "sqs" and (queue := sqs._queue_by_arn(arn)) is not None:
            send_to_queue(queue, message, attributes, self.cloud.clock.now())
        elif refused is None and service == "sns":
            sns.publish_internal(arn, message)
        elif refused is None and service == "lambda":
            function, _config, _name = lambda_svc._get_func_record_for_ref(arn)
            self.accept(function, json.loads(message))
        else:
            dimensions = {"FunctionName": config["FunctionName"]}
            cloudwatch.record_metric("AWS/Lambda", "DestinationDeliveryFailures", 1, "Count", dimensions)


def install(cloud: Cloud) -> None:
    queue = _Queue(cloud)
    lambda_svc.invoke_async_with_retry = queue.accept
    cloud.clock.on_tick(queue.retry_due)
    cloud.on_reset(queue.forget)
    lambda_svc._create_esm = _checked_mapping(lambda_svc._create_esm)
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]
    handlers["create"] = _checked_mapping_resource(handlers["create"])
    logs = threading.Lock()  # invocations write streams in threads of theirs, while readers walk through them
    lambda_svc._emit_lambda_logs = _emit_logs(lambda_svc._emit_lambda_logs, logs)
    cloudwatch_logs.handle_request = _one_at_a_time(cloudwatch_logs.handle_request, logs)
    lambda_svc._execute_function = _measured(lambda_svc._execute_function, lambda_svc._emit_lambda_metrics)
    lambda_svc._emit_lambda_metrics = lambda *_args, **_named: None  # stock counts direct invocations only


def _error_message(body: Any) -> str:
    return str(body.get("errorMessage", "")) if isinstance(body, dict) else str(body)


def _timestamp(now: float) -> str:
    return datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _mapping_problem(function: str, source: str, scaling: dict[str, Any]) -> str | None:
    """What AWS checks before it polls a queue for a function.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    """
    record, config, _name = lambda_svc._get_func_record_for_ref(function)
    if not record or config is None:
        return f"Function not found: {function}"
    if parse_arn(source).service != "sqs":
        return None
    queue = sqs._queue_by_arn(source)
    if queue is None:
        return "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue."
    visibility = int(queue["attributes"].get("VisibilityTimeout", 30))
    timeout = int(config.get("Timeout", 3))
    if visibility < timeout:
        return f"Queue visibility timeout: {visibility} seconds is less than Function timeout: {timeout} seconds"
    if int(scaling.get("MaximumConcurrency", 2)) < 2:
        return "MaximumConcurrency must be at least 2"
    for action in SQS_ACTIONS:
        if identity.role_may(config["Role"], SERVICE, action, source):
            return f"The function execution role does not have permissions to call {action.split(':')[1]} on SQS"
    return None


def _checked_mapping(stock: Any) -> Any:
    def create(data: dict[str, Any]) -> Any:
        problem = _mapping_problem(
            data.get("FunctionName", ""), data.get("EventSourceArn", ""), data.get("ScalingConfig") or {}
        )
        if problem and problem.startswith("Function not found"):
            return error_response_json("ResourceNotFoundException", problem, 404)
        return error_response_json("InvalidParameterValueException", problem, 400) if problem else stock(data)

    return create


def _checked_mapping_resource(stock: Any) -> Any:
    def create(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        problem = _mapping_problem(
            properties.get("FunctionName", ""),
            properties.get("EventSourceArn", ""),
            properties.get("ScalingConfig") or {},
        )
        if problem:
            raise ValueError(f"Resource handler returned message: {problem}")
        return stock(logical_id, properties, stack)

    return create


def _one_at_a_time(stock: Any, lock: threading.Lock) -> Any:
    """Answers without ever awaiting, so the lock is held no longer than one answer takes."""

    async def handle_request(*given: Any) -> Any:
        with lock:
            return await stock(*given)

    return handle_request


def _emit_logs(stock: Any, lock: threading.Lock) -> Any:
    """Logs are written with the function's role, and become metrics where they are in the embedded metric format.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html#monitoring-cloudwatchlogs-prereqs
    """

    def emit(
        function: dict[str, Any], request_id: str, text: str, error: bool, milliseconds: int, **named: Any
    ) -> None:
        config = function.get("config") or function
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
        arn = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{group}"
        actions = [
            ("logs:CreateLogStream", f"{arn}:log-stream:local"),
            ("logs:PutLogEvents", f"{arn}:log-stream:local"),
        ]
        if group not in cloudwatch_logs._log_groups:
            actions.insert(0, ("logs:CreateLogGroup", f"{arn}:log-stream:"))
        if any(identity.role_may(config["Role"], SERVICE, action, resource) for action, resource in actions):
            return
        with lock:
            stock(function, request_id, text, error, milliseconds, **named)
        for line in (text or "").splitlines():
            if '"_aws"' in line:
                _record_embedded(line)

    return emit


def _record_embedded(line: str) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html"""
    try:
        document = json.loads(line)
        directives = document["_aws"]["CloudWatchMetrics"]
    except (ValueError, KeyError, TypeError):  # an ordinary log line
        return
    for directive in directives:
        for metric in directive["Metrics"]:
            found = document.get(metric["Name"], [])
            for names in directive.get("Dimensions") or [[]]:
                dimensions = {name: str(document[name]) for name in names if name in document}
                for value in found if isinstance(found, list) else [found]:
                    unit = metric.get("Unit", "None")
                    cloudwatch.record_metric(directive["Namespace"], metric["Name"], value, unit, dimensions)


def _measured(stock: Any, emit: Any) -> Any:
    def execute(function: dict[str, Any], event: Any) -> Any:
        config = function.get("config") or function
        if lambda_svc._function_config_scope_mismatch(config):
            return stock(function, event)  # comes back here in the function's own account and Region
        started = time.monotonic()
        result = stock(function, event)
        emit(
            config["FunctionName"],
            duration_ms=(time.monotonic() - started) * 1000,
            error=bool(result.get("error")) and not result.get("throttle"),
            throttle=bool(result.get("throttle")),
        )
        return result

    return execute

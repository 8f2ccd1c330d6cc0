"""How EventBridge rules and Scheduler schedules reach their targets: permissions, retries, dead-letter queues.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-event-delivery.html
https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
"""

import contextvars
import json
import threading
from dataclasses import dataclass, field
from typing import Any

from ministack.core.arn import parse_arn
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import eventbridge, lambda_svc, sns, sqs

from localcloud.cloud import Cloud, FailedDelivery
from localcloud.hooks import identity
from localcloud.hooks.eventbridge import bus_policy, deliver
from localcloud.hooks.sqs import send_to_queue

MAX_ATTEMPTS = 185
MAX_AGE_SECONDS = 86400
FIRST_BACKOFF_SECONDS = 1.0
ACTIONS = {
    "lambda": "lambda:InvokeFunction",
    "sqs": "sqs:SendMessage",
    "sns": "sns:Publish",
    "events": "events:PutEvents",
}


class DeliveryError(Exception):
    """A target refused the event. ``retriable`` errors are tried again; the others go straight to the DLQ."""

    def __init__(self, code: str, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retriable = retriable


@dataclass
class Delivery:
    """One event on its way to one target."""

    target: dict[str, Any]
    event: dict[str, Any]
    rule: dict[str, Any]  # or the schedule
    account: str
    region: str
    first_at: float
    due: float = 0.0
    retries: int = 0
    error: DeliveryError | None = None

    @property
    def source_arn(self) -> str:
        return str(self.rule["Arn"])

    @property
    def scheduled(self) -> bool:
        return ":scheduler:" in self.source_arn

    @property
    def service(self) -> str:
        return "scheduler.amazonaws.com" if self.scheduled else "events.amazonaws.com"

    @property
    def role_source(self) -> str:
        """What the role's trust policy sees as aws:SourceArn: the rule, or the schedule's group.

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
        """
        if not self.scheduled:
            return self.source_arn
        return self.source_arn.replace(":schedule/", ":schedule-group/").rsplit("/", 1)[0]


_current: contextvars.ContextVar[Delivery | None] = contextvars.ContextVar("delivery", default=None)


@dataclass
class _Deliveries:
    cloud: Cloud
    send: Any  # ministack's _invoke_target: renders the payload and calls the dispatchers below
    waiting: list[Delivery] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        now = self.cloud.clock.now()
        self.attempt(Delivery(target, event, rule, get_account_id(), get_region(), first_at=now), view)

    def attempt(self, delivery: Delivery, view: Any = None) -> None:
        delivery.error = None
        token = _current.set(delivery)
        try:
            self._authorize(delivery)
            self.send(delivery.target, delivery.event, delivery.rule, view)
        except DeliveryError as error:
            delivery.error = error
        finally:
            _current.reset(token)
        if delivery.error is not None:
            self._failed(delivery, delivery.error)

    def retry_due(self, now: float) -> None:
        with self.lock:
            due = [one for one in self.waiting if one.due <= now]
            self.waiting = [one for one in self.waiting if one.due > now]
        for delivery in due:
            with request_scope(delivery.account, delivery.region):
                self.attempt(delivery)

    def forget(self) -> None:
        with self.lock:
            self.waiting.clear()

    def _authorize(self, delivery: Delivery) -> None:
        """A role, where the target has one (a schedule must); else the target's own policy decides on arrival."""
        arn, role = delivery.target["Arn"], delivery.target.get("RoleArn")
        action = ACTIONS.get(parse_arn(arn).service)
        fault = self.cloud.faults.strike(delivery.service, action or "")
        if fault is not None and fault.kind in ("throttle", "error"):
            code = "THROTTLING" if fault.kind == "throttle" else "ERROR_FROM_TARGET"
            raise DeliveryError(code, "injected fault", retriable=True)
        if role and action:
            context = {
                "events:source": delivery.event.get("Source"),
                "events:detail-type": delivery.event.get("DetailType"),
            }
            policy = bus_policy(arn) if action == "events:PutEvents" else None
            why = identity.role_may(
                role, delivery.service, action, arn,
                source_arn=delivery.role_source, context=context, resource_policy=policy,
            )  # fmt: skip
            if why:
                raise DeliveryError("NO_PERMISSIONS", why)
        elif delivery.scheduled:
            raise DeliveryError("NO_PERMISSIONS", "a schedule needs an execution role")

    def _failed(self, delivery: Delivery, error: DeliveryError) -> None:
        policy = delivery.target.get("RetryPolicy") or {}
        attempts = int(policy.get("MaximumRetryAttempts", MAX_ATTEMPTS))
        age = float(policy.get("MaximumEventAgeInSeconds", MAX_AGE_SECONDS))
        now = self.cloud.clock.now()
        delay = FIRST_BACKOFF_SECONDS * 2 ** min(delivery.retries, 12)
        exhausted = None
        if error.retriable:
            if delivery.retries >= attempts:
                exhausted = "MaximumRetryAttempts"
            elif now + delay - delivery.first_at > age:
                exhausted = "MaximumEventAgeInSeconds"
            else:
                delivery.retries += 1
                delivery.due = now + delay
                with self.lock:
                    self.waiting.append(delivery)
                return
        arn = delivery.target["Arn"]
        self.cloud.failures.append(FailedDelivery(now, delivery.source_arn, arn, error.code, str(error)))
        # A second forward is never sent on; EventBridge documents no dead-letter for it.
        if error.code != "THIRD_ACCOUNT_HOP_DETECTED":
            self._bury(delivery, error, exhausted)

    def _bury(self, delivery: Delivery, error: DeliveryError, exhausted: str | None) -> None:
        """Into the target's DLQ, which must admit the rule (or the schedule's role) as any queue must.

        The message's body is the event; the reasons are message attributes.
        """
        queue_arn = str((delivery.target.get("DeadLetterConfig") or {}).get("Arn", ""))
        queue = sqs._queue_by_arn(queue_arn) if queue_arn else None
        if queue is None:
            return
        if delivery.scheduled:
            role = delivery.target.get("RoleArn", "")
            refused = identity.role_may(
                role, delivery.service, "sqs:SendMessage", queue_arn, source_arn=delivery.role_source
            ) if role else "no role"  # fmt: skip
        else:
            policy = queue["attributes"].get("Policy")
            admitted = identity.service_may(
                delivery.service, "sqs:SendMessage", queue_arn, policy, source_arn=delivery.source_arn
            )
            refused = None if admitted else "NO_PERMISSIONS"
        if refused:
            now = self.cloud.clock.now()
            self.cloud.failures.append(FailedDelivery(now, delivery.source_arn, queue_arn, "NO_PERMISSIONS", refused))
            return
        facts = {
            "RULE_ARN": delivery.source_arn,
            "TARGET_ARN": delivery.target["Arn"],
            "ERROR_CODE": error.code,
            "ERROR_MESSAGE": str(error),
            "RETRY_ATTEMPTS": str(delivery.retries),
        }
        if exhausted:
            facts["EXHAUSTED_RETRY_CONDITION"] = exhausted
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in facts.items()}
        body = json.dumps(eventbridge._pattern_event_view(delivery.event).event_with_detail())
        send_to_queue(queue, body, attributes, self.cloud.clock.now())


def install(cloud: Cloud) -> None:
    deliveries = _Deliveries(cloud, eventbridge._invoke_target)
    eventbridge._invoke_target = deliveries.start
    eventbridge._dispatch_to_event_bus = _reported(_to_bus)
    eventbridge._dispatch_to_lambda = _reported(_to_lambda)
    eventbridge._dispatch_to_sqs = _reported(_to_sqs(eventbridge._dispatch_to_sqs))
    eventbridge._dispatch_to_sns = _reported(_to_sns(eventbridge._dispatch_to_sns))
    cloud.clock.on_tick(deliveries.retry_due)
    cloud.on_reset(deliveries.forget)


def _reported(dispatch: Any) -> Any:
    """ministack logs what a dispatcher raises and forgets the event: tell the delivery instead."""

    def call(*args: Any, **named: Any) -> None:
        try:
            dispatch(*args, **named)
        except DeliveryError as error:
            delivery = _current.get()
            if delivery is not None:
                delivery.error = error

    return call


def _admitted(policy: identity.Policy, action: str, resource: str) -> None:
    """Targets without a role are guarded by their own policy, whose condition may name the rule (aws:SourceArn).

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    """
    delivery = _current.get()
    if delivery is None or delivery.target.get("RoleArn"):
        return
    if not identity.service_may(delivery.service, action, resource, policy, source_arn=delivery.source_arn):
        raise DeliveryError("NO_PERMISSIONS", f"{resource} does not let {delivery.source_arn} in")


def _to_bus(spec: Any, event: dict[str, Any], rule: dict[str, Any], path: set[str], payload: str | None = None) -> None:
    """An event is forwarded once: one that another bus sent here is not sent on.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html
    """
    hops = event.get("_Hops", 0)
    if hops >= 1:
        raise DeliveryError("THIRD_ACCOUNT_HOP_DETECTED", "the event was already forwarded once")
    if payload is not None:  # InputTransformer and Input do not work on bus targets
        raise DeliveryError("INVALID_PARAMETER", "a bus takes the event as it is")
    try:
        deliver(str(spec), {**event, "_Hops": hops + 1})
    except LookupError as error:
        raise DeliveryError("NO_RESOURCE", str(error)) from error


def _to_lambda(arn: str, payload: str) -> None:
    function, config, _name = lambda_svc._get_func_record_for_ref(arn)
    if not function:
        raise DeliveryError("NO_RESOURCE", f"Function not found: {arn}")
    policy = lambda_svc.function_policy_for_arn(arn)
    _admitted(policy[0] if policy else None, "lambda:InvokeFunction", arn)
    # Rules invoke asynchronously: Lambda retries and has its own destinations.
    lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(function, config), json.loads(payload))


def _to_sqs(stock: Any) -> Any:
    def send(spec: Any, payload: str, parameters: dict[str, Any] | None = None) -> None:
        queue = sqs._queue_by_arn(str(spec))
        if queue is None:
            raise DeliveryError("NO_RESOURCE", f"The specified queue does not exist: {spec}")
        _admitted(queue["attributes"].get("Policy"), "sqs:SendMessage", str(spec))
        stock(spec, payload, parameters)

    return send


def _to_sns(stock: Any) -> Any:
    def send(arn: str, payload: str) -> None:
        found = sns.topic_policy_for_arn(arn)
        if found is None:
            raise DeliveryError("NO_RESOURCE", f"Topic does not exist: {arn}")
        _admitted(found[0], "sns:Publish", arn)
        stock(arn, payload)

    return send

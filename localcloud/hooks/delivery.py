"""How EventBridge rules and Scheduler schedules reach their targets: permissions, retries, dead-letter queues.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-event-delivery.html
https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
"""

import json
import threading
from dataclasses import dataclass, field
from typing import Any

from ministack.core.arn import parse_arn
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import eventbridge, sqs, stepfunctions

from localcloud.cloud import Cloud, FailedDelivery
from localcloud.hooks import identity, integrations, schedules, targets
from localcloud.hooks.eventbridge import bus_policy
from localcloud.hooks.sqs import send_to_queue
from localcloud.hooks.targets import Delivery, DeliveryError, current

MAX_ATTEMPTS = 185
MAX_AGE_SECONDS = 86400
FIRST_BACKOFF_SECONDS = 1.0
ACTIONS = {
    "lambda": "lambda:InvokeFunction",
    "sqs": "sqs:SendMessage",
    "sns": "sns:Publish",
    "events": "events:PutEvents",
    "states": "states:StartExecution",
}


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
        token = current.set(delivery)
        try:
            target, event = delivery.target, delivery.event
            if delivery.scheduled:
                target, event = schedules.prepared(target, event, delivery.rule, delivery.retries + 1)
            if call := schedules.integration(target["Arn"]):
                self._call(delivery, call, json.loads(target["Input"]))
            else:
                self._authorize(delivery, event)
                self.send(target, event, delivery.rule, view)
        except DeliveryError as error:
            delivery.error = error
        finally:
            current.reset(token)
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

    def _call(self, delivery: Delivery, call: str, arguments: dict[str, Any]) -> None:
        """A universal target: any call of the SDK, as the schedule's role."""
        for action, _resource, _context in integrations.permissions(call, arguments):
            self._strike(delivery, action)
        role = delivery.target["RoleArn"]
        if why := integrations.refused(role, delivery.service, call, arguments, delivery.role_source):
            raise DeliveryError("NO_PERMISSIONS", why)
        try:
            stepfunctions._invoke_resource(call, arguments)
        except stepfunctions._ExecutionError as error:
            raise DeliveryError(error.error, error.cause) from error

    def _strike(self, delivery: Delivery, action: str) -> None:
        fault = self.cloud.faults.strike(delivery.service, action)
        if fault is not None and fault.kind in ("throttle", "error"):
            code = "THROTTLING" if fault.kind == "throttle" else "ERROR_FROM_TARGET"
            raise DeliveryError(code, "injected fault", retriable=True)

    def _authorize(self, delivery: Delivery, event: dict[str, Any]) -> None:
        """A role, where the target has one (a schedule must); else the target's own policy decides on arrival."""
        arn, role = delivery.target["Arn"], delivery.target.get("RoleArn")
        action = ACTIONS.get(parse_arn(arn).service)
        self._strike(delivery, action or "")
        if role and action:
            context = {"events:source": event.get("Source"), "events:detail-type": event.get("DetailType")}
            policy = bus_policy(arn) if action == "events:PutEvents" else None
            why = identity.role_may(
                role, delivery.service, action, arn,
                source_arn=delivery.role_source, context=context, resource_policy=policy,
            )  # fmt: skip
            if why:
                raise DeliveryError("NO_PERMISSIONS", why)
        elif delivery.scheduled or action == "states:StartExecution":
            raise DeliveryError("NO_PERMISSIONS", "the target needs a role")

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
    eventbridge._dispatch_to_event_bus = targets.reported(targets.to_bus)
    eventbridge._dispatch_to_lambda = targets.reported(targets.to_lambda)
    eventbridge._dispatch_to_sqs = targets.reported(targets.to_sqs(eventbridge._dispatch_to_sqs))
    eventbridge._dispatch_to_sns = targets.reported(targets.to_sns(eventbridge._dispatch_to_sns))
    cloud.clock.on_tick(deliveries.retry_due)
    cloud.on_reset(deliveries.forget)

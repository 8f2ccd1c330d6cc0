"""The targets of EventBridge rules and Scheduler schedules: how each takes an event, and what it refuses.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html
"""

import contextvars
import json
from dataclasses import dataclass
from typing import Any

from ministack.services import lambda_svc, sns, sqs

from localcloud.hooks import identity
from localcloud.hooks.eventbridge import deliver


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


current: contextvars.ContextVar[Delivery | None] = contextvars.ContextVar("delivery", default=None)


def reported(dispatch: Any) -> Any:
    """ministack logs what a dispatcher raises and forgets the event: tell the delivery instead."""

    def call(*args: Any, **named: Any) -> None:
        try:
            dispatch(*args, **named)
        except DeliveryError as error:
            delivery = current.get()
            if delivery is not None:
                delivery.error = error

    return call


def _admitted(policy: identity.Policy, action: str, resource: str) -> None:
    """Targets without a role are guarded by their own policy, whose condition may name the rule (aws:SourceArn).

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    """
    delivery = current.get()
    if delivery is None or delivery.target.get("RoleArn"):
        return
    if not identity.service_may(delivery.service, action, resource, policy, source_arn=delivery.source_arn):
        raise DeliveryError("NO_PERMISSIONS", f"{resource} does not let {delivery.source_arn} in")


def to_bus(spec: Any, event: dict[str, Any], rule: dict[str, Any], path: set[str], payload: str | None = None) -> None:
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


def to_lambda(arn: str, payload: str) -> None:
    function, config, _name = lambda_svc._get_func_record_for_ref(arn)
    if not function:
        raise DeliveryError("NO_RESOURCE", f"Function not found: {arn}")
    policy = lambda_svc.function_policy_for_arn(arn)
    _admitted(policy[0] if policy else None, "lambda:InvokeFunction", arn)
    # Rules invoke asynchronously: Lambda retries and has its own destinations.
    lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(function, config), json.loads(payload))


def to_sqs(stock: Any) -> Any:
    def send(spec: Any, payload: str, parameters: dict[str, Any] | None = None) -> None:
        queue = sqs._queue_by_arn(str(spec))
        if queue is None:
            raise DeliveryError("NO_RESOURCE", f"The specified queue does not exist: {spec}")
        _admitted(queue["attributes"].get("Policy"), "sqs:SendMessage", str(spec))
        stock(spec, payload, parameters)

    return send


def to_sns(stock: Any) -> Any:
    def send(arn: str, payload: str) -> None:
        found = sns.topic_policy_for_arn(arn)
        if found is None:
            raise DeliveryError("NO_RESOURCE", f"Topic does not exist: {arn}")
        _admitted(found[0], "sns:Publish", arn)
        stock(arn, payload)

    return send

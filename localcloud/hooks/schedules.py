"""What EventBridge Scheduler sends: context attributes, events for buses, universal targets.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
"""

import datetime
import json
import secrets
from typing import Any

from ministack.services import scheduler
from ministack.services.cloudformation import provisioners

UNIVERSAL = "arn:aws:scheduler:::"

Data = dict[str, Any]


def install() -> None:
    scheduler._create_schedule = _checked(scheduler._create_schedule)
    scheduler._update_schedule = _checked(scheduler._update_schedule)
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Scheduler::Schedule"]
    handlers["create"] = _checked_resource(handlers["create"])


def prepared(target: Data, event: Data, schedule: Data, attempt: int) -> tuple[Data, Data]:
    """Target and event of one attempt, from 1: the keywords in ``Input`` are replaced, a bus gets its event."""
    attributes = {
        "schedule-arn": schedule["Arn"],
        "scheduled-time": _scheduled_time(schedule, event["Time"]),
        "execution-id": secrets.token_hex(8),
        "attempt-number": str(attempt),
    }
    text = target.get("Input")
    for name, value in attributes.items():
        text = text and text.replace(f"<aws.scheduler.{name}>", value)
    parameters = target.get("EventBridgeParameters")
    if not parameters:
        return ({**target, "Input": text} if text else target), event
    plain = {key: value for key, value in target.items() if key != "Input"}
    facts = {"Source": parameters["Source"], "DetailType": parameters["DetailType"], "Detail": text or "{}"}
    return plain, {**event, **facts, "Resources": []}


def integration(arn: str) -> str | None:
    """The SDK call behind a universal target, as a state machine's task would name it."""
    return f"arn:aws:states:::{arn.removeprefix(UNIVERSAL)}" if arn.startswith(UNIVERSAL) else None


def _problem(target: Data) -> str | None:
    """What CreateSchedule refuses of a target.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html
    """
    arn, text = target.get("Arn", ""), target.get("Input")
    if ":event-bus/" in arn and not target.get("EventBridgeParameters"):
        return "EventBridgeParameters is required for EventBridge PutEvents target."
    if text is None and arn.startswith(UNIVERSAL):
        return "Input is required for a universal target."
    if text is not None and (arn.startswith(UNIVERSAL) or ":event-bus/" in arn):
        try:
            json.loads(text)
        except ValueError:
            return "Input is not valid JSON."
    return None


def _scheduled_time(schedule: Data, fired: float) -> str:
    """When it was to fire: the clock may tick somewhat later. Rates count from the second of their creation."""
    expression = schedule["ScheduleExpression"]
    moment = scheduler._at_time_epoch(expression) or (fired - fired % 60 if expression.startswith("cron") else fired)
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _checked(stock: Any) -> Any:
    def call(name: str, body: Data) -> Any:
        problem = _problem(body.get("Target") or {})
        return scheduler._error(400, "ValidationException", problem) if problem else stock(name, body)

    return call


def _checked_resource(stock: Any) -> Any:
    def create(logical_id: str, properties: Data, stack: str) -> Any:
        if problem := _problem(properties.get("Target") or {}):
            raise ValueError(f"Resource handler returned message: {problem}")
        return stock(logical_id, properties, stack)

    return create

"""Input transformers of EventBridge rules.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

import datetime
import json
import re
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

from localcloud.cloud import Cloud

STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")

Data = dict[str, Any]


def install(cloud: Cloud) -> None:
    def apply(transformer: Data, rule: Data, view: Any) -> str:
        event = view.event_with_detail()
        now = datetime.datetime.fromtimestamp(cloud.clock.now(), datetime.UTC)
        variables = {
            **{name: _selected(path, event) for name, path in (transformer.get("InputPathsMap") or {}).items()},
            "aws.events.rule-arn": rule.get("Arn", ""),
            "aws.events.rule-name": rule.get("Name", ""),
            "aws.events.event": view.envelope(),
            "aws.events.event.json": event,
            "aws.events.event.ingestion-time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return str(eventbridge._render_input_template(transformer["InputTemplate"], variables))

    eventbridge._apply_input_transformer = apply
    eventbridge._put_targets = _checked(eventbridge._put_targets)
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Events::Rule"]
    handlers["create"] = _checked_resource(handlers["create"], position=1)
    handlers["update"] = _checked_resource(handlers["update"], position=2)


def _selected(path: str, event: Data) -> Any:
    """The value at a path, which may index arrays; nothing where the event has none."""
    value: Any = event
    for name, index in STEP.findall(path.removeprefix("$")):
        try:
            value = value[int(index)] if index else value[name]
        except (KeyError, IndexError, TypeError):
            return ""
    return value


def _problem(targets: list[Data]) -> str | None:
    """A template is JSON once its placeholders are filled in."""
    for target in targets:
        transformer = target.get("InputTransformer")
        if not transformer:
            continue
        variables = dict.fromkeys(re.findall("<([^<>]*)>", transformer["InputTemplate"]))
        unknown = [
            name
            for name in variables
            if not name.startswith("aws.events.") and name not in (transformer.get("InputPathsMap") or {})
        ]
        try:
            json.loads(eventbridge._render_input_template(transformer["InputTemplate"], variables))
        except ValueError as error:
            return f"Invalid InputTemplate for target {target['Id']} : [{error}]."
        if unknown:
            return f"InputTemplate for target {target['Id']} contains invalid placeholder {unknown[0]}."
    return None


def _checked(stock: Any) -> Any:
    def put(data: Data) -> Any:
        problem = _problem(data.get("Targets") or [])
        return error_response_json("ValidationException", problem, 400) if problem else stock(data)

    return put


def _checked_resource(stock: Any, position: int) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        if problem := _problem(arguments[position].get("Targets") or []):
            raise ValueError(f"Resource handler returned message: {problem}")
        return stock(*arguments, **named)

    return call

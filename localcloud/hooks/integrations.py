"""Calls that Step Functions and EventBridge Scheduler make themselves: which permissions a role needs for them.

https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html
"""

import json
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import get_account_id, get_region

from localcloud.hooks import identity
from localcloud.hooks.eventbridge import arn_of_bus, bus_policy

IAM_PREFIX = {"sfn": "states", "eventbridge": "events"}  # where the SDK's name is not IAM's

Data = dict[str, Any]


def named(resource: str) -> tuple[str, str]:
    """Service and action of a task's or a universal target's resource."""
    if ":function:" in resource:
        return "lambda", "invoke"
    words = [word for word in resource.split(":")[5:] if word != "aws-sdk"]
    return words[0], ":".join(words[1:])


def permissions(resource: str, arguments: Data) -> list[tuple[str, str, Data]]:
    """The IAM actions of a call, what they are asked on ("*" where nobody can say), and their condition keys."""
    service, action = named(resource)
    if service == "lambda" and action.startswith("invoke"):
        reference = resource if ":function:" in resource else str(arguments.get("FunctionName", ""))
        if not reference.startswith("arn:"):
            reference = f"arn:aws:lambda:{get_region()}:{get_account_id()}:function:{reference}"
        return [("lambda:InvokeFunction", reference, {})]
    prefix = IAM_PREFIX.get(service, service)
    name = f"{prefix}:{action[0].upper()}{action[1:].split('.', 1)[0]}"
    if name == "events:PutEvents":
        return [_permission_to_put(entry) for entry in arguments["Entries"]]
    spellings = {**arguments, **{key[0].lower() + key[1:]: value for key, value in arguments.items()}}
    body, query = json.dumps(spellings).encode(), {key: [str(value)] for key, value in arguments.items()}
    account = get_account_id()
    target = iam_actions.extract_resource_arn(prefix, "POST", "/", {}, body, query, get_region(), account)
    return [(name, str(target), {})]


def _permission_to_put(entry: Data) -> tuple[str, str, Data]:
    context = {"events:source": entry.get("Source"), "events:detail-type": entry.get("DetailType")}
    return "events:PutEvents", arn_of_bus(entry.get("EventBusName") or "default"), context


def refused(role: str, service: str, resource: str, arguments: Data, source_arn: str) -> str | None:
    """Why ``service`` may not make this call with the role; None if it may. Recorded."""
    for action, target, context in permissions(resource, arguments):
        policy = bus_policy(target) if action == "events:PutEvents" else None
        why = identity.role_may(
            role, service, action, target, source_arn=source_arn, context=context, resource_policy=policy
        )
        if why:
            return why
    return None

"""EventBridge buses: who may put which events on which bus, of any account and Region.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus-perms.html
"""

import json
import uuid
from typing import Any

from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.iam_evaluator import caller_arn
from ministack.core.responses import error_response_json, get_account_id, get_region, json_response, request_scope
from ministack.services import eventbridge

from localcloud.cloud import Cloud
from localcloud.hooks import identity

MAX_ENTRIES = 10
MAX_REQUEST_BYTES = 256 * 1024
MAX_TARGETS = 5  # per rule: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
REQUIRED = ("Source", "DetailType", "Detail")

Entry = dict[str, Any]


def install(cloud: Cloud) -> None:
    identity.leave_authorization_to_handler(["events:PutEvents"])
    eventbridge._put_events = _put_events
    eventbridge._put_permission = _put_permission(eventbridge._put_permission)
    eventbridge._put_targets = _put_targets(eventbridge._put_targets)
    cloud.put_aws_event = _put_aws_event


def bus_policy(bus_arn: str) -> tuple[identity.Policy, str]:
    """A bus's own policy (None without one) and its account."""
    bus = parse_arn(bus_arn)
    policy = eventbridge._event_bus_policies.get_scoped(bus.account_id, bus.region, _bus_name(bus_arn))
    return policy, bus.account_id


def deliver(bus_arn: str, event: Entry) -> None:
    """Put an accepted event, its envelope untouched, on a bus of any account.

    Raises ``LookupError`` if there is no such bus.
    """
    bus = parse_arn(bus_arn)
    with request_scope(bus.account_id, bus.region):
        eventbridge._ensure_default_bus()
        name = _bus_name(bus_arn)
        if name not in eventbridge._event_buses:
            raise LookupError(f"Event bus {name} does not exist.")
        event = {**event, "EventBusName": name}
        eventbridge._events_log_list().append(event)
        view = eventbridge._pattern_event_view(event)
        eventbridge._dispatch_event(event, view)
        eventbridge._archive_event(event, view)


def _bus_name(bus_arn: str) -> str:
    return str(parse_arn(bus_arn).resource).removeprefix("event-bus/")


def _put_aws_event(account: str, region: str, entry: Entry) -> None:
    with request_scope(account, region):
        event = _event(entry)
        deliver(arn_of_bus("default"), event)


def _put_events(data: dict[str, Any], allow_aws_source: bool = False) -> Any:
    """PutEvents, entry by entry: a refused entry does not stop the others.

    If the caller may put none of them, the whole request is refused, as for any other action.
    """
    entries: list[Entry] = data.get("Entries") or []
    if problem := _request_problem(entries):
        return error_response_json("ValidationException", problem, 400)
    results = [_put_entry(entry, allow_aws_source) for entry in entries]
    refusals = [result for result in results if result.get("ErrorCode") == "AccessDeniedException"]
    if len(refusals) == len(results):
        return error_response_json("AccessDeniedException", refusals[0]["ErrorMessage"], 400)
    return json_response({"FailedEntryCount": sum("ErrorCode" in one for one in results), "Entries": results})


def _request_problem(entries: list[Entry]) -> str | None:
    if not 1 <= len(entries) <= MAX_ENTRIES:
        bound = "less than or equal to 10" if entries else "greater than or equal to 1"
        return (
            f"1 validation error detected: Value at 'entries' failed to satisfy constraint: "
            f"Member must have length {bound}"
        )
    if sum(_size(entry) for entry in entries) >= MAX_REQUEST_BYTES:
        return "Total size of the entries in the request is over the limit."
    return None


def _size(entry: Entry) -> int:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html#eb-event-size"""
    texts = [*(str(entry.get(name) or "") for name in REQUIRED), *(entry.get("Resources") or [])]
    return sum(len(text.encode()) for text in texts) + (14 if entry.get("Time") else 0)


def _put_entry(entry: Entry, allow_aws_source: bool) -> dict[str, str]:
    if refusal := _entry_problem(entry):
        return refusal
    source = entry["Source"]
    if source.startswith("aws.") and not allow_aws_source:
        return _refused("NotAuthorizedForSourceException", "Not authorized for the source.")
    bus_arn = arn_of_bus(entry.get("EventBusName") or "default")
    context = {"events:source": source, "events:detail-type": entry["DetailType"]}
    try:
        policy = bus_policy(bus_arn)
    except ArnParseError:
        return _refused("InvalidArgument", "Parameter EventBusName is not valid. Reason: Provided Arn is not correct.")
    if not allow_aws_source and not identity.authorize("events:PutEvents", bus_arn, context, policy):
        return _refused(
            "AccessDeniedException",
            f"User: {caller_arn()} is not authorized to perform: events:PutEvents on resource: {bus_arn}",
        )
    event = _event(entry)
    if policy[1] != get_account_id() or parse_arn(bus_arn).region != get_region():
        event["_Hops"] = 1
    try:
        deliver(bus_arn, event)
    except LookupError as error:
        return _refused("ResourceNotFoundException", str(error))
    return {"EventId": event["EventId"]}


def _entry_problem(entry: Entry) -> dict[str, str] | None:
    for name in REQUIRED:
        if not entry.get(name):
            return _refused("InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument.")
    try:
        is_object = isinstance(json.loads(entry["Detail"]), dict)
    except (TypeError, ValueError):
        is_object = False
    return None if is_object else _refused("MalformedDetail", "Detail is malformed.")


def _refused(code: str, message: str) -> dict[str, str]:
    return {"ErrorCode": code, "ErrorMessage": message}


def arn_of_bus(bus: str) -> str:
    """``bus`` is a name in the account and Region of the request, or an ARN."""
    return bus if bus.startswith("arn:") else f"arn:aws:events:{get_region()}:{get_account_id()}:event-bus/{bus}"


def _event(entry: Entry) -> Entry:
    detail = entry.get("Detail", "{}")
    return {
        "EventId": str(uuid.uuid4()),
        "Source": entry["Source"],
        "DetailType": entry["DetailType"],
        "Detail": detail if isinstance(detail, str) else json.dumps(detail),
        "Time": int(eventbridge._now_ts()),
        "Resources": entry.get("Resources") or [],
        "Account": get_account_id(),
        "Region": get_region(),
    }


def _put_permission(stock: Any) -> Any:
    """With ``Policy``, the whole policy of the bus is replaced by the document; stock invents an Allow to everybody.

    https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutPermission.html
    """

    def put(data: dict[str, Any]) -> Any:
        name = data.get("EventBusName") or "default"
        eventbridge._ensure_default_bus()
        if name not in eventbridge._event_buses:
            return error_response_json("ResourceNotFoundException", f"Event bus {name} does not exist.", 400)
        if not data.get("Policy"):
            return stock(data)
        try:
            document = json.loads(data["Policy"])
            valid = isinstance(document["Statement"], list | dict)
        except (ValueError, TypeError, KeyError):
            valid = False
        if not valid:
            return error_response_json("ValidationException", "Policy is not valid.", 400)
        eventbridge._event_bus_policies[name] = document
        return json_response({})

    return put


def _put_targets(stock: Any) -> Any:
    def put(data: dict[str, Any]) -> Any:
        key = eventbridge._rule_key(data.get("Rule"), data.get("EventBusName") or "default")
        known = {target["Id"] for target in eventbridge._targets.get(key) or []}
        if len(known | {target["Id"] for target in data.get("Targets", [])}) > MAX_TARGETS:
            return error_response_json(
                "LimitExceededException", "The requested resource exceeds the maximum number allowed.", 400
            )
        return stock(data)

    return put

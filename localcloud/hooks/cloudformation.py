"""CloudFormation resource types that ministack lacks, and failures it forgives.

A handler is ``{"create": f(logical_id, properties, stack) -> (physical id, attributes), "update": f(physical id, old,
new, stack) -> the same, "delete": f(physical id, properties)}``; what it raises fails the resource, and the stack.
"""

import asyncio
import json
import time
import uuid
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudformation, cloudwatch, eventbridge, iam
from ministack.services.cloudformation import changesets, engine, provisioners, stacks
from ministack.services.cloudformation import handlers as formation_handlers

from localcloud.cloud import Cloud
from localcloud.protocol import query as wire

DELETE_SECONDS = 15.0

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]


def install(cloud: Cloud, runtime: str) -> None:
    """``runtime`` is the only one that functions can have here; a parameter that offers others may be set to it."""
    shares = _ResourceShares(cloud)
    handlers = provisioners._RESOURCE_HANDLERS
    handlers["AWS::Events::EventBusPolicy"] = _handler(_create_bus_policy, _delete_bus_policy)
    handlers["AWS::Events::Archive"] = _handler(_create_archive, _delete_archive)
    handlers["AWS::IAM::RolePolicy"] = _handler(_create_role_policy, _delete_role_policy)
    handlers["AWS::CloudWatch::CompositeAlarm"] = _handler(_create_composite_alarm, _delete_composite_alarm)
    handlers["AWS::RAM::ResourceShare"] = _handler(shares.create, shares.delete)
    evaluate = _with_joins(engine._evaluate_conditions)
    for module in (engine, changesets, formation_handlers, stacks, provisioners):
        if hasattr(module, "_evaluate_conditions"):
            module._evaluate_conditions = evaluate
    resolve = _with_runtime(engine._resolve_parameters, runtime)
    for module in (engine, changesets, formation_handlers, provisioners):
        module._resolve_parameters = resolve
    permission = handlers["AWS::Lambda::Permission"]
    permission["create"] = _existing_function(permission["create"])
    role = handlers["AWS::IAM::Role"]
    role["create"] = _new_role(role["create"])
    cloudformation.handle_request = _deleting_first(cloudformation.handle_request)


def _deleting_first(stock: Any) -> Any:
    """DeleteStack answers when the stack is gone, or some seconds later: `sam delete` looks only every 30 seconds."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        answer = await stock(method, path, headers, body, query)
        fields = wire.form(body) if body.startswith(b"Action=DeleteStack&") else {}
        deadline = time.monotonic() + DELETE_SECONDS
        while fields and time.monotonic() < deadline:
            await asyncio.sleep(0.02)  # the deletion is another task of this thread
            stack = formation_handlers._resolve_stack(fields.get("StackName", ""))
            if stack is None or stack["StackStatus"] != "DELETE_IN_PROGRESS":
                break
        return answer

    return handle


def _with_runtime(stock: Any, runtime: str) -> Any:
    """Templates offer the runtimes that AWS still creates functions with; this machine may have an older one only."""

    def resolve(template: dict[str, Any], provided: Any, previous: Any = None) -> Any:
        parameters = dict(template.get("Parameters") or {})
        for name, parameter in parameters.items():
            offered = parameter.get("AllowedValues") or []
            if any(str(value).startswith("python3.") for value in offered):
                parameters[name] = {**parameter, "AllowedValues": [*offered, runtime]}
        return stock({**template, "Parameters": parameters}, provided, previous)

    return resolve


def _with_joins(stock: Any) -> Any:
    """Fn::Join in a condition, the usual way to ask whether a list parameter is empty; stock compares it unresolved."""

    def evaluate(template: dict[str, Any], parameters: dict[str, Any]) -> Any:
        conditions = _joined(template.get("Conditions") or {}, parameters)
        return stock({**template, "Conditions": conditions}, parameters)

    return evaluate


def _joined(expression: Any, parameters: dict[str, Any]) -> Any:
    if isinstance(expression, list):
        return [_joined(one, parameters) for one in expression]
    if not isinstance(expression, dict):
        return expression
    if "Fn::Join" not in expression:
        return {key: _joined(value, parameters) for key, value in expression.items()}
    delimiter, items = expression["Fn::Join"]
    if isinstance(items, dict):  # a list parameter, kept as one string or as a list
        value = parameters[items["Ref"]]["Value"]
        items = value if isinstance(value, list) else str(value).split(",")
    parts = [parameters[one["Ref"]]["Value"] if isinstance(one, dict) else one for one in items]
    return str(delimiter).join(str(part).strip() for part in parts)


def _handler(create: Any, delete: Any) -> dict[str, Any]:
    """For types whose update is: the old one removed, the new one made, or the old one made again if that fails."""

    def update(physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
        delete(physical_id, old)
        try:
            created: Created = create(logical_id, new, stack)
        except Exception:
            create(logical_id, old, stack)
            raise
        return created

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _checked(response: Any) -> dict[str, Any]:
    """The body of a handler's answer; raises ``ValueError`` for an error."""
    status, _headers, body = response
    text = body.decode() if isinstance(body, bytes) else str(body)
    if status >= 400:
        raise ValueError(f"Resource handler returned message: {text}")
    return json.loads(text) if text.startswith("{") else {}


# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-eventbuspolicy.html
def _create_bus_policy(_logical_id: str, properties: Properties, _stack: str) -> Created:
    bus, sid = properties.get("EventBusName", "default"), properties["StatementId"]
    eventbridge._ensure_default_bus()
    if bus not in eventbridge._event_buses:
        raise ValueError(f"Resource handler returned message: Event bus {bus} does not exist.")
    statement = properties.get("Statement")
    if isinstance(statement, str):
        statement = json.loads(statement)
    if statement is None:
        statement = {
            "Effect": "Allow",
            "Action": properties["Action"],
            "Principal": properties["Principal"],
            "Resource": eventbridge._event_buses[bus]["Arn"],
        }
    policy = eventbridge._event_bus_policies.setdefault(bus, {"Version": "2012-10-17", "Statement": []})
    others = [one for one in policy["Statement"] if one.get("Sid") != sid]
    policy["Statement"] = [*others, {**statement, "Sid": sid}]
    return f"{bus}|{sid}", {}


def _delete_bus_policy(physical_id: str, _properties: Properties) -> None:
    bus, sid = physical_id.split("|")
    eventbridge._remove_permission({"EventBusName": bus, "StatementId": sid})


def _create_archive(logical_id: str, properties: Properties, stack: str) -> Created:
    name = properties.get("ArchiveName") or provisioners._physical_name(stack, logical_id, max_len=48)
    data = {
        "ArchiveName": name,
        "EventSourceArn": properties["SourceArn"],
        "Description": properties.get("Description", ""),
        "RetentionDays": int(properties.get("RetentionDays", 0)),
    }
    if pattern := properties.get("EventPattern"):
        data["EventPattern"] = pattern if isinstance(pattern, str) else json.dumps(pattern)
    return name, {"Arn": _checked(eventbridge._create_archive(data))["ArchiveArn"], "ArchiveName": name}


def _delete_archive(physical_id: str, _properties: Properties) -> None:
    eventbridge._delete_archive({"ArchiveName": physical_id})


def _create_role_policy(_logical_id: str, properties: Properties, _stack: str) -> Created:
    name, role = properties["PolicyName"], iam._roles.get(properties["RoleName"])
    if role is None:
        raise ValueError(f"Resource handler returned message: The role {properties['RoleName']} cannot be found.")
    role.setdefault("InlinePolicies", {})[name] = json.dumps(properties["PolicyDocument"])
    return f"{name}|{properties['RoleName']}", {}


def _delete_role_policy(physical_id: str, _properties: Properties) -> None:
    name, role_name = physical_id.split("|")
    role = iam._roles.get(role_name)
    if role is not None:
        role.get("InlinePolicies", {}).pop(name, None)


def _create_composite_alarm(logical_id: str, properties: Properties, stack: str) -> Created:
    name = properties.get("AlarmName") or provisioners._physical_name(stack, logical_id, max_len=255)
    _checked(cloudwatch._put_composite_alarm({}, {**properties, "AlarmName": name}, False, True))
    return name, {"Arn": f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{name}"}


def _delete_composite_alarm(physical_id: str, _properties: Properties) -> None:
    _checked(cloudwatch._delete_alarms({}, {"AlarmNames": [physical_id]}, False, True))


class _ResourceShares:
    """RAM shares subnets with accounts of the organization, and with nobody else.

    https://docs.aws.amazon.com/vpc/latest/userguide/vpc-sharing-share-subnet-working-with.html
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created:
        members = self._members(properties)
        for subnet in self._subnets(properties):
            self.cloud.shares[subnet] |= members
        share = uuid.uuid5(uuid.NAMESPACE_OID, f"{stack}/{logical_id}")
        arn = f"arn:aws:ram:{get_region()}:{get_account_id()}:resource-share/{share}"
        return arn, {"Arn": arn}

    def delete(self, _physical_id: str, properties: Properties) -> None:
        members = self._members(properties)
        for subnet in self._subnets(properties):
            self.cloud.shares[subnet] -= members

    def _subnets(self, properties: Properties) -> list[str]:
        arns = properties.get("ResourceArns") or []
        foreign = [arn for arn in arns if arn.split(":")[4] != get_account_id()]
        if foreign:
            raise ValueError(f"Resource handler returned message: You do not own {foreign[0]}.")
        return [arn.rsplit("/", 1)[-1] for arn in arns if ":subnet/" in arn]

    def _members(self, properties: Properties) -> set[str]:
        members: set[str] = set()
        for principal in properties.get("Principals") or []:
            if principal.startswith("arn:") and ":organizations:" in principal:
                if self.cloud.organization not in principal:
                    raise ValueError(f"Resource handler returned message: {principal} is not this organization.")
                members |= self.cloud.accounts
            elif principal in self.cloud.accounts:
                members.add(principal)
            elif str(properties.get("AllowExternalPrincipals", True)).lower() == "false":
                raise ValueError(
                    f"Resource handler returned message: Principal {principal} is outside of your organization. "
                    "External principals are not allowed in this resource share."
                )
        return members - {get_account_id()}


def _existing_function(stock: Any) -> Any:
    """A permission on a function that is not there fails the stack; stock lets it pass."""

    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        function = properties.get("FunctionName", "")
        if provisioners._lambda_function_for_cfn_ref(function)[0] is None:
            raise ValueError(f"Resource handler returned message: Function not found: {function}")
        created: Created = stock(logical_id, properties, stack)
        return created

    return create


def _new_role(stock: Any) -> Any:
    """A role whose name is taken fails the stack; stock takes over the other's."""

    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        if (name := properties.get("RoleName")) in iam._roles:
            raise ValueError(f"Resource handler returned message: Role with name {name} already exists.")
        created: Created = stock(logical_id, properties, stack)
        return created

    return create

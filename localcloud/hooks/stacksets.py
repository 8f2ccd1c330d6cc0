"""StackSets with service-managed permissions, which ministack lacks: one template's stacks all over the organization.

They reach every account but the management account; here, every organizational unit holds all accounts.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stacksets-orgs-associate-stackset-with-org.html
"""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ministack.core.responses import get_account_id, get_region, new_uuid, request_scope
from ministack.services import cloudformation
from ministack.services.cloudformation import engine
from ministack.services.cloudformation import handlers as formation_handlers

from localcloud.cloud import Cloud
from localcloud.model.errors import AwsError
from localcloud.protocol import models, query

Params = dict[str, Any]
Place = tuple[str, str]
"""Account and Region of a stack."""

UNIT = re.compile(r"(ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}|r-[a-z0-9]{4,32})")
ENDED_WELL = {"CREATE": "CREATE_COMPLETE", "DELETE": None}


@dataclass
class StackSet:
    """A template with its parameters, and where its stacks are."""

    name: str
    request: Params
    id: str
    stacks: dict[Place, str] = field(default_factory=dict)  # their names
    units: dict[Place, str] = field(default_factory=dict)  # what each was deployed for
    operations: dict[str, "Operation"] = field(default_factory=dict)

    def create(self, place: Place, unit: str) -> str:
        """Begin to create the stack of a place; the reason, if it is refused at once."""
        name = f"StackSet-{self.name}-{uuid.uuid4()}"
        self.stacks[place], self.units[place] = name, unit
        fields = {"StackName": name, "TemplateBody": self.request["TemplateBody"]}
        for number, one in enumerate(self.request.get("Parameters", []), 1):
            fields |= {f"Parameters.member.{number}.{key}": value for key, value in one.items()}
        for number, capability in enumerate(self.request.get("Capabilities", []), 1):
            fields[f"Capabilities.member.{number}"] = capability
        return _ask(formation_handlers._create_stack, place, fields)

    def delete(self, place: Place) -> str:
        """Begin to delete the stack of a place."""
        return _ask(formation_handlers._delete_stack, place, {"StackName": self.stacks[place]})

    def forget(self, place: Place) -> None:
        del self.stacks[place], self.units[place]

    def state(self, place: Place) -> tuple[str | None, str]:
        """Status and reason of the stack of a place; no status: there is no stack."""
        stack = cloudformation._stacks.get_scoped(*place, self.stacks.get(place)) or {}
        status = stack.get("StackStatus")
        return (None if status == "DELETE_COMPLETE" else status), str(stack.get("StackStatusReason", ""))


@dataclass
class Operation:
    """What was asked for, where, and what was refused at once."""

    id: str
    action: str
    stack_set: StackSet
    places: list[Place]
    started: float
    refused: dict[Place, str] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """RUNNING, SUCCEEDED or FAILED. A finished deletion takes its instances with it."""
        states = {place: self.stack_set.state(place)[0] for place in self.places}
        if any(str(state).endswith("_IN_PROGRESS") for state in states.values()):
            return "RUNNING"
        if self.action == "DELETE":
            for place in [place for place in self.places if place in self.stack_set.stacks and states[place] is None]:
                self.stack_set.forget(place)
        return "SUCCEEDED" if set(states.values()) == {ENDED_WELL[self.action]} else "FAILED"


class StackSets:
    """The operations on them; each takes and returns what the API's operation of the same name does."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.trusted = False  # whether StackSets may act in the organization
        self.sets: dict[Place, dict[str, StackSet]] = {}  # by the account and Region that administer them
        cloud.on_reset(self._forget)

    def _forget(self) -> None:
        self.trusted = False
        self.sets.clear()

    def activate_organizations_access(self, _params: Params) -> Params:
        self._administrator()
        self.trusted = True
        return {}

    def create_stack_set(self, params: Params) -> Params:
        if params.get("PermissionModel") != "SERVICE_MANAGED":
            raise AwsError("ValidationError", "Only the permission model SERVICE_MANAGED is served here")
        mine, name = self._administered(), params["StackSetName"]
        if name in mine:
            raise AwsError("NameAlreadyExistsException", f"StackSet {name} already exists", 409)
        # The wording: https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/839
        unsupported = "{} is not supported in SERVICE_MANAGED permission model"
        template = engine._parse_template(params["TemplateBody"])
        if formation_handlers._uses_macro(template):
            raise AwsError("ValidationError", unsupported.format("Transform"))
        if any(one["Type"] == "AWS::CloudFormation::Stack" for one in template["Resources"].values()):
            raise AwsError("ValidationError", unsupported.format("Nested stack"))
        missing = formation_handlers._missing_capabilities(
            params.get("Capabilities", []), formation_handlers._required_iam_capabilities(template)
        )
        if missing:
            raise AwsError("InsufficientCapabilitiesException", f"Requires capabilities : [{', '.join(missing)}]")
        mine[name] = StackSet(name, params, f"{name}:{uuid.uuid4()}")
        return {"StackSetId": mine[name].id}

    def create_stack_instances(self, params: Params) -> Params:
        operation = self._begin("CREATE", params)
        unit = params["DeploymentTargets"]["OrganizationalUnitIds"][0]
        for place in [place for place in operation.places if place not in operation.stack_set.stacks]:
            if reason := operation.stack_set.create(place, unit):
                operation.refused[place] = reason
        return {"OperationId": operation.id}

    def delete_stack_instances(self, params: Params) -> Params:
        operation = self._begin("DELETE", params)
        operation.places = [place for place in operation.places if place in operation.stack_set.stacks]
        for place in list(operation.places):
            if params["RetainStacks"]:
                operation.places.remove(place)
                operation.stack_set.forget(place)
            else:
                operation.stack_set.delete(place)
        return {"OperationId": operation.id}

    def delete_stack_set(self, params: Params) -> Params:
        stack_set = self._settled(params)
        if stack_set.stacks:
            raise AwsError("StackSetNotEmptyException", f"StackSet {stack_set.name} is not empty", 409)
        del self._administered()[stack_set.name]
        return {}

    def describe_stack_set(self, params: Params) -> Params:
        stack_set = self._named(params)
        described = {**stack_set.request, "StackSetId": stack_set.id, "Status": "ACTIVE"}
        described["OrganizationalUnitIds"] = sorted(set(stack_set.units.values()))
        return {"StackSet": described}

    def describe_stack_set_operation(self, params: Params) -> Params:
        stack_set = self._named(params)
        operation = stack_set.operations.get(params["OperationId"])
        if operation is None:
            raise AwsError("OperationNotFoundException", f"Operation {params['OperationId']} not found", 404)
        facts = {"OperationId": operation.id, "StackSetId": stack_set.id, "Action": operation.action}
        return {"StackSetOperation": {**facts, "Status": operation.status, "CreationTimestamp": operation.started}}

    def list_stack_instances(self, params: Params) -> Params:
        stack_set = self._named(params)
        refused: dict[Place, str] = {}
        for operation in stack_set.operations.values():
            _ = operation.status  # what is deleted is no instance any more
            refused |= operation.refused
        return {"Summaries": [self._summary(stack_set, place, refused) for place in sorted(stack_set.stacks)]}

    def _summary(self, stack_set: StackSet, place: Place, refused: dict[Place, str]) -> Params:
        (account, region), (status, reason) = place, stack_set.state(place)
        running = str(status).endswith("_IN_PROGRESS")
        detailed = "RUNNING" if running else "SUCCEEDED" if status == "CREATE_COMPLETE" else "FAILED"
        stack = cloudformation._stacks.get_scoped(account, region, stack_set.stacks[place]) or {}
        return {
            "StackSetId": stack_set.id,
            "Account": account,
            "Region": region,
            "StackId": stack.get("StackId"),
            "OrganizationalUnitId": stack_set.units[place],
            "Status": "CURRENT" if detailed == "SUCCEEDED" else "OUTDATED",
            "StatusReason": refused.get(place) or reason or None,
            "StackInstanceStatus": {"DetailedStatus": detailed},
        }

    def _begin(self, action: str, params: Params) -> Operation:
        """A new operation on the targets; one at a time."""
        stack_set = self._settled(params)
        units = params.get("DeploymentTargets", {}).get("OrganizationalUnitIds", [])
        if not units or any(UNIT.fullmatch(unit) is None for unit in units):
            raise AwsError("ValidationError", "Service-managed stack instances are deployed to organizational units")
        accounts = sorted(self.cloud.accounts - {self.cloud.management})
        places = [(account, region) for account in accounts for region in params["Regions"]]
        operation = Operation(str(uuid.uuid4()), action, stack_set, places, self.cloud.clock.now())
        stack_set.operations[operation.id] = operation
        return operation

    def _settled(self, params: Params) -> StackSet:
        stack_set = self._named(params)
        for operation in stack_set.operations.values():
            if operation.status == "RUNNING":
                raise AwsError("OperationInProgressException", f"Operation {operation.id} is in progress", 409)
        return stack_set

    def _named(self, params: Params) -> StackSet:
        stack_set = self._administered().get(params["StackSetName"])
        if stack_set is None:
            raise AwsError("StackSetNotFoundException", f"StackSet {params['StackSetName']} not found", 404)
        return stack_set

    def _administered(self) -> dict[str, StackSet]:
        self._administrator()
        if not self.trusted:
            raise AwsError(
                "ValidationError", "You must enable organizations access to operate a service managed stack set"
            )
        return self.sets.setdefault((get_account_id(), get_region()), {})

    def _administrator(self) -> None:
        if get_account_id() != self.cloud.management:
            raise AwsError(
                "ValidationError",
                "You must be the management account or delegated admin account of an organization "
                "before operating a SERVICE_MANAGED stack set",
            )


def install(cloud: Cloud) -> None:
    sets = StackSets(cloud)
    served = {
        "ActivateOrganizationsAccess": sets.activate_organizations_access,
        "CreateStackInstances": sets.create_stack_instances,
        "CreateStackSet": sets.create_stack_set,
        "DeleteStackInstances": sets.delete_stack_instances,
        "DeleteStackSet": sets.delete_stack_set,
        "DescribeStackSet": sets.describe_stack_set,
        "DescribeStackSetOperation": sets.describe_stack_set_operation,
        "ListStackInstances": sets.list_stack_instances,
    }
    for name, serve in served.items():
        cloudformation._ACTION_HANDLERS[name] = partial(_answer, name, serve)


def _answer(name: str, serve: Callable[[Params], Params], fields: dict[str, list[str]]) -> Any:
    """One operation on the wire."""
    operation = models.operation("cloudformation", name)
    headers, request = {"Content-Type": "text/xml"}, new_uuid()
    try:
        answer = serve(query.parse(operation, {key: values[0] for key, values in fields.items()}))
    except AwsError as error:
        return error.status, headers, query.error_answer(False, error.code, error.message, request)
    return 200, headers, query.serialize(operation, answer, request)


def _ask(handler: Any, place: Place, fields: dict[str, str]) -> str:
    """Have ministack's own handler act in another place; its error, if it refuses."""
    with request_scope(*place):
        status, _headers, body = handler({key: [value] for key, value in fields.items()})
    return "" if status < 400 else str(body.decode())

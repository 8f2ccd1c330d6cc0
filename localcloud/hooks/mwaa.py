"""MWAA's control plane from our model, in place of ministack's (which has no PENDING, no endpoint services and no
events).

IAM: Service Authorization Reference, "Actions, resources, and condition keys for Amazon Managed Workflows for
Apache Airflow".
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import mwaa
from ministack.services.cloudformation import provisioners

from localcloud.cloud import Cloud
from localcloud.hooks import ec2, identity, vpc_calls
from localcloud.model.airflow_roles import ROLES
from localcloud.model.caller import Caller
from localcloud.model.errors import AwsError
from localcloud.model.front_door import OPERATIONS, FrontDoor, Visitor
from localcloud.model.mwaa import Mwaa
from localcloud.model.network import Record
from localcloud.protocol import models, rest_json

Response = tuple[int, dict[str, str], bytes]

PATIENCE_SECONDS = 120.0  # CloudFormation waits for an environment: for PENDING or better, or until it is gone


def install(cloud: Cloud, address: str) -> FrontDoor:
    """The front doors of all environments, whose command lines are served at ``address``."""
    model = Mwaa(cloud, ec2.model())
    door = FrontDoor(model, time.time, address)  # CLI tokens are for functions, which keep the real time
    cloud.on_reset(model.clear)
    cloud.on_reset(door.clear)
    identity.leave_authorization_to_handler([f"airflow:{name}" for name in models.service("mwaa").operation_names])
    mwaa.handle_request = _handler(model, door)
    resource = EnvironmentResource(model)
    provisioners._RESOURCE_HANDLERS["AWS::MWAA::Environment"] = {
        "create": resource.create,
        "update": resource.update,
        "update_with_logical_id": True,
        "delete": resource.delete,
    }
    return door


def _handler(model: Mwaa, door: FrontDoor) -> Any:
    async def handle(method: str, path: str, headers: Any, body: bytes, query: Mapping[str, Sequence[str]]) -> Response:
        try:
            operation, params = rest_json.parse("mwaa", method, path, query, body)
        except KeyError:
            return _refusal(AwsError("ValidationException", f"Unknown path {method} {path}"))
        who = ec2.caller()
        try:
            ec2.settle_default_groups(model.ec2, who.region)
            if operation.name in OPERATIONS:  # in a thread, for a real Airflow takes its time
                visitor = _visitor(model, operation.name, who, params)
                result = await asyncio.to_thread(door.call, operation.name, who, params, visitor)
            else:
                _authorize(model, operation.name, who, params)
                if operation.name == "UpdateEnvironment":
                    _authorize_update(model, who, params)
                result = model.call(operation.name, who, params)
            return 200, {"Content-Type": "application/json"}, rest_json.serialize(operation, result)
        except AwsError as error:
            return _refusal(error)

    return handle


def _refusal(error: AwsError) -> Response:
    headers, body = rest_json.error(error.code, error.message, error.members)
    return error.status, {**headers, "x-amzn-RequestId": new_uuid()}, body


def _authorize(model: Mwaa, operation: str, who: Caller, params: Record) -> None:
    """One question per call: about the environment, or about "*" for the list."""
    name = params.get("Name") or str(params.get("ResourceArn", "")).partition("environment/")[2]
    resource = who.arn("airflow", f"environment/{name}") if operation != "ListEnvironments" else "*"
    asked: Mapping[str, str] = params.get("Tags") or {}
    context: Record = {f"aws:RequestTag/{key}": value for key, value in asked.items()}
    context |= {f"aws:ResourceTag/{key}": value for key, value in model.tags_of(who, name).items()}
    if keys := list(asked) or params.get("tagKeys"):
        context["aws:TagKeys"] = keys
    if not identity.authorize(f"airflow:{operation}", resource, context):
        raise _denied(operation, resource)


def _authorize_update(model: Mwaa, who: Caller, params: Record) -> None:
    """MWAA looks at network and bucket with the caller's rights, whatever is changed, and takes on the execution role.

    Not documented as such: public accounts of what is denied without them
    (https://github.com/DataDog/pathfinding-labs, mwaa-002; https://github.com/aws-samples/amazon-mwaa-examples,
    start-stop). ``iam:PassRole``: https://docs.aws.amazon.com/mwaa/latest/userguide/mwaa-create-role.html
    """
    settings = model.get(who, params["Name"]).settings
    asked = [(f"ec2:{name}", "*") for name in ("DescribeSubnets", "DescribeVpcs", "DescribeSecurityGroups")]
    asked.append(("s3:GetEncryptionConfiguration", settings["SourceBucketArn"]))
    denied = [action for action, resource in asked if not identity.authorize(action, resource)]
    if model.ec2.setting("mwaa.update_passes_role"):
        role = params.get("ExecutionRoleArn") or settings["ExecutionRoleArn"]
        if not identity.authorize("iam:PassRole", role, {"iam:PassedToService": "airflow.amazonaws.com"}):
            denied.append("iam:PassRole")
    if denied:
        message = f"The caller of UpdateEnvironment is not authorized to perform: {', '.join(denied)}"
        raise AwsError("AccessDeniedException", message, 403)


def _visitor(model: Mwaa, operation: str, who: Caller, params: Record) -> Visitor:
    """Who asks for an environment's Airflow; InvokeRestApi is allowed on the ARN of an Airflow role of it."""
    roles: tuple[str, ...] = ROLES
    if operation == "InvokeRestApi":
        arns = {who.arn("airflow", f"role/{params['Name']}/{role}"): role for role in ROLES}
        roles = tuple(arns[arn] for arn in identity.authorize_any("airflow:InvokeRestApi", list(arns)))
        if not roles:
            raise _denied(operation, next(iter(arns)))
    else:
        _authorize(model, operation, who, params)
    trace = identity.current_request.get()[1]
    return Visitor(identity.caller_name(), roles, vpc_calls.vpc_of(trace), trace)


def _denied(operation: str, resource: str) -> AwsError:
    message = f"Not authorized to perform: airflow:{operation} on resource: {resource}"
    return AwsError("AccessDeniedException", message, 403)


class EnvironmentResource:
    """AWS::MWAA::Environment; a create has succeeded when the environment is PENDING.

    https://github.com/aws-cloudformation/aws-cloudformation-resource-providers-mwaa (CreateHandler), and
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-mwaa-environment.html
    """

    def __init__(self, model: Mwaa) -> None:
        self._model = model

    def create(self, _logical_id: str, props: Record, _stack: str) -> tuple[str, Record]:
        who = ec2.caller()
        ec2.settle_default_groups(self._model.ec2, who.region)
        self._model.call("CreateEnvironment", who, {**props, "Tags": _user_tags(props)})
        name = str(props["Name"])
        self._until(lambda: self._status(who, name) != "CREATING", f"{name} to leave CREATING")
        if self._status(who, name) == "CREATE_FAILED":
            raise AwsError("GeneralServiceException", f"The environment {name} could not be created")
        return name, self._attributes(who, name)

    def update(self, name: str, old: Record, new: Record, stack: str, logical_id: str) -> tuple[str, Record]:
        """Subnets and endpoint management are create-only, as is the name."""
        fixed = ("Name", "EndpointManagement", "KmsKey")
        network = ("NetworkConfiguration", "SubnetIds")
        if any(old.get(key) != new.get(key) for key in fixed) or _at(old, *network) != _at(new, *network):
            created = self.create(logical_id, new, stack)
            self.delete(name, old)
            return created
        who = ec2.caller()
        changes = {key: value for key, value in new.items() if key not in (*fixed, "Tags") and old.get(key) != value}
        if groups := _at(changes, "NetworkConfiguration", "SecurityGroupIds"):
            changes["NetworkConfiguration"] = {"SecurityGroupIds": groups}
        self._model.call("UpdateEnvironment", who, {"Name": name, **changes})
        arn = who.arn("airflow", f"environment/{name}")
        tags = _user_tags(new)
        if gone := [key for key in _user_tags(old) if key not in tags]:
            self._model.call("UntagResource", who, {"ResourceArn": arn, "tagKeys": gone})
        if tags:
            self._model.call("TagResource", who, {"ResourceArn": arn, "Tags": tags})
        return name, self._attributes(who, name)

    def delete(self, name: str, _props: Record) -> None:
        who = ec2.caller()
        if self._status(who, name) is not None:
            self._until(lambda: self._status(who, name) not in ("CREATING", "UPDATING"), f"{name} to rest")
            self._model.call("DeleteEnvironment", who, {"Name": name})
            self._until(lambda: self._status(who, name) is None, f"{name} to be gone")

    def _status(self, who: Caller, name: str) -> str | None:
        try:
            return self._model.get(who, name).status
        except AwsError:
            return None

    def _until(self, done: Any, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"Waited {PATIENCE_SECONDS:.0f} s in vain for {what}")
            time.sleep(0.1)

    def _attributes(self, who: Caller, name: str) -> Record:
        record = self._model.get(who, name).record()
        keys = (
            "Arn",
            "WebserverUrl",
            "CeleryExecutorQueue",
            "DatabaseVpcEndpointService",
            "WebserverVpcEndpointService",
        )
        return {key: record[key] for key in keys if record[key] is not None}


def _user_tags(props: Record) -> dict[str, str]:
    tags: dict[str, str] = props.get("Tags") or {}
    return {key: value for key, value in tags.items() if not key.startswith("aws:")}


def _at(props: Record, *path: str) -> Any:
    value: Any = props
    for key in path:
        value = (value or {}).get(key)
    return value

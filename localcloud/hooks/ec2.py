"""EC2: VPC endpoints, security groups and shared networks from our model, in front of ministack's own networks.

ministack 1.5.33 makes endpoints available at once, ignores ``ClientToken``, knows no sharing, lets a group go that
is in use and checks one resource per call. VPCs, subnets, route tables and gateways stay in its stores
(CloudFormation makes them there); default VPCs have the same ids in every account and are left out.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services import ec2

from localcloud.cloud import Cloud
from localcloud.hooks import ec2_resources, identity
from localcloud.model.access import dependent, questions
from localcloud.model.caller import Caller, Ids
from localcloud.model.ec2 import Ec2
from localcloud.model.errors import AwsError
from localcloud.model.network import Record
from localcloud.protocol import models, query

Fields = Mapping[str, list[str]]
Response = tuple[int, dict[str, str], bytes]

_installed: list[Ec2] = []


def install(cloud: Cloud) -> None:
    model = Ec2(cloud, StoredNetworks(), Ids("localcloud"))
    _installed[:] = [model]
    cloud.on_reset(model.clear)
    operations = tuple(model.operations)
    identity.leave_authorization_to_handler([f"ec2:{operation}" for operation in operations])
    for operation in operations:
        ec2._ACTION_MAP[operation] = _handler(model, operation, ec2._ACTION_MAP[operation])
    for name in ("vpc", "subnet"):
        delete = _kept_while_in_use(model, name, getattr(ec2, f"_delete_{name}"))
        setattr(ec2, f"_delete_{name}", delete)
        ec2._ACTION_MAP[f"Delete{name.capitalize()}"] = delete
    ec2_resources.install(model)


def model() -> Ec2:
    """The model being served; MWAA looks at its endpoints."""
    return _installed[0]


def caller() -> Caller:
    """Account and Region of the current request."""
    return Caller(get_account_id(), get_region())


class StoredNetworks:
    """ministack's stores as the model's port."""

    def vpcs(self, region: str) -> Mapping[str, Record]:
        return _in_region(ec2._vpcs, region)

    def subnets(self, region: str) -> Mapping[str, Record]:
        return _in_region(ec2._subnets, region)

    def route_tables(self, region: str) -> Mapping[str, Record]:
        return _in_region(ec2._route_tables, region)

    def tags(self, record: Record, resource_id: str, region: str) -> Mapping[str, str]:
        tags = ec2._tags.get_scoped(record["OwnerId"], region, resource_id) or []
        return {tag["Key"]: tag["Value"] for tag in tags}


def _in_region(store: Any, region: str) -> dict[str, Record]:
    """The records of one Region, each with its account as owner."""
    return {
        key: {"OwnerId": account, **record}
        for (account, where, key), record in list(store._data.items())
        if where == region and not _is_default(key, record)
    }


def _is_default(key: str, record: Record) -> bool:
    return bool(ec2._DEFAULT_VPC_ID in (key, record.get("VpcId")))


def settle_default_groups(model: Ec2, region: str) -> None:
    """Every VPC has its default group in the model; groups of VPCs that are gone go too."""
    vpcs = model.port.vpcs(region)
    with model.lock:
        for vpc_id, vpc in vpcs.items():
            group_id = vpc["DefaultSecurityGroupId"]
            if model.groups.get(group_id) is None:
                owner = Caller(vpc["OwnerId"], region)
                model.groups.add(owner, "default", "default VPC security group", vpc_id, group_id=group_id)
        model.groups.keep(lambda group: group.region != region or group.vpc_id in vpcs)


def _handler(model: Ec2, operation: str, stock: Callable[[Fields], Response]) -> Callable[[Fields], Response]:
    """An entry of ministack's action table: authorize, run, answer."""
    shape = models.operation("ec2", operation)

    def handle(fields: Fields) -> Response:
        who = caller()
        params = query.parse(shape, {name: values[0] for name, values in fields.items()})
        try:
            settle_default_groups(model, who.region)
            _authorize(model, operation, who, params)
            if operation in ("CreateTags", "DeleteTags"):
                return _tags(model, operation, who, params, stock, fields)
            return _answer(operation, model.call(operation, who, params))
        except AwsError as error:
            return _refusal(error)

    return handle


def _kept_while_in_use(model: Ec2, name: str, stock: Callable[[Fields], Response]) -> Callable[[Fields], Response]:
    """DeleteVpc and DeleteSubnet: not while there are interfaces or groups in it."""

    def handle(fields: Fields) -> Response:
        network_id = next(iter(fields.get(f"{name.capitalize()}Id", [])), "")
        if model.in_use(network_id):
            message = f"The {name} '{network_id}' has dependencies and cannot be deleted."
            return _refusal(AwsError("DependencyViolation", message))
        return stock(fields)

    return handle


def _authorize(model: Ec2, operation: str, who: Caller, params: Record) -> None:
    known = model.resources(who, untagged=model.untagged(operation, params))
    more = dependent(operation) if model.setting("ec2.dependent_actions") else ()
    for question in (*questions(operation, who, params, known), *more):
        if not identity.authorize(question.action, question.resource, question.context):
            raise AwsError(
                "UnauthorizedOperation",
                "You are not authorized to perform this operation. "
                f"Not authorized to perform: {question.action} on resource: {question.resource}",
                403,
            )


def _tags(
    model: Ec2, operation: str, who: Caller, params: Record, stock: Callable[[Fields], Response], fields: Fields
) -> Response:
    """Tags of our resources go to the model, those of networks to ministack."""
    ours = [r for r in params["Resources"] if r.startswith(("sg-", "vpce-"))]
    theirs = [r for r in params["Resources"] if r not in ours]
    if ours:
        model.call(operation, who, {**params, "Resources": ours})
    if not theirs:
        return _answer(operation, {})
    rest = {name: values for name, values in fields.items() if not name.startswith("ResourceId.")}
    return stock({**rest, **{f"ResourceId.{number}": [r] for number, r in enumerate(theirs, 1)}})


def _answer(operation: str, result: Record) -> Response:
    body = query.serialize(models.operation("ec2", operation), result, new_uuid())
    return 200, {"Content-Type": "text/xml;charset=UTF-8"}, body


def _refusal(error: AwsError) -> Response:
    body = query.error_answer(True, error.code, error.message, new_uuid())
    return error.status, {"Content-Type": "text/xml;charset=UTF-8"}, body

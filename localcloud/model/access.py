"""What AWS authorizes for an EC2 call: one question per resource the call touches.

Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2"
(https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html), for the operations of this
model.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.model.caller import Caller

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Question:
    """May the caller do this action on this resource, given these condition keys?"""

    action: str
    resource: str
    context: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resources:
    """What the questions need to know of existing resources."""

    tags: Callable[[str], Tags | None]
    owner: Callable[[str], str | None]  # account
    vpc: Callable[[str], str | None]  # the VPC of a subnet or group


_KINDS = {"vpce": "vpc-endpoint", "sg": "security-group", "subnet": "subnet", "vpc": "vpc", "rtb": "route-table"}


def questions(operation: str, caller: Caller, params: Mapping[str, Any], known: Resources) -> Iterator[Question]:
    """Every question of one call; all must be answered with yes."""
    action = f"ec2:{operation}"

    def existing(resource_id: str, **more: Any) -> Question:
        return Question(
            action, _arn(caller, resource_id, known), {**_resource_keys(caller, resource_id, known), **more}
        )

    match operation:
        case "CreateVpcEndpoint":
            requested = _requested(params)
            yield existing(params.get("VpcId", ""))
            service = {"ec2:VpceServiceName": params.get("ServiceName", "")}
            yield Question(action, caller.arn("ec2", "vpc-endpoint/*"), {**requested, **service})
            yield from map(existing, [*params.get("SubnetIds", []), *params.get("SecurityGroupIds", [])])
            yield from map(existing, params.get("RouteTableIds", []))
            yield from _tagging(operation, caller, "vpc-endpoint", requested)
        case "ModifyVpcEndpoint":
            yield existing(params["VpcEndpointId"])
            for key in ("Add", "Remove"):
                for kind in ("SubnetIds", "SecurityGroupIds", "RouteTableIds"):
                    yield from map(existing, params.get(f"{key}{kind}", []))
        case "DeleteVpcEndpoints":
            yield from map(existing, params.get("VpcEndpointIds", []))
        case "CreateSecurityGroup":
            requested = _requested(params)
            vpc = _arn(caller, params.get("VpcId", ""), known)
            yield Question(action, caller.arn("ec2", "security-group/*"), {**requested, "ec2:Vpc": vpc})
            yield existing(params.get("VpcId", ""))
            yield from _tagging(operation, caller, "security-group", requested)
        case (
            "DeleteSecurityGroup"
            | "AuthorizeSecurityGroupIngress"
            | "AuthorizeSecurityGroupEgress"
            | "RevokeSecurityGroupIngress"
            | "RevokeSecurityGroupEgress"
        ):
            yield existing(params.get("GroupId", ""))
        case "CreateTags" | "DeleteTags":
            asked = _tag_keys({tag["Key"]: tag.get("Value", "") for tag in params.get("Tags", [])})
            for resource_id in params["Resources"]:
                yield existing(resource_id, **asked)
        case _:
            yield Question(action, "*")


def dependent(operation: str) -> Iterator[Question]:
    """What a call may depend on besides (switch ``ec2.dependent_actions``)."""
    if operation == "CreateVpcEndpoint":
        yield from (Question(f"ec2:Describe{what}", "*") for what in ("SecurityGroups", "Subnets", "Vpcs"))


def named_in(params: Mapping[str, Any]) -> set[str]:
    """The existing groups and endpoints that a call is about, as far as its grant may depend on their tags."""
    single = [params[key] for key in ("GroupId", "VpcEndpointId") if params.get(key)]
    several = [params.get(key, []) for key in ("SecurityGroupIds", "VpcEndpointIds", "Resources")]
    return {*single, *(name for names in several for name in names)}


def _tagging(operation: str, caller: Caller, kind: str, requested: Mapping[str, Any]) -> Iterator[Question]:
    """Tags on creation need ec2:CreateTags, which sees the creating action as ``ec2:CreateAction``."""
    if requested:
        context = {**requested, "ec2:CreateAction": operation}
        yield Question("ec2:CreateTags", caller.arn("ec2", f"{kind}/*"), context)


def _requested(params: Mapping[str, Any]) -> dict[str, Any]:
    tags = {t["Key"]: t.get("Value", "") for spec in params.get("TagSpecifications", []) for t in spec.get("Tags", [])}
    return _tag_keys(tags)


def _tag_keys(tags: Tags) -> dict[str, Any]:
    if not tags:
        return {}
    return {**{f"aws:RequestTag/{key}": value for key, value in tags.items()}, "aws:TagKeys": list(tags)}


def _arn(caller: Caller, resource_id: str, known: Resources) -> str:
    """The ARN, in the owner's account; one that does not exist is looked for in the caller's."""
    kind = _KINDS.get(resource_id.split("-", maxsplit=1)[0], "*")
    account = known.owner(resource_id) or caller.account
    return Caller(account, caller.region).arn("ec2", f"{kind}/{resource_id or '*'}")


def _resource_keys(caller: Caller, resource_id: str, known: Resources) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for key, value in (known.tags(resource_id) or {}).items():
        keys |= {f"aws:ResourceTag/{key}": value, f"ec2:ResourceTag/{key}": value}
    if vpc := known.vpc(resource_id):
        keys["ec2:Vpc"] = _arn(caller, vpc, known)
    return keys

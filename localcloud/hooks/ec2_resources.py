"""CloudFormation's security groups, their rules and VPC endpoints, made in our model.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_EC2.html. A handler raises what fails the
resource. Deleting a group that is still in use is tried again for a while, as CloudFormation does, on a worker
thread.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services.cloudformation import provisioners, stacks

from localcloud.model.caller import Caller
from localcloud.model.ec2 import Ec2
from localcloud.model.errors import AwsError
from localcloud.model.network import Record

Created = tuple[str, Record]

PATIENCE_SECONDS = 30.0  # AWS tries for some minutes; here delays are seconds
_WAITING_TYPES = ("AWS::EC2::SecurityGroup", "AWS::EC2::VPCEndpoint", "AWS::MWAA::Environment")


def install(model: Ec2) -> None:
    handlers = provisioners._RESOURCE_HANDLERS
    handlers["AWS::EC2::SecurityGroup"] = _handler(SecurityGroup(model))
    handlers["AWS::EC2::SecurityGroupIngress"] = _handler(SecurityGroupRule(model, "Ingress"))
    handlers["AWS::EC2::SecurityGroupEgress"] = _handler(SecurityGroupRule(model, "Egress"))
    handlers["AWS::EC2::VPCEndpoint"] = _handler(VpcEndpoint(model))
    stock_subnet = handlers["AWS::EC2::Subnet"]["delete"]

    def delete_subnet(subnet_id: str, props: Record) -> None:
        if model.in_use(subnet_id):
            raise AwsError("DependencyViolation", f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
        stock_subnet(subnet_id, props)

    handlers["AWS::EC2::Subnet"]["delete"] = delete_subnet
    stock = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda resource_type: resource_type in _WAITING_TYPES or stock(resource_type)


def _handler(resource: Any) -> Record:
    return {
        "create": resource.create,
        "update": resource.update,
        "update_with_logical_id": True,
        "delete": resource.delete,
    }


def caller() -> Caller:
    """The stack's account and Region."""
    return Caller(get_account_id(), get_region())


def patiently(step: Callable[[], Any], code: str) -> Any:
    """Repeat ``step`` while it is refused with ``code``, for a limited time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return step()
        except AwsError as error:
            if error.code != code or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


class SecurityGroup:
    """AWS::EC2::SecurityGroup."""

    def __init__(self, model: Ec2) -> None:
        self._model = model

    def create(self, logical_id: str, props: Record, stack: str) -> Created:
        name = props.get("GroupName") or f"{stack}-{logical_id}-{self._model.ids.new('', 12)}"
        asked = {"GroupName": name, "Description": props["GroupDescription"], "VpcId": props.get("VpcId", "")}
        asked["TagSpecifications"] = _specification("security-group", props)
        group_id = str(self._model.call("CreateSecurityGroup", caller(), asked)["GroupId"])
        _stack_tags(self._model, group_id, props)
        if props.get("SecurityGroupEgress"):  # in place of "everything out"
            everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
            self._change("RevokeSecurityGroupEgress", group_id, everything)
        for direction in ("Ingress", "Egress"):
            self._change(f"AuthorizeSecurityGroup{direction}", group_id, _permissions(props, direction))
        return group_id, self._attributes(group_id, props)

    def update(self, group_id: str, old: Record, new: Record, stack: str, logical_id: str) -> Created:
        """Rules and tags change in place; name, description and VPC make another group."""
        if any(old.get(key) != new.get(key) for key in ("GroupName", "GroupDescription", "VpcId")):
            created = self.create(logical_id, new, stack)
            self.delete(group_id, old)
            return created
        for direction in ("Ingress", "Egress"):
            before, after = _permissions(old, direction), _permissions(new, direction)
            gone = [p for p in before if p not in after]
            self._change(f"RevokeSecurityGroup{direction}", group_id, gone)
            self._change(f"AuthorizeSecurityGroup{direction}", group_id, [p for p in after if p not in before])
        _retag(self._model, group_id, old, new)
        return group_id, self._attributes(group_id, new)

    def delete(self, group_id: str, _props: Record) -> None:
        if self._model.groups.get(group_id) is not None:
            patiently(
                lambda: self._model.call("DeleteSecurityGroup", caller(), {"GroupId": group_id}), "DependencyViolation"
            )

    def _change(self, operation: str, group_id: str, permissions: list[Record]) -> None:
        if permissions:
            self._model.call(operation, caller(), {"GroupId": group_id, "IpPermissions": permissions})

    def _attributes(self, group_id: str, props: Record) -> Record:
        return {"GroupId": group_id, "Id": group_id, "VpcId": props.get("VpcId", "")}


class SecurityGroupRule:
    """AWS::EC2::SecurityGroupIngress and ...Egress: one rule of a group made elsewhere."""

    def __init__(self, model: Ec2, direction: str) -> None:
        self._model = model
        self._direction = direction

    def create(self, _logical_id: str, props: Record, _stack: str) -> Created:
        asked = {"GroupId": props["GroupId"], "IpPermissions": [_permission(props)]}
        made = self._model.call(f"AuthorizeSecurityGroup{self._direction}", caller(), asked)
        rule_id = str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])
        return rule_id, {"Id": rule_id}

    def update(self, rule_id: str, old: Record, new: Record, stack: str, logical_id: str) -> Created:
        self.delete(rule_id, old)
        return self.create(logical_id, new, stack)

    def delete(self, rule_id: str, props: Record) -> None:
        asked = {"GroupId": props["GroupId"], "SecurityGroupRuleIds": [rule_id]}
        try:
            self._model.call(f"RevokeSecurityGroup{self._direction}", caller(), asked)
        except AwsError as error:  # gone already, or with its group
            if error.code not in ("InvalidSecurityGroupRuleId.NotFound", "InvalidGroup.NotFound"):
                raise


class VpcEndpoint:
    """AWS::EC2::VPCEndpoint."""

    def __init__(self, model: Ec2) -> None:
        self._model = model

    def create(self, _logical_id: str, props: Record, _stack: str) -> Created:
        asked = {key: value for key, value in props.items() if key not in ("PolicyDocument", "Tags")}
        asked["PrivateDnsEnabled"] = str(props.get("PrivateDnsEnabled", False)).lower() == "true"
        if policy := _policy(props):
            asked["PolicyDocument"] = policy
        asked["TagSpecifications"] = _specification("vpc-endpoint", props)
        made = self._model.call("CreateVpcEndpoint", caller(), asked)["VpcEndpoint"]
        _stack_tags(self._model, str(made["VpcEndpointId"]), props)
        self._until_not("pending", str(made["VpcEndpointId"]))
        return str(made["VpcEndpointId"]), self._attributes(made)

    def update(self, endpoint_id: str, old: Record, new: Record, stack: str, logical_id: str) -> Created:
        """Subnets, groups and policy change in place; VPC, service and type make another endpoint."""
        if any(old.get(key) != new.get(key) for key in ("VpcId", "ServiceName", "VpcEndpointType")):
            created = self.create(logical_id, new, stack)
            self.delete(endpoint_id, old)
            return created
        asked: Record = {"VpcEndpointId": endpoint_id}
        for key in ("SubnetIds", "SecurityGroupIds"):
            before, after = set(old.get(key, [])), set(new.get(key, []))
            asked |= {f"Add{key}": sorted(after - before), f"Remove{key}": sorted(before - after)}
        asked |= {"PolicyDocument": policy} if (policy := _policy(new)) else {"ResetPolicy": True}
        self._model.call("ModifyVpcEndpoint", caller(), asked)
        _retag(self._model, endpoint_id, old, new)
        shown = self._model.call("DescribeVpcEndpoints", caller(), {"VpcEndpointIds": [endpoint_id]})
        return endpoint_id, self._attributes(shown["VpcEndpoints"][0])

    def delete(self, endpoint_id: str, _props: Record) -> None:
        self._model.call("DeleteVpcEndpoints", caller(), {"VpcEndpointIds": [endpoint_id]})
        self._until_not("deleting", endpoint_id)

    def _until_not(self, state: str, endpoint_id: str) -> None:
        """CloudFormation goes on when an endpoint has settled, or is gone."""

        def check() -> None:
            endpoint = self._model.endpoints.get(endpoint_id)
            if endpoint is not None and endpoint.state(self._model.cloud.clock.now()) == state:
                raise AwsError("IncorrectState", f"{endpoint_id} is still {state}")

        patiently(check, "IncorrectState")

    def _attributes(self, endpoint: Mapping[str, Any]) -> Record:
        return {
            "Id": endpoint["VpcEndpointId"],
            "DnsEntries": [f"{entry['HostedZoneId']}:{entry['DnsName']}" for entry in endpoint["DnsEntries"]],
            "NetworkInterfaceIds": endpoint["NetworkInterfaceIds"],
            "CreationTimestamp": str(endpoint["CreationTimestamp"]),
        }


def _policy(props: Record) -> str | None:
    document = props.get("PolicyDocument")
    return document if document is None or isinstance(document, str) else json.dumps(document)


def _permissions(props: Record, direction: str) -> list[Record]:
    rules: Iterable[Record] = props.get(f"SecurityGroup{direction}") or []
    return [_permission(rule) for rule in rules]


def _permission(rule: Record) -> Record:
    """A template's rule as an ``IpPermissions`` entry."""
    permission: Record = {"IpProtocol": str(rule["IpProtocol"])}
    permission |= {key: int(rule[key]) for key in ("FromPort", "ToPort") if key in rule}
    described = {"Description": rule["Description"]} if rule.get("Description") else {}
    if "CidrIp" in rule:
        permission["IpRanges"] = [{"CidrIp": rule["CidrIp"], **described}]
    if "CidrIpv6" in rule:
        permission["Ipv6Ranges"] = [{"CidrIpv6": rule["CidrIpv6"], **described}]
    if listed := rule.get("SourcePrefixListId") or rule.get("DestinationPrefixListId"):
        permission["PrefixListIds"] = [{"PrefixListId": listed, **described}]
    if group := rule.get("SourceSecurityGroupId") or rule.get("DestinationSecurityGroupId"):
        owner = rule.get("SourceSecurityGroupOwnerId")
        permission["UserIdGroupPairs"] = [{"GroupId": group, **({"UserId": str(owner)} if owner else {}), **described}]
    return permission


def _user_tags(props: Record) -> list[Record]:
    return [tag for tag in props.get("Tags", []) if not tag["Key"].startswith("aws:")]


def _specification(kind: str, props: Record) -> list[Record]:
    tags = _user_tags(props)
    return [{"ResourceType": kind, "Tags": tags}] if tags else []


def _stack_tags(model: Ec2, resource_id: str, props: Record) -> None:
    """The ``aws:cloudformation:`` tags, which only CloudFormation may set."""
    found = model.groups.get(resource_id) or model.endpoints.get(resource_id)
    if found is not None:
        found.tags |= {tag["Key"]: tag["Value"] for tag in props.get("Tags", []) if tag["Key"].startswith("aws:")}


def _retag(model: Ec2, resource_id: str, old: Record, new: Record) -> None:
    before, after = _user_tags(old), _user_tags(new)
    if gone := [{"Key": tag["Key"]} for tag in before if tag not in after]:
        model.call("DeleteTags", caller(), {"Resources": [resource_id], "Tags": gone})
    if after:
        model.call("CreateTags", caller(), {"Resources": [resource_id], "Tags": after})

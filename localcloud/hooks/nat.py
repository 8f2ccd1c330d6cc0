"""AWS::EC2::EIP and AWS::EC2::NatGateway, which ministack's EC2 serves but its CloudFormation does not know.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-eip.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-natgateway.html
"""

import re
from typing import Any

from ministack.services import ec2
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]


def install() -> None:
    handlers = provisioners._RESOURCE_HANDLERS
    handlers["AWS::EC2::EIP"] = {"create": _create_address, "delete": _release_address}
    handlers["AWS::EC2::NatGateway"] = {"create": _create_gateway, "delete": _delete_gateway}


def _create_address(_logical_id: str, properties: Properties, _stack: str) -> Created:
    answer = _ask("AllocateAddress", "elastic-ip", properties, Domain=properties.get("Domain", "vpc"))
    allocation, address = _element(answer, "allocationId"), _element(answer, "publicIp")
    return address, {"AllocationId": allocation, "PublicIp": address}


def _release_address(address: str, _properties: Properties) -> None:
    for allocation, record in list(ec2._addresses.items()):
        if record["PublicIp"] == address:
            _ask("ReleaseAddress", "elastic-ip", {}, AllocationId=allocation)


def _create_gateway(_logical_id: str, properties: Properties, _stack: str) -> Created:
    given = {key: str(properties[key]) for key in ("SubnetId", "AllocationId", "ConnectivityType") if key in properties}
    gateway = _element(_ask("CreateNatGateway", "natgateway", properties, **given), "natGatewayId")
    return gateway, {"NatGatewayId": gateway}


def _delete_gateway(gateway: str, _properties: Properties) -> None:
    if gateway in ec2._nat_gateways:
        _ask("DeleteNatGateway", "natgateway", {}, NatGatewayId=gateway)


def _ask(action: str, kind: str, properties: Properties, **fields: str) -> str:
    """EC2's own answer, in XML; raises ``ValueError`` for an error."""
    for number, tag in enumerate(properties.get("Tags") or [], 1):
        fields["TagSpecification.1.ResourceType"] = kind
        fields |= {f"TagSpecification.1.Tag.{number}.{part}": tag[part] for part in ("Key", "Value")}
    status, _headers, body = ec2._ACTION_MAP[action]({key: [value] for key, value in fields.items()})
    text = body.decode() if isinstance(body, bytes) else str(body)
    if status >= 400:
        raise ValueError(f"Resource handler returned message: {text}")
    return text


def _element(answer: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]+)</{name}>", answer)
    if found is None:
        raise ValueError(f"{name} is missing in {answer}")
    return found[1]

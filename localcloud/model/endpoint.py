"""One VPC endpoint: its fields, its states over time, and how EC2 shows it to its owner."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from localcloud.model.describe import tag_list
from localcloud.model.network import Record

FULL_ACCESS = json.dumps({"Statement": [{"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}]})
"""The policy of an endpoint created without one (PrivateLink guide, "Default endpoint policy")."""

_SETTLED = frozenset({"available", "rejected", "failed", "expired", "pendingAcceptance"})


@dataclass(slots=True)
class Endpoint:
    """One VPC endpoint; ``outcome`` is the state it settles in ``ready_at``."""

    endpoint_id: str
    kind: str
    vpc_id: str
    service: str
    owner: str
    region: str
    created: float
    ready_at: float
    outcome: str
    subnets: list[str]
    groups: list[str]
    route_tables: list[str]
    private_dns: bool
    dns_name: str | None
    policy: str
    tags: dict[str, str]
    interfaces: dict[str, str] = field(default_factory=dict)  # subnet -> network interface
    gone_at: float | None = None
    requester_managed: bool = False
    address_type: str = "ipv4"  # or "ipv6", "dualstack"

    def state(self, now: float) -> str:
        """The state in the API's own spelling; ``deleted`` means that Describe no longer shows it."""
        if self.gone_at is not None:
            return "deleting" if now < self.gone_at else "deleted"
        return "pending" if now < self.ready_at else self.outcome

    def record(self, now: float, upper: bool, group_name: Callable[[str], str]) -> Record:
        """The shape of DescribeVpcEndpoints; ``upper`` spells states as the API's reference lists them."""
        state = self.state(now)
        failed = state == "failed"
        return {
            "VpcEndpointId": self.endpoint_id,
            "VpcEndpointType": self.kind,
            "VpcId": self.vpc_id,
            "ServiceName": self.service,
            "State": state[:1].upper() + state[1:] if upper else state,
            "PolicyDocument": self.policy,
            "RouteTableIds": self.route_tables,
            "SubnetIds": self.subnets,
            "Groups": [{"GroupId": g, "GroupName": group_name(g)} for g in self.groups],
            "IpAddressType": self.address_type,
            "PrivateDnsEnabled": self.private_dns,
            "RequesterManaged": self.requester_managed,
            "NetworkInterfaceIds": list(self.interfaces.values()),
            "DnsEntries": _dns_entries(self),
            "CreationTimestamp": self.created,
            "Tags": tag_list(self.tags),
            "OwnerId": self.owner,
            "LastError": {"Code": "EndpointFailed", "Message": "The endpoint could not be created."}
            if failed
            else None,
        }


def settles_in(outcome: str) -> bool:
    """Is this a state an endpoint can come to rest in?"""
    return outcome in _SETTLED


def _dns_entries(endpoint: Endpoint) -> list[Record]:
    if endpoint.kind != "Interface":
        return []
    suffix = endpoint.service.rsplit(".", 1)[-1]
    entries = [f"{endpoint.endpoint_id}-{endpoint.endpoint_id[-8:]}.{suffix}.{endpoint.region}.vpce.amazonaws.com"]
    if endpoint.private_dns and endpoint.dns_name:
        entries.append(endpoint.dns_name)
    return [{"DnsName": name, "HostedZoneId": "Z7HUB22UULQXV"} for name in entries]

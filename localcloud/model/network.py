"""VPCs, subnets and route tables as an account may see them, its own and those shared with it through RAM.

Where they live is the port's business: the emulator reads its own stores, in process they are plain dictionaries.
Records have the shape of EC2's answers (``SubnetId``, ``VpcId``, ``OwnerId``, ``AvailabilityZone``,
``CidrBlock``...).

Source of the sharing rules: Amazon VPC user guide, "Responsibilities and permissions for owners and participants"
(https://docs.aws.amazon.com/vpc/latest/userguide/vpc-sharing.html): participants see the shared subnets, their VPC
and route tables, with the owner's id and without the owner's tags, and manage none of them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from localcloud.model.caller import Caller
from localcloud.model.describe import Fields, apply_filters, page, tag_list
from localcloud.model.errors import AwsError

Record = dict[str, Any]


class NetworkPort(Protocol):
    """The networks of one Region, all accounts' together, by id; tags are read through ``tags``."""

    def vpcs(self, region: str) -> Mapping[str, Record]: ...
    def subnets(self, region: str) -> Mapping[str, Record]: ...
    def route_tables(self, region: str) -> Mapping[str, Record]: ...
    def tags(self, record: Record, resource_id: str, region: str) -> Mapping[str, str]: ...


class Network:
    """What of the port's networks a caller may see."""

    def __init__(self, port: NetworkPort, shares: Mapping[str, set[str]]) -> None:
        self._port = port
        self._shares = shares

    def port_vpc(self, region: str, vpc_id: str) -> Record | None:
        """The VPC whoever owns it."""
        return self._port.vpcs(region).get(vpc_id)

    def shared_with(self, caller: Caller, subnet_id: str) -> bool:
        return subnet_id in self._shares and caller.account in self._shares[subnet_id]

    def vpc(self, caller: Caller, vpc_id: str) -> Record | None:
        """The VPC if the caller owns it or a subnet of it is shared with the caller."""
        record = self._port.vpcs(caller.region).get(vpc_id)
        if record is None or record["OwnerId"] == caller.account or vpc_id in self._shared_vpcs(caller):
            return record
        return None

    def subnet(self, caller: Caller, subnet_id: str) -> Record | None:
        """The subnet if the caller owns it or it is shared with the caller."""
        record = self._port.subnets(caller.region).get(subnet_id)
        if record is None or record["OwnerId"] == caller.account or self.shared_with(caller, subnet_id):
            return record
        return None

    def _shared_subnets(self, caller: Caller) -> list[Record]:
        subnets = self._port.subnets(caller.region)
        return [subnets[i] for i in self._shares if i in subnets and self.shared_with(caller, i)]

    def _shared_vpcs(self, caller: Caller) -> set[str]:
        return {subnet["VpcId"] for subnet in self._shared_subnets(caller)}

    def _seen(self, caller: Caller, record: Record, id_key: str) -> Record:
        """The record with its tags, which an owner does not share with participants."""
        own = record["OwnerId"] == caller.account
        tags = self._port.tags(record, record[id_key], caller.region) if own else {}
        return {**record, "Tags": tag_list(tags)}

    def describe_subnets(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        wanted = params.get("SubnetIds") or []
        if wanted:
            seen = [self.subnet(caller, subnet_id) for subnet_id in wanted]
            if None in seen:
                missing = wanted[seen.index(None)]
                raise AwsError("InvalidSubnetID.NotFound", f"The subnet ID '{missing}' does not exist")
            records = [r for r in seen if r is not None]
        else:
            subnets = self._port.subnets(caller.region).values()
            records = [r for r in subnets if r["OwnerId"] == caller.account]
            records += [r for r in self._shared_subnets(caller) if r["OwnerId"] != caller.account]
        return self._answer(caller, params, records, "Subnets", "SubnetId", _SUBNET_FILTERS)

    def describe_vpcs(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        wanted = params.get("VpcIds") or []
        shared = self._shared_vpcs(caller)
        records = [
            r
            for r in self._port.vpcs(caller.region).values()
            if (r["OwnerId"] == caller.account or r["VpcId"] in shared) and (not wanted or r["VpcId"] in wanted)
        ]
        _all_found(wanted, {r["VpcId"] for r in records}, "InvalidVpcID.NotFound", "vpc ID")
        records = [{"CidrBlockAssociationSet": _cidr_blocks(r), **r} for r in records]
        return self._answer(caller, params, records, "Vpcs", "VpcId", _VPC_FILTERS)

    def describe_route_tables(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Participants see the tables that route their shared subnets: those associated, and the main one."""
        wanted = params.get("RouteTableIds") or []
        records = [
            table
            for table in self._port.route_tables(caller.region).values()
            if (table["OwnerId"] == caller.account or self._routes_for(caller, table))
            and (not wanted or table["RouteTableId"] in wanted)
        ]
        found = {r["RouteTableId"] for r in records}
        _all_found(wanted, found, "InvalidRouteTableID.NotFound", "routeTable ID")
        return self._answer(caller, params, records, "RouteTables", "RouteTableId", _ROUTE_TABLE_FILTERS)

    def _routes_for(self, caller: Caller, table: Record) -> bool:
        if any(self.shared_with(caller, a.get("SubnetId", "")) for a in table["Associations"]):
            return True
        main = any(a.get("Main") for a in table["Associations"])
        return main and table["VpcId"] in self._shared_vpcs(caller)

    def _answer(
        self, caller: Caller, params: Mapping[str, Any], records: list[Record], key: str, id_key: str, fields: Fields
    ) -> Record:
        seen = [self._seen(caller, record, id_key) for record in records]
        found = apply_filters(seen, params.get("Filters", []), fields, _tags)
        items, token = page(found, params)
        return {key: items, "NextToken": token}


def _tags(record: Record) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in record["Tags"]}


def address_blocks(subnet: Record) -> list[str]:
    """The subnet's ranges; an IPv6-only one has none of IPv4."""
    ipv6 = [block["Ipv6CidrBlock"] for block in subnet.get("Ipv6CidrBlockAssociationSet") or []]
    return [*([subnet["CidrBlock"]] if subnet.get("CidrBlock") else []), *ipv6]


def address_families(subnet: Record) -> set[str]:
    """``ipv4``, ``ipv6`` or both."""
    return {"ipv6" if ":" in block else "ipv4" for block in address_blocks(subnet)}


def _cidr_blocks(vpc: Record) -> list[Record]:
    association = {"AssociationId": vpc["VpcId"].replace("vpc-", "vpc-cidr-assoc-"), "CidrBlock": vpc["CidrBlock"]}
    return [{**association, "CidrBlockState": {"State": "associated"}}]


def _all_found(wanted: Iterable[str], found: set[str], code: str, what: str) -> None:
    for name in wanted:
        if name not in found:
            raise AwsError(code, f"The {what} '{name}' does not exist")


_SUBNET_FILTERS: Fields = {
    "vpc-id": lambda s: [s["VpcId"]],
    "subnet-id": lambda s: [s["SubnetId"]],
    "owner-id": lambda s: [s["OwnerId"]],
    "availability-zone": lambda s: [s["AvailabilityZone"]],
    "cidr-block": lambda s: [s["CidrBlock"]] if s.get("CidrBlock") else [],
    "state": lambda s: [s.get("State", "available")],
}
_VPC_FILTERS: Fields = {
    "vpc-id": lambda v: [v["VpcId"]],
    "owner-id": lambda v: [v["OwnerId"]],
    "cidr": lambda v: [v["CidrBlock"]],
    "is-default": lambda v: [str(v.get("IsDefault", False)).lower()],
    "state": lambda v: [v.get("State", "available")],
}
_ROUTE_TABLE_FILTERS: Fields = {
    "vpc-id": lambda t: [t["VpcId"]],
    "route-table-id": lambda t: [t["RouteTableId"]],
    "owner-id": lambda t: [t["OwnerId"]],
    "association.subnet-id": lambda t: [a["SubnetId"] for a in t["Associations"] if a.get("SubnetId")],
    "association.main": lambda t: [str(bool(a.get("Main"))).lower() for a in t["Associations"]],
    "route.destination-cidr-block": lambda t: [r.get("DestinationCidrBlock", "") for r in t["Routes"]],
    "route.gateway-id": lambda t: [r.get("GatewayId", "") for r in t["Routes"]],
    "route.nat-gateway-id": lambda t: [r.get("NatGatewayId", "") for r in t["Routes"]],
    "route.transit-gateway-id": lambda t: [r.get("TransitGatewayId", "") for r in t["Routes"]],
    "route.state": lambda t: [r.get("State", "active") for r in t["Routes"]],
}

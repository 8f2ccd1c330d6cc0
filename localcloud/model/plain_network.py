"""Networks as plain dictionaries, with a small builder: what CloudFormation makes in the emulator, in process."""

from collections import defaultdict
from collections.abc import Callable, Mapping

from localcloud.model.caller import Ids
from localcloud.model.network import Record

Store = defaultdict[str, dict[str, Record]]  # Region -> id -> record


class PlainNetwork:
    """A ``NetworkPort`` that is filled by hand."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._vpcs: Store = defaultdict(dict)
        self._subnets: Store = defaultdict(dict)
        self._route_tables: Store = defaultdict(dict)
        self.on_vpc: Callable[[Record, str], None] = lambda _vpc, _region: None

    # ------------------------------------------------------------------ the port
    def vpcs(self, region: str) -> Mapping[str, Record]:
        return self._vpcs[region]

    def subnets(self, region: str) -> Mapping[str, Record]:
        return self._subnets[region]

    def route_tables(self, region: str) -> Mapping[str, Record]:
        return self._route_tables[region]

    def tags(self, record: Record, resource_id: str, region: str) -> Mapping[str, str]:  # noqa: ARG002 - the port's
        tags: Mapping[str, str] = record.get("_tags", {})
        return tags

    # ------------------------------------------------------------------ the builder
    def vpc(self, owner: str, region: str = "us-east-1", cidr: str = "10.0.0.0/16", **tags: str) -> str:
        """A VPC with a main route table that leads nowhere; its id."""
        vpc_id = self._ids.new("vpc-")
        record: Record = {"VpcId": vpc_id, "OwnerId": owner, "CidrBlock": cidr, "State": "available", "_tags": tags}
        self._vpcs[region][vpc_id] = record
        self._table(vpc_id, owner, region, cidr, {"Main": True})
        self.on_vpc(record, region)
        return vpc_id

    def private_subnets(self, vpc_id: str, zones: str = "ab", addresses: str = "ipv4") -> list[str]:
        """One subnet in each zone (``"ab"``: the Region's a and b), routed by the main table; their ids."""
        return [self.subnet(vpc_id, zone, addresses) for zone in zones]

    def subnet(self, vpc_id: str, zone: str, addresses: str = "ipv4") -> str:
        """A subnet with the VPC's next free /24, /64, or both (``ipv4``, ``ipv6``, ``dualstack``); its id."""
        region, vpc = self._find(vpc_id)
        subnet_id = self._ids.new("subnet-")
        number = sum(s["VpcId"] == vpc_id for s in self._subnets[region].values())
        first, second, *_ = vpc["CidrBlock"].split(".")
        ipv6 = {"Ipv6CidrBlock": f"2001:db8:0:{number}::/64", "Ipv6CidrBlockState": {"State": "associated"}}
        record = {
            "SubnetId": subnet_id,
            "VpcId": vpc_id,
            "OwnerId": vpc["OwnerId"],
            "AvailabilityZone": region + zone,
            **({} if addresses == "ipv6" else {"CidrBlock": f"{first}.{second}.{number}.0/24"}),
            "Ipv6CidrBlockAssociationSet": [] if addresses == "ipv4" else [ipv6],
            "Ipv6Native": addresses == "ipv6",
            "State": "available",
            "SubnetArn": f"arn:aws:ec2:{region}:{vpc['OwnerId']}:subnet/{subnet_id}",
        }
        self._subnets[region][subnet_id] = record
        return subnet_id

    def route_out(self, vpc_id: str, through: str = "nat", subnets: list[str] | None = None) -> str:
        """A default route through ``nat``, ``igw`` or ``tgw``: in the main table, or in one of the subnets' own."""
        region, vpc = self._find(vpc_id)
        if subnets is None:
            table = next(t for t in self._route_tables[region].values() if t["VpcId"] == vpc_id and _is_main(t))
        else:
            table = self._table(vpc_id, vpc["OwnerId"], region, vpc["CidrBlock"], *({"SubnetId": s} for s in subnets))
        key = {"nat": "NatGatewayId", "igw": "GatewayId", "tgw": "TransitGatewayId"}[through]
        target = {key: self._ids.new(f"{through}-")}
        table["Routes"].append(
            {"DestinationCidrBlock": "0.0.0.0/0", **target, "State": "active", "Origin": "CreateRoute"}
        )
        return str(table["RouteTableId"])

    def _find(self, vpc_id: str) -> tuple[str, Record]:
        return next((region, vpcs[vpc_id]) for region, vpcs in self._vpcs.items() if vpc_id in vpcs)

    def _table(self, vpc_id: str, owner: str, region: str, cidr: str, *associations: Record) -> Record:
        table_id = self._ids.new("rtb-")
        table: Record = {
            "RouteTableId": table_id,
            "VpcId": vpc_id,
            "OwnerId": owner,
            "Routes": [{"DestinationCidrBlock": cidr, "GatewayId": "local", "State": "active"}],
            "Associations": [
                {
                    "RouteTableAssociationId": self._ids.new("rtbassoc-"),
                    "RouteTableId": table_id,
                    "Main": False,
                    "AssociationState": {"State": "associated"},
                    **association,
                }
                for association in associations
            ],
        }
        self._route_tables[region][table_id] = table
        return table


def _is_main(table: Record) -> bool:
    return any(a.get("Main") for a in table["Associations"])

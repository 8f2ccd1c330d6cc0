"""VPC endpoints, security groups, subnets and routes: read as a spoke's observer, changed as its network role."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from groundcrew.aws.errors import translated
from groundcrew.aws.session import Role, Roles
from groundcrew.errors import AccessDenied, AlreadyExists, NotFound, PermanentError, TransientError
from groundcrew.network import Admission, AdmittedRange, SecurityGroup, Subnet, VpcEndpoint
from groundcrew.observability import logger

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

RANGE_DESCRIPTION = "Made by Groundcrew"
"""On the rules that let address ranges in: a rule is known as ours by it."""


class ObservedNetwork:
    """What an account shows of its network in a Region."""

    def __init__(self, roles: Roles, account: str, region: str) -> None:
        """Look as the observer of that account and Region."""
        self._where = f"in {account}/{region}"
        self._roles, self._role = roles, Role("observer", account, region)

    @property
    def _ec2(self) -> "EC2Client":
        client: EC2Client = self._roles.client("ec2", self._role)
        return client

    def subnets(self, ids: Sequence[str]) -> list[Subnet]:
        """The subnets, as this account sees them: its own, and those shared with it.

        Raises:
            NotFound: one of them does not exist for this account.
        """
        with translated(f"ec2:DescribeSubnets {self._where}"):
            found = self._ec2.describe_subnets(SubnetIds=list(ids))["Subnets"]
        return [_subnet(item) for item in found]

    def endpoints(self, *, stack_tag: str | None = None, vpc_ids: Iterable[str] = ()) -> list[VpcEndpoint]:
        """The interface endpoints of the account and Region; those of a stack or of some VPCs only, if asked so."""
        filters: list[Any] = [{"Name": "vpc-endpoint-type", "Values": ["Interface"]}]
        if vpc_ids:
            filters.append({"Name": "vpc-id", "Values": sorted(vpc_ids)})
        if stack_tag:
            filters.append({"Name": "tag:groundcrew:stack", "Values": [stack_tag]})
        with translated(f"ec2:DescribeVpcEndpoints {self._where}"):
            pages = self._ec2.get_paginator("describe_vpc_endpoints").paginate(Filters=filters)
            return [_endpoint(item) for page in pages for item in page["VpcEndpoints"]]

    def groups(self, tags: Mapping[str, str]) -> list[SecurityGroup]:
        """The security groups that carry all of these tags."""
        return self._groups([{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()])

    def groups_by_id(self, ids: Iterable[str]) -> list[SecurityGroup]:
        """The security groups of these ids, as far as they exist."""
        return self._groups([{"Name": "group-id", "Values": sorted(ids)}])

    def groups_by_name(self, name: str, vpc_id: str) -> list[SecurityGroup]:
        """The security group of that name in a VPC, if there is one."""
        return self._groups([{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc_id]}])

    def _groups(self, filters: list[Any]) -> list[SecurityGroup]:
        with translated(f"ec2:DescribeSecurityGroups {self._where}"):
            pages = self._ec2.get_paginator("describe_security_groups").paginate(Filters=filters)
            return [_group(item) for page in pages for item in page["SecurityGroups"]]

    def subnets_with_a_way_out(self, subnet_ids: Sequence[str], vpc_id: str) -> set[str]:
        """Those of the subnets whose route table leads out of the VPC at all: where to is for their owner to know.

        A subnet without a table of its own uses the VPC's main one
        (https://docs.aws.amazon.com/vpc/latest/userguide/subnet-route-tables.html).
        """
        with translated(f"ec2:DescribeRouteTables {self._where}"):
            filters: list[Any] = [{"Name": "vpc-id", "Values": [vpc_id]}]
            pages = self._ec2.get_paginator("describe_route_tables").paginate(Filters=filters)
            tables = [table for page in pages for table in page["RouteTables"]]
        way_out: dict[str | None, bool] = {}
        for table in tables:
            out = any(_leads_out(route) for route in table.get("Routes", []))
            for association in table.get("Associations", []):
                way_out[None if association.get("Main") else association.get("SubnetId")] = out
        return {subnet for subnet in subnet_ids if way_out.get(subnet, way_out.get(None, False))}

    def dual_stack_services(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the endpoint services that accept IPv4 and IPv6.

        None if the observer may not ask: a spoke stack that is older than this hub does not let it.
        """
        filters: list[Any] = [{"Name": "service-name", "Values": sorted(names)}]
        try:
            with translated(f"ec2:DescribeVpcEndpointServices {self._where}"):
                found = self._ec2.describe_vpc_endpoint_services(Filters=filters)["ServiceDetails"]
        except AccessDenied as error:
            logger.warning("endpoints are made with IPv4 addresses only", error=error.what)
            return frozenset()
        accepted = {item["ServiceName"]: {*item.get("SupportedIpAddressTypes", ())} for item in found}
        return frozenset(name for name, types in accepted.items() if types >= {"ipv4", "ipv6"})

    def policy(self, endpoint_id: str) -> str:
        """The policy document of an endpoint as it is now."""
        with translated(f"ec2:DescribeVpcEndpoints {self._where}"):
            found = self._ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint_id])["VpcEndpoints"]
        return found[0].get("PolicyDocument") or ""

    def cidr_blocks(self, vpc_id: str) -> list[str]:
        """The address ranges of a VPC, of either family."""
        with translated(f"ec2:DescribeVpcs {self._where}"):
            (vpc,) = self._ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
        blocks = vpc.get("CidrBlockAssociationSet") or []
        states = {block["CidrBlock"]: block.get("CidrBlockState", {}).get("State", "associated") for block in blocks}
        states |= {
            block["Ipv6CidrBlock"]: block.get("Ipv6CidrBlockState", {}).get("State", "associated")
            for block in vpc.get("Ipv6CidrBlockAssociationSet") or []
        }
        return sorted({vpc["CidrBlock"], *(block for block, state in states.items() if state == "associated")})


class Network:
    """What can be changed in the network of an account and Region; every method may be repeated."""

    def __init__(self, roles: Roles, account: str, region: str) -> None:
        """Act as the network role of that account and Region."""
        self._where = f"in {account}/{region}"
        self._roles, self._role, self.account = roles, Role("network", account, region), account

    @property
    def _ec2(self) -> "EC2Client":
        client: EC2Client = self._roles.client("ec2", self._role)
        return client

    def create_group(self, name: str, description: str, vpc_id: str, tags: Mapping[str, str]) -> str:
        """Make a security group and return its id.

        Raises:
            AlreadyExists: the VPC has one of that name.
        """
        with translated(f"ec2:CreateSecurityGroup {self._where}"):
            return self._ec2.create_security_group(
                GroupName=name,
                Description=description,
                VpcId=vpc_id,
                TagSpecifications=[{"ResourceType": "security-group", "Tags": _tags({"Name": name} | dict(tags))}],
            )["GroupId"]

    def admit(self, group_id: str, admissions: Iterable[Admission]) -> None:
        """Let the members of other groups in.

        Raises:
            TransientError: one of these rules is there already, so somebody changed the group meanwhile.
        """
        try:
            self._authorize(group_id, [_permission(admission, self.account) for admission in sorted(admissions)])
        except AlreadyExists as error:
            raise TransientError(f"{error.what}: somebody changed the group meanwhile", cause=error.cause) from error

    def admit_ranges(self, group_id: str, ranges: Iterable[AdmittedRange]) -> None:
        """Let address ranges in; a rule that is there already is no error.

        Range by range, for EC2 adds all rules of a call or none.
        """
        for admitted in sorted(ranges):
            with suppress(AlreadyExists):
                self._authorize(group_id, [_range_permission(admitted, {"Description": RANGE_DESCRIPTION})])

    def _authorize(self, group_id: str, permissions: list[Any]) -> None:
        with translated(f"ec2:AuthorizeSecurityGroupIngress on {group_id} {self._where}"):
            self._ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=permissions)

    def revoke(self, group_id: str, admissions: Iterable[Admission], ranges: Iterable[AdmittedRange] = ()) -> None:
        """Take rules back; one that is gone already is no error."""
        permissions: list[Any] = [_permission(admission, self.account) for admission in sorted(admissions)]
        permissions += [_range_permission(admitted) for admitted in sorted(ranges)]
        try:
            with translated(f"ec2:RevokeSecurityGroupIngress on {group_id} {self._where}"):
                self._ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=permissions)
        except NotFound as error:
            raise TransientError(f"{error.what}: somebody changed the group meanwhile", cause=error.cause) from error

    def delete_group(self, group_id: str) -> bool:
        """Delete a security group; False while something still uses it (``DependencyViolation``)."""
        try:
            with translated(f"ec2:DeleteSecurityGroup of {group_id} {self._where}"):
                self._ec2.delete_security_group(GroupId=group_id)
        except NotFound:
            return True
        except PermanentError as error:
            if error.cause == "DependencyViolation":
                return False
            raise
        return True

    def create_endpoint(self, request: Mapping[str, Any], tags: Mapping[str, str]) -> VpcEndpoint:
        """Make an interface endpoint; the same ``ClientToken`` never makes a second one."""
        with translated(f"ec2:CreateVpcEndpoint for {request['ServiceName']} {self._where}"):
            answer = self._ec2.create_vpc_endpoint(
                VpcEndpointType="Interface",
                TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": _tags(tags)}],
                **request,
            )
        return _endpoint(answer["VpcEndpoint"])

    def modify_endpoint(self, endpoint_id: str, changes: Mapping[str, Any]) -> None:
        """Change subnets, groups or policy of an endpoint."""
        with translated(f"ec2:ModifyVpcEndpoint of {endpoint_id} {self._where}"):
            self._ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, **changes)

    def delete_endpoints(self, ids: Sequence[str]) -> None:
        """Start to delete endpoints; one that is gone already is no error.

        Raises:
            PermanentError: AWS keeps one of them, and says why.
        """
        with translated(f"ec2:DeleteVpcEndpoints {self._where}"):
            kept = self._ec2.delete_vpc_endpoints(VpcEndpointIds=list(ids))["Unsuccessful"]
        errors = [item for item in kept if item.get("Error", {}).get("Code") != "InvalidVpcEndpoint.NotFound"]
        errors = [item for item in errors if item.get("Error", {}).get("Code") != "InvalidVpcEndpointId.NotFound"]
        if errors:
            error = errors[0].get("Error", {})
            raise PermanentError(
                f"ec2:DeleteVpcEndpoints {self._where}: {errors[0].get('ResourceId')}: {error.get('Message')}",
                cause=error.get("Code", "Unknown"),
            )

    def tag(self, ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Set tags on endpoints and groups."""
        with translated(f"ec2:CreateTags {self._where}"):
            self._ec2.create_tags(Resources=list(ids), Tags=_tags(tags))


def _leads_out(route: Mapping[str, Any]) -> bool:
    """Not the VPC's own route, nor one to a gateway endpoint (which leads to S3 or DynamoDB only), nor a black hole."""
    gateway = str(route.get("GatewayId", ""))
    return route.get("State", "active") == "active" and gateway != "local" and not gateway.startswith("vpce-")


def _tags(tags: Mapping[str, str]) -> list[Any]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _tag_map(item: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags") or ()}


def _endpoint(item: Mapping[str, Any]) -> VpcEndpoint:
    return VpcEndpoint(
        id=item["VpcEndpointId"],
        service=item["ServiceName"],
        state=str(item["State"]).lower(),
        vpc_id=item["VpcId"],
        subnet_ids=frozenset(item.get("SubnetIds") or ()),
        group_ids=frozenset(group["GroupId"] for group in item.get("Groups") or ()),
        private_dns=bool(item.get("PrivateDnsEnabled")),
        policy=item.get("PolicyDocument") or "",
        created_at=item.get("CreationTimestamp"),
        tags=_tag_map(item),
    )


def _subnet(item: Mapping[str, Any]) -> Subnet:
    """A subnet with its ranges; one that is IPv6-only has none of IPv4."""
    associated = [
        block["Ipv6CidrBlock"]
        for block in item.get("Ipv6CidrBlockAssociationSet") or ()
        if block.get("Ipv6CidrBlockState", {}).get("State", "associated") == "associated"
    ]
    blocks = frozenset([item["CidrBlock"], *associated] if item.get("CidrBlock") else associated)
    return Subnet(id=item["SubnetId"], vpc_id=item["VpcId"], owner=item["OwnerId"], blocks=blocks)


def _group(item: Mapping[str, Any]) -> SecurityGroup:
    return SecurityGroup(
        id=item["GroupId"],
        name=item["GroupName"],
        vpc_id=item["VpcId"],
        owner=item["OwnerId"],
        admissions=frozenset(
            Admission(
                account=pair.get("UserId") or item["OwnerId"],
                group_id=pair["GroupId"],
                protocol=rule["IpProtocol"],
                from_port=rule.get("FromPort"),
                to_port=rule.get("ToPort"),
            )
            for rule in item.get("IpPermissions") or ()
            for pair in rule.get("UserIdGroupPairs") or ()
        ),
        ranges=frozenset(
            AdmittedRange(
                source=source[key],
                protocol=rule["IpProtocol"],
                from_port=rule.get("FromPort"),
                to_port=rule.get("ToPort"),
                ours=source.get("Description") == RANGE_DESCRIPTION,
            )
            for rule in item.get("IpPermissions") or ()
            for kind, key in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"), ("PrefixListIds", "PrefixListId"))
            for source in rule.get(kind) or ()
        ),
        tags=_tag_map(item),
    )


def _permission(admission: Admission, owner: str) -> dict[str, Any]:
    """An EC2 ``IpPermission``; a group of another account is named with its account (guide L8264)."""
    pair = {"GroupId": admission.group_id} | ({"UserId": admission.account} if admission.account != owner else {})
    return {**_traffic(admission), "UserIdGroupPairs": [pair]}


def _range_permission(admitted: AdmittedRange, more: Mapping[str, str] | None = None) -> dict[str, Any]:
    """An EC2 ``IpPermission`` for an IPv4 or IPv6 range; a rule is found without its description."""
    kind, key = ("Ipv6Ranges", "CidrIpv6") if ":" in admitted.source else ("IpRanges", "CidrIp")
    return {**_traffic(admitted), kind: [{key: admitted.source, **(more or {})}]}


def _traffic(rule: Admission | AdmittedRange) -> dict[str, Any]:
    ports = {} if rule.from_port is None else {"FromPort": rule.from_port, "ToPort": rule.to_port}
    return {"IpProtocol": rule.protocol, **ports}

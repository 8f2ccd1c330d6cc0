"""Environments as their owners make them, and what was made for them, as AWS itself shows it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from localcloud.aws import Aws

ALL_TRAFFIC = "-1"


@dataclass(frozen=True, slots=True)
class Network:
    """A VPC with two private subnets, and the account that owns them."""

    account: str
    region: str
    vpc_id: str
    subnet_ids: tuple[str, ...]


def make_network(aws: Aws, account: str, region: str, *, way_out: bool = True) -> Network:
    """A VPC of an account's own; ``way_out``: its subnets have a default route through a NAT gateway."""
    ec2 = aws.client("ec2", account, region)
    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnet_ids = tuple(
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.20.{number}.0/24", AvailabilityZone=region + zone)["Subnet"][
            "SubnetId"
        ]
        for number, zone in enumerate("ab")
    )
    if way_out:
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        nat = ec2.create_nat_gateway(SubnetId=subnet_ids[0], AllocationId=address)["NatGateway"]["NatGatewayId"]
        tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["RouteTables"]
        main = next(table for table in tables if any(one.get("Main") for one in table["Associations"]))
        ec2.create_route(RouteTableId=main["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
    return Network(account, region, vpc_id, subnet_ids)


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment of ``account`` in ``network``."""

    aws: Aws
    account: str
    name: str
    network: Network
    group_ids: tuple[str, ...]
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def create(
        cls,
        aws: Aws,
        account: str,
        name: str,
        network: Network,
        *,
        mode: str = "PRIVATE_ONLY",
        groups: int = 1,
        tags: Mapping[str, str] | None = None,
        management: str = "CUSTOMER",
        version: str = "3.3.1",
        bucket: str = "",
    ) -> "Environment":
        """Create it through the MWAA API, with security groups of its own; ``bucket`` should exist, if it is named."""
        ec2 = aws.client("ec2", account, network.region)
        group_ids = tuple(
            ec2.create_security_group(
                GroupName=f"{name}-{number}", Description=f"MWAA environment {name}", VpcId=network.vpc_id
            )["GroupId"]
            for number in range(groups)
        )
        environment = cls(aws, account, name, network, group_ids)
        environment.create_again(mode=mode, tags=tags, management=management, version=version, bucket=bucket)
        return environment

    def create_again(
        self,
        *,
        mode: str = "PRIVATE_ONLY",
        tags: Mapping[str, str] | None = None,
        management: str = "CUSTOMER",
        version: str = "3.3.1",
        bucket: str = "",
    ) -> None:
        """Create an environment of this name, with these groups, once the former one is gone."""
        self._mwaa.create_environment(
            Name=self.name,
            ExecutionRoleArn=f"arn:aws:iam::{self.account}:role/airflow",
            SourceBucketArn=f"arn:aws:s3:::{bucket or f'airflow-{self.account}'}",
            DagS3Path="dags",
            NetworkConfiguration={
                "SubnetIds": list(self.network.subnet_ids),
                "SecurityGroupIds": list(self.group_ids),
            },
            AirflowVersion=version,
            WebserverAccessMode=mode,
            EndpointManagement=management,
            Tags=dict(tags or {}),
        )

    @property
    def region(self) -> str:
        """Where it is."""
        return self.network.region

    @property
    def arn(self) -> str:
        """As in tags and policies."""
        return f"arn:aws:airflow:{self.region}:{self.account}:environment/{self.name}"

    @property
    def ref(self) -> dict[str, str]:
        """As Groundcrew's events name it."""
        return {"account": self.account, "region": self.region, "name": self.name}

    @property
    def owner_ec2(self) -> Any:
        """EC2 of the account that owns the network."""
        if "ec2" not in self._clients:
            self._clients["ec2"] = self.aws.client("ec2", self.network.account, self.region)
        return self._clients["ec2"]

    @property
    def _mwaa(self) -> Any:
        if "mwaa" not in self._clients:
            self._clients["mwaa"] = self.aws.client("mwaa", self.account, self.region)
        return self._clients["mwaa"]

    @property
    def bucket(self) -> str:
        """The name of the bucket with its DAGs."""
        return str(self.describe()["SourceBucketArn"].rpartition(":")[2])

    def describe(self) -> dict[str, Any]:
        """What GetEnvironment says; empty once it is gone."""
        try:
            return dict(self._mwaa.get_environment(Name=self.name)["Environment"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return {}

    def status(self) -> str:
        """The environment's status; DELETED once it is gone."""
        return str(self.describe().get("Status", "DELETED"))

    def delete(self) -> None:
        """Start its deletion, through the MWAA API."""
        self._mwaa.delete_environment(Name=self.name)

    def endpoints(self) -> list[dict[str, Any]]:
        """The VPC endpoints tagged with it, in whatever state, in the account that owns its network."""
        return list(self.owner_ec2.describe_vpc_endpoints(Filters=self._tagged)["VpcEndpoints"])

    def groups(self) -> list[dict[str, Any]]:
        """The security groups tagged with it, in the account that owns its network."""
        return list(self.owner_ec2.describe_security_groups(Filters=self._tagged)["SecurityGroups"])

    @property
    def _tagged(self) -> list[dict[str, Any]]:
        return [{"Name": "tag:groundcrew:environment", "Values": [self.arn]}]

    def faults(self) -> list[str]:
        """What is not as it should be with a finished environment and its endpoints; empty if nothing."""
        described = self.describe()
        if described.get("Status") != "AVAILABLE":
            return [f"{self.name} is {described.get('Status', 'gone')}, not AVAILABLE"]
        services = [described["DatabaseVpcEndpointService"]]
        if described["WebserverAccessMode"] != "PUBLIC_ONLY":
            services.append(described["WebserverVpcEndpointService"])
        endpoints, groups = self.endpoints(), self.groups()
        found = []
        if sorted(one["ServiceName"] for one in endpoints) != sorted(services):
            found.append(f"{self.name} has endpoints for {[one['ServiceName'] for one in endpoints]}, not {services}")
        if len(groups) != 1:
            return [*found, f"{self.name} has {len(groups)} groups, not one"]
        wanted = {(ALL_TRAFFIC, self.account, group) for group in self.group_ids}
        if (admitted := admissions(groups[0])) != wanted:
            found.append(f"the group of {self.name} admits {sorted(admitted)}, not {sorted(wanted)}")
        for one in endpoints:
            shown = (
                one["State"],
                one["VpcEndpointType"],
                sorted(one["SubnetIds"]),
                [g["GroupId"] for g in one["Groups"]],
            )
            right = ("available", "Interface", sorted(self.network.subnet_ids), [groups[0]["GroupId"]])
            if shown != right:
                found.append(f"{one['VpcEndpointId']} of {self.name} is {shown}, not {right}")
        return found


def admissions(group: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """Whom a group lets in, of other groups: (protocol, account, group)."""
    return {
        (str(rule["IpProtocol"]), str(pair["UserId"]), str(pair["GroupId"]))
        for rule in group["IpPermissions"]
        for pair in rule["UserIdGroupPairs"]
    }


def foreign_resources(aws: Aws, accounts: Iterable[str], region: str) -> dict[str, str]:
    """Every endpoint and group that no Groundcrew made, as it is: id → JSON, to be compared with later."""
    found = {}
    for account in accounts:
        ec2 = aws.client("ec2", account, region)
        shown = [
            *((one["VpcEndpointId"], one) for one in ec2.describe_vpc_endpoints()["VpcEndpoints"]),
            *((one["GroupId"], one) for one in ec2.describe_security_groups()["SecurityGroups"]),
        ]
        for resource_id, one in shown:
            if not any(tag["Key"] == "groundcrew:stack" for tag in one.get("Tags", [])):
                found[resource_id] = json.dumps(one, default=str, sort_keys=True)
    return found


def calls_for(calls: Iterable[Mapping[str, Any]], arn: str) -> list[str]:
    """The actions of the API calls that the endpoints function made for one environment, in order.

    Without STS and SSM, which are the same for everybody. In an invocation, all that follows a GetEnvironment is
    about that environment. A call that IAM decides upon several times, once per resource, counts once.
    """
    about: dict[str, str] = {}
    found: dict[str, str] = {}
    calls = list(calls)
    sweeps = {call["trace"] for call in calls if "/groundcrew-sweep-" in call["principal"]}
    for call in calls:
        trace = call["trace"]
        if trace is None or trace in sweeps or call["service"] is not None or "/groundcrew/" not in call["principal"]:
            continue
        if call["action"] == "airflow:GetEnvironment":
            about[trace] = call["resource"]
        if about.get(trace) == arn and not call["action"].startswith(("sts:", "ssm:")):
            found.setdefault(call["request"], call["action"])
    return list(found.values())

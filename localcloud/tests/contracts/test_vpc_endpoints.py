"""EC2 as served: who may do what, shared networks, endpoints and groups over time.

The model's own rules are tested in process (localcloud/tests/unit); here it stands behind HTTP and enforced IAM.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import HUB, SPOKE, SPOKE2, LocalCloud, allow, unique
from localcloud.testing.waiting import eventually

REGION = "us-east-1"
SQS = f"com.amazonaws.{REGION}.sqs"


def refused(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def arn(kind: str, name: str = "*", account: str = HUB) -> str:
    return f"arn:aws:ec2:{REGION}:{account}:{kind}/{name}"


def tags(kind: str, **values: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in values.items()]}]


@dataclass(frozen=True)
class Network:
    vpc: str
    subnets: list[str]
    group: str


@pytest.fixture
def network(cloud: LocalCloud) -> Network:
    """A VPC of the hub's, shared with the first spoke."""
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("ab")
    ]
    cloud.control.share(subnets, [SPOKE])
    group = ec2.create_security_group(GroupName=unique("group"), Description="d", VpcId=vpc)["GroupId"]
    return Network(vpc, subnets, group)


def endpoint_params(network: Network, **more: Any) -> dict[str, Any]:
    return {
        "VpcId": network.vpc,
        "ServiceName": SQS,
        "VpcEndpointType": "Interface",
        "SubnetIds": network.subnets,
        "SecurityGroupIds": [network.group],
        "PrivateDnsEnabled": False,
        **more,
    }


CREATE = "ec2:CreateVpcEndpoint"
STATEMENTS = {
    "vpc": allow(CREATE, arn("vpc")),
    "endpoint": allow(
        CREATE,
        arn("vpc-endpoint"),
        StringEquals={"aws:RequestTag/owner": "us"},
        StringLike={"ec2:VpceServiceName": "com.amazonaws.*"},
    ),
    "subnet": allow(CREATE, arn("subnet")),
    "group": allow(CREATE, arn("security-group")),
    "tags": allow("ec2:CreateTags", arn("vpc-endpoint"), StringEquals={"ec2:CreateAction": "CreateVpcEndpoint"}),
}


def test_creating_an_endpoint_takes_a_permission_on_each_resource(cloud: LocalCloud, network: Network) -> None:
    params = endpoint_params(network, TagSpecifications=tags("vpc-endpoint", owner="us"))
    whole = cloud.as_role("ec2", cloud.role(*STATEMENTS.values()))
    assert whole.create_vpc_endpoint(**params)["VpcEndpoint"]["State"] == "pending"
    untagged = endpoint_params(network)
    assert refused(whole.create_vpc_endpoint, **untagged) == "UnauthorizedOperation"


@pytest.mark.parametrize("missing", STATEMENTS)
def test_without_one_of_them_nothing_is_made(cloud: LocalCloud, network: Network, missing: str) -> None:
    rest = [statement for name, statement in STATEMENTS.items() if name != missing]
    lacking = cloud.as_role("ec2", cloud.role(*rest))
    params = endpoint_params(network, TagSpecifications=tags("vpc-endpoint", owner="us"))
    assert refused(lacking.create_vpc_endpoint, **params) == "UnauthorizedOperation"
    found = cloud.client("ec2").describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [network.vpc]}])
    assert found["VpcEndpoints"] == []


def test_changing_and_deleting_depend_on_the_resources_tags(cloud: LocalCloud, network: Network) -> None:
    root = cloud.client("ec2")
    ours, theirs = (
        root.create_vpc_endpoint(**endpoint_params(network, TagSpecifications=tags("vpc-endpoint", owner=owner)))[
            "VpcEndpoint"
        ]["VpcEndpointId"]
        for owner in ("us", "them")
    )
    mine = {"StringEquals": {"aws:ResourceTag/owner": "us"}}
    actions = ["ec2:ModifyVpcEndpoint", "ec2:DeleteVpcEndpoints", "ec2:AuthorizeSecurityGroupIngress", "ec2:CreateTags"]
    role = cloud.as_role("ec2", cloud.role(allow(actions, [arn("vpc-endpoint"), arn("security-group")], **mine)))
    role.modify_vpc_endpoint(VpcEndpointId=ours, ResetPolicy=True)
    assert refused(role.modify_vpc_endpoint, VpcEndpointId=theirs, ResetPolicy=True) == "UnauthorizedOperation"
    assert refused(role.delete_vpc_endpoints, VpcEndpointIds=[ours, theirs]) == "UnauthorizedOperation"
    rule = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.20.0.0/16"}]}]
    authorize = {"GroupId": network.group, "IpPermissions": rule}
    assert refused(role.authorize_security_group_ingress, **authorize) == "UnauthorizedOperation"
    new = [{"Key": "owner", "Value": "us"}]
    assert refused(role.create_tags, Resources=[network.group], Tags=new) == "UnauthorizedOperation"
    root.create_tags(Resources=[network.group], Tags=new)
    role.authorize_security_group_ingress(**authorize)
    role.delete_vpc_endpoints(VpcEndpointIds=[ours])
    cloud.control.advance(10)
    left = root.describe_vpc_endpoints(Filters=vpc_filter(network))["VpcEndpoints"]
    assert [endpoint["VpcEndpointId"] for endpoint in left] == [theirs]


def vpc_filter(network: Network) -> list[dict[str, Any]]:
    return [{"Name": "vpc-id", "Values": [network.vpc]}]


def test_describing_needs_its_permission(cloud: LocalCloud) -> None:
    role = cloud.as_role("ec2", cloud.role(allow("ec2:DescribeVpcs")))
    role.describe_vpcs()
    for describe in (role.describe_subnets, role.describe_vpc_endpoints, role.describe_security_groups):
        assert refused(describe) == "UnauthorizedOperation"


def test_every_decision_is_in_the_call_log(cloud: LocalCloud, network: Network) -> None:
    role_arn = cloud.role(*STATEMENTS.values())
    params = endpoint_params(network, TagSpecifications=tags("vpc-endpoint", owner="us"))
    cloud.as_role("ec2", role_arn).create_vpc_endpoint(**params)
    calls = cloud.control.calls(role=role_arn)
    assert [(call["action"], call["resource"].split(":")[5].split("/")[0]) for call in calls] == [
        (CREATE, "vpc"),
        (CREATE, "vpc-endpoint"),
        (CREATE, "subnet"),
        (CREATE, "subnet"),
        (CREATE, "security-group"),
        ("ec2:CreateTags", "vpc-endpoint"),
    ]


def test_a_shared_subnet_is_seen_with_its_owner_by_those_it_is_shared_with(cloud: LocalCloud, network: Network) -> None:
    seen = cloud.client("ec2", SPOKE).describe_subnets(SubnetIds=network.subnets)["Subnets"]
    assert {subnet["OwnerId"] for subnet in seen} == {HUB}
    stranger = cloud.client("ec2", SPOKE2)
    assert refused(stranger.describe_subnets, SubnetIds=network.subnets) == "InvalidSubnetID.NotFound"
    tables = cloud.client("ec2", SPOKE).describe_route_tables(Filters=vpc_filter(network))["RouteTables"]
    assert [table["OwnerId"] for table in tables] == [HUB]


def test_a_group_that_is_named_or_used_cannot_go(cloud: LocalCloud, network: Network) -> None:
    hub, spoke = cloud.client("ec2"), cloud.client("ec2", SPOKE)
    theirs = spoke.create_security_group(GroupName=unique("g"), Description="d", VpcId=network.vpc)["GroupId"]
    rule = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": theirs, "UserId": SPOKE}]}]
    hub.authorize_security_group_ingress(GroupId=network.group, IpPermissions=rule)
    assert refused(spoke.delete_security_group, GroupId=theirs) == "DependencyViolation"
    hub.revoke_security_group_ingress(GroupId=network.group, IpPermissions=rule)
    spoke.delete_security_group(GroupId=theirs)


def test_an_endpoint_is_available_after_its_delay(cloud: LocalCloud, network: Network) -> None:
    ec2 = cloud.client("ec2")
    endpoint = ec2.create_vpc_endpoint(**endpoint_params(network))["VpcEndpoint"]["VpcEndpointId"]

    def state() -> str:
        return str(ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"][0]["State"])

    assert state() == "pending"
    cloud.control.advance(10)
    assert state() == "available"


def test_a_network_in_use_cannot_go(cloud: LocalCloud, network: Network) -> None:
    ec2 = cloud.client("ec2")
    endpoint = ec2.create_vpc_endpoint(**endpoint_params(network))["VpcEndpoint"]["VpcEndpointId"]
    assert refused(ec2.delete_subnet, SubnetId=network.subnets[0]) == "DependencyViolation"
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    cloud.control.advance(10)
    for subnet in network.subnets:
        ec2.delete_subnet(SubnetId=subnet)
    assert refused(ec2.delete_vpc, VpcId=network.vpc) == "DependencyViolation"  # the group
    ec2.delete_security_group(GroupId=network.group)
    ec2.delete_vpc(VpcId=network.vpc)


def test_tags_of_networks_and_of_endpoints_in_one_call(cloud: LocalCloud, network: Network) -> None:
    ec2 = cloud.client("ec2")
    ec2.create_tags(Resources=[network.vpc, network.group], Tags=[{"Key": "team", "Value": "data"}])
    tag = [{"Key": "team", "Value": "data"}]
    assert ec2.describe_vpcs(VpcIds=[network.vpc])["Vpcs"][0]["Tags"] == tag
    assert ec2.describe_security_groups(GroupIds=[network.group])["SecurityGroups"][0]["Tags"] == tag
    ec2.delete_tags(Resources=[network.vpc, network.group], Tags=[{"Key": "team"}])
    assert ec2.describe_vpcs(VpcIds=[network.vpc])["Vpcs"][0]["Tags"] == []


TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.30.0.0/16"}},
        "Subnet": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.30.0.0/24", "AvailabilityZone": f"{REGION}a"},
        },
        "Group": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {
                "GroupDescription": "endpoints",
                "VpcId": {"Ref": "Vpc"},
                "SecurityGroupIngress": [
                    {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "10.30.0.0/16"}
                ],
                "Tags": [{"Key": "team", "Value": "data"}],
            },
        },
        "Itself": {
            "Type": "AWS::EC2::SecurityGroupIngress",
            "Properties": {
                "GroupId": {"Ref": "Group"},
                "IpProtocol": "-1",
                "SourceSecurityGroupId": {"Fn::GetAtt": ["Group", "GroupId"]},
            },
        },
        "Queue": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {
                "VpcId": {"Ref": "Vpc"},
                "ServiceName": SQS,
                "VpcEndpointType": "Interface",
                "SubnetIds": [{"Ref": "Subnet"}],
                "SecurityGroupIds": [{"Ref": "Group"}],
                "PrivateDnsEnabled": True,
            },
        },
    },
    "Outputs": {
        "Group": {"Value": {"Ref": "Group"}},
        "Endpoint": {"Value": {"Ref": "Queue"}},
        "Vpc": {"Value": {"Ref": "Vpc"}},
    },
}


def test_a_stack_makes_them_and_takes_them_away(cloud: LocalCloud) -> None:
    stacks, ec2, name = cloud.client("cloudformation"), cloud.client("ec2"), unique("network")

    def status() -> str:
        return str(stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

    stacks.create_stack(StackName=name, TemplateBody=json.dumps(TEMPLATE))
    eventually(lambda: status() == "CREATE_COMPLETE")
    described = stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described}
    group = ec2.describe_security_groups(GroupIds=[outputs["Group"]])["SecurityGroups"][0]
    assert [permission["IpProtocol"] for permission in group["IpPermissions"]] == ["tcp", "-1"]
    assert {"Key": "team", "Value": "data"} in group["Tags"]
    endpoint = ec2.describe_vpc_endpoints(VpcEndpointIds=[outputs["Endpoint"]])["VpcEndpoints"][0]
    assert endpoint["PrivateDnsEnabled"] is True
    assert [used["GroupId"] for used in endpoint["Groups"]] == [outputs["Group"]]
    stacks.delete_stack(StackName=name)
    here = [{"Name": "vpc-id", "Values": [outputs["Vpc"]]}]
    eventually(lambda: not ec2.describe_vpcs(Filters=here)["Vpcs"], 30)
    assert ec2.describe_security_groups(Filters=here)["SecurityGroups"] == []
    assert ec2.describe_vpc_endpoints(Filters=here)["VpcEndpoints"] == []

"""Functions in a VPC deploy where Lambda would let them.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
"""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import LocalCloud, allow, unique
from localcloud.tests.contracts.test_functions import LOGS, function, invoke, package
from localcloud.tests.contracts.test_stacks import Stack, typed
from localcloud.tests.contracts.test_vpc_endpoints import Network, network

INTERFACES = allow(["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"])
MANAGED = ["AWSLambdaVPCAccessExecutionRole", "AWSLambdaENIManagementAccess"]

__all__ = ["network"]  # a fixture


def place(network: Network) -> dict[str, Any]:
    return {"SubnetIds": network.subnets, "SecurityGroupIds": [network.group]}


def test_the_role_must_be_allowed_to_make_network_interfaces(cloud: LocalCloud, network: Network) -> None:
    with pytest.raises(ClientError, match="does not have permissions to call CreateNetworkInterface on EC2"):
        function(cloud, VpcConfig=place(network))
    name = function(cloud, INTERFACES, VpcConfig=place(network))
    assert not invoke(cloud, name)[1]


def test_looking_at_subnets_is_a_switch(cloud: LocalCloud, network: Network) -> None:
    cloud.control.switch(**{"lambda.vpc_describes_subnets": True})
    try:
        with pytest.raises(ClientError, match="does not have permissions to call DescribeSubnets on EC2"):
            function(cloud, INTERFACES, VpcConfig=place(network))
        function(cloud, INTERFACES, allow("ec2:DescribeSubnets"), VpcConfig=place(network))
    finally:
        cloud.control.switch(**{"lambda.vpc_describes_subnets": False})


@pytest.mark.parametrize("policy", MANAGED)
def test_aws_managed_policies_allow_it(cloud: LocalCloud, network: Network, policy: str) -> None:
    role, name = cloud.role(LOGS), unique("function")
    cloud.client("iam").attach_role_policy(
        RoleName=role.rsplit("/", 1)[-1], PolicyArn=f"arn:aws:iam::aws:policy/service-role/{policy}"
    )
    lambda_ = cloud.client("lambda")
    lambda_.create_function(
        FunctionName=name, Role=role, Handler="app.handler", Code={"ZipFile": package()}, VpcConfig=place(network),
        Runtime=cloud.control.status()["runtime"],
    )  # fmt: skip
    assert lambda_.get_function(FunctionName=name)["Configuration"]["VpcConfig"]["SubnetIds"] == network.subnets


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"SubnetIds": ["subnet-0"]}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["sg-0"]}, "InvalidGroup.NotFound"),
        ({"SecurityGroupIds": []}, "must be specified together"),
    ],
)
def test_a_place_that_is_not_there_is_refused(
    cloud: LocalCloud, network: Network, change: dict[str, Any], error: str
) -> None:
    with pytest.raises(ClientError, match=error):
        function(cloud, INTERFACES, VpcConfig={**place(network), **change})


@pytest.fixture
def stack(cloud: LocalCloud) -> Iterator[Stack]:
    yield (one := Stack(cloud))
    one.delete()


def test_a_stack_fails_as_the_call_would(cloud: LocalCloud, network: Network, stack: Stack) -> None:
    code = {"ZipFile": "def handler(event, context):\n    return 1\n"}
    runtime = cloud.control.status()["runtime"]
    resource = typed(
        "AWS::Lambda::Function", Role=cloud.role(), Handler="index.handler", Runtime=runtime, Code=code,
        VpcConfig=place(network),
    )  # fmt: skip
    assert "does not have permissions to call CreateNetworkInterface" in stack.put(Function=resource)

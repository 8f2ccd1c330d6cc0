from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.inprocess.aws import InProcessAws, in_process
from localcloud.model.environment import Environment

HUB, SPOKE, OTHER = "111111111111", "222222222222", "333333333333"
REGION = "us-east-1"


@cache
def client(service: str, account: str = HUB, region: str = REGION) -> Any:
    """A client of the account's root; made once, whichever cloud is active when it is used."""
    return boto3.client(  # type: ignore[call-overload]
        service,
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="in-process",
        config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
    )


def refused(call: Callable[..., Any], **params: Any) -> str:
    """The error code a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


@dataclass
class Shared:
    """The hub's VPC with two private subnets shared with the spoke, and a group of the hub's in it."""

    aws: InProcessAws
    vpc: str
    subnets: list[str]
    group: str

    @property
    def hub(self) -> Any:
        return client("ec2", HUB)

    @property
    def spoke(self) -> Any:
        return client("ec2", SPOKE)

    def environment(self, name: str = "data", access: str = "PRIVATE_ONLY", **more: Any) -> Environment:
        """An environment of the spoke that has come to PENDING."""
        environment = self.aws.create_environment(SPOKE, REGION, name, self.subnets, access, **more)
        self.aws.clock.advance(5)
        return environment

    def admit(self, environment: Environment, port: int | None = None) -> None:
        """Open the hub's group to the environment's groups."""
        ports = {"IpProtocol": "-1"} if port is None else {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
        pairs = [{"GroupId": group, "UserId": SPOKE} for group in environment.groups]
        self.hub.authorize_security_group_ingress(
            GroupId=self.group, IpPermissions=[{**ports, "UserIdGroupPairs": pairs}]
        )

    def endpoint(self, service: str | None, **more: Any) -> str:
        """A new interface endpoint of the hub's; its id."""
        params = {"SubnetIds": self.subnets, "SecurityGroupIds": [self.group], **more}
        made = self.hub.create_vpc_endpoint(VpcId=self.vpc, VpcEndpointType="Interface", ServiceName=service, **params)
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def plug_in(self, environment: Environment) -> list[str]:
        """Everything right: the group admits, one endpoint for each service."""
        self.admit(environment)
        services = filter(None, (environment.database_service, environment.webserver_service))
        return [self.endpoint(service) for service in services]


@pytest.fixture
def aws() -> Iterator[InProcessAws]:
    with in_process() as cloud:
        yield cloud


@pytest.fixture
def shared(aws: InProcessAws) -> Shared:
    vpc = aws.network.vpc(owner=HUB)
    subnets = aws.network.private_subnets(vpc)
    aws.share(subnets, SPOKE)
    return Shared(aws, vpc, subnets, aws.security_group(HUB, vpc, "endpoints"))

"""The fleets that are measured: the model of AWS behind an HTTP endpoint, and environments in it."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.aws_server import event_message, served, variables
from bench.lambda_process import HUB, INTERPRETER, REGION, ROOT, Code
from bench.results import NotMeasured
from endpoints.ownership import QUEUE, Owner
from endpoints.planner import group_name
from groundcrew.environment import EnvironmentRef
from localcloud.cloud import Cloud
from localcloud.inprocess.aws import InProcessAws, StillClock
from localcloud.model.caller import Caller
from localcloud.model.environment import Environment
from localcloud.protocol import query

SPOKE = "222222222222"
STACK_TAG = f"{HUB}/{REGION}/groundcrew"


@dataclass(frozen=True, slots=True)
class World:
    """One AWS, and what functions have to know of it."""

    aws: InProcessAws
    url: str
    accounts: Sequence[str]

    def variables(self, function: str) -> dict[str, str]:
        """What the template gives ``function``, and where its AWS is."""
        return variables(self.aws, self.url, function) | {
            "GROUNDCREW_ACCOUNT": HUB,
            "GROUNDCREW_PARTITION": "aws",
            "GROUNDCREW_STACK": "groundcrew",
            "GROUNDCREW_BUS": "groundcrew",
            "GROUNDCREW_MODE": "act",
            "GROUNDCREW_LOOK_AGAIN_SECONDS": "30",
            "GROUNDCREW_LATE_AFTER_HOURS": "4",
            "GROUNDCREW_SPOKE_ACCOUNTS": ",".join(self.accounts),
            "GROUNDCREW_SPOKE_REGIONS": REGION,
        }

    def subnets(self, owner: str = HUB, *shared_with: str) -> list[str]:
        """The subnets of a new VPC with a way out."""
        vpc = self.aws.network.vpc(owner=owner)
        subnets = self.aws.network.private_subnets(vpc)
        self.aws.network.route_out(vpc)
        self.aws.share(subnets, *shared_with)
        return subnets

    def pending(
        self, subnets: Sequence[str], account: str = SPOKE, name: str = "orders", access: str = "PRIVATE_ONLY"
    ) -> Environment:
        """An environment that waits for its endpoints."""
        environment = self.aws.create_environment(account, REGION, name, subnets, access)
        self.aws.clock.advance(5)
        return environment

    def status_change(self, environment: Environment) -> dict[str, Any]:
        """The message that MWAA's event about an environment becomes."""
        event = json.loads((ROOT / "events/mwaa-environment-status-change.json").read_text())
        whose = {"account": environment.caller.account, "resources": [environment.arn]}
        now = {"time": query.iso(self.aws.clock.now())}
        detail = {"detail": {"name": environment.name, "status": environment.status}}
        return event_message(event | whose | now | detail)

    def request(self, environment: Environment, **detail: Any) -> dict[str, Any]:
        """A request about an environment, as a function is invoked with it by hand."""
        event: dict[str, Any] = json.loads((ROOT / "events/endpoint-reconcile-requested.json").read_text())
        return event | {"account": environment.caller.account, "detail": {"environment": about(environment)} | detail}

    def fact(self, detail_type: str, detail: dict[str, Any]) -> dict[str, Any]:
        """What one part says to another on the hub's bus."""
        now = query.iso(self.aws.clock.now())
        said = {"version": "0", "id": "bench", "source": "groundcrew", "detail-type": detail_type, "account": HUB}
        return said | {"region": REGION, "resources": [], "time": now, "detail": detail}


def about(environment: Environment) -> dict[str, str]:
    """How events name it."""
    caller = environment.caller
    return {"account": caller.account, "region": caller.region, "name": environment.name}


@contextmanager
def world(accounts: Sequence[str] = (HUB, SPOKE)) -> Iterator[World]:
    """An AWS without environments, which has the fleet's default policy."""
    aws = InProcessAws(Cloud(clock=StillClock(), accounts=frozenset((HUB, *accounts))))
    aws.parameters["/groundcrew/endpoints/default"] = '{"admit": "all-traffic", "sqs": "report"}'
    with served(aws) as url:
        yield World(aws, url, accounts)


def plug_in(aws: InProcessAws, environment: Environment) -> None:
    """Make what Groundcrew would make, without it: a group, and endpoints with its tags."""
    caller = Caller(environment.owner, REGION)
    vpc = aws.network.subnets(REGION)[environment.subnets[0]]["VpcId"]
    name = group_name(EnvironmentRef(environment.caller.account, REGION, environment.name))
    request = {
        "GroupName": name,
        "Description": "d",
        "VpcId": vpc,
        **_tagged("security-group", environment, "endpoints"),
    }
    group = aws.ec2.call("CreateSecurityGroup", caller, request)["GroupId"]
    pairs = [{"GroupId": one, "UserId": environment.caller.account} for one in environment.groups]
    rules = [{"IpProtocol": "-1", "UserIdGroupPairs": pairs}]
    aws.ec2.call("AuthorizeSecurityGroupIngress", caller, {"GroupId": group, "IpPermissions": rules})
    services = {"database": environment.database_service, "webserver": environment.webserver_service}
    for purpose, service in services.items():
        if service:
            request = {
                "VpcId": vpc,
                "ServiceName": service,
                "VpcEndpointType": "Interface",
                "SecurityGroupIds": [group],
            }
            tags = _tagged("vpc-endpoint", environment, purpose)
            aws.ec2.call("CreateVpcEndpoint", caller, {**request, "SubnetIds": list(environment.subnets), **tags})


def _tagged(kind: str, environment: Environment, purpose: str) -> dict[str, Any]:
    tags = Owner(STACK_TAG, "aws").tags(environment.arn, purpose) | {QUEUE: environment.queue}
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]}


@dataclass(frozen=True, slots=True)
class Built:
    """The functions as ``sam build`` makes them: by the makefiles it calls."""

    package: Path
    layer: Path

    def function(self, handler: str) -> Code:
        """A function of the product."""
        return Code(self.package, handler, self.layer)


@contextmanager
def built() -> Iterator[Built]:
    """Build package and layer for the time of the block.

    What Lambda's own image brings, boto3 above all, is compiled; what the build brings is as the build left it.
    """
    _run(str(INTERPRETER), "-m", "compileall", "-q", str(INTERPRETER.parents[1] / "lib"))
    with ExitStack() as undo:
        package = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="groundcrew-package-")))
        layer = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="groundcrew-layer-")))
        _make("functions", "build-EndpointsFunction", package)
        _make("layers/dependencies", "build-DependenciesLayer", layer)
        yield Built(package, layer / "python")


def _make(folder: str, target: str, artifacts: Path) -> None:
    _run("make", "--silent", f"--directory={ROOT / folder}", target, f"ARTIFACTS_DIR={artifacts}")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasured(f"{' '.join(command)}: {done.stderr or done.stdout}")

"""Part ``fleet``: the sweep's cold start, and what a sweep of many environments takes."""

from pathlib import Path
from typing import Any

from bench.cold_start import compare
from bench.lambda_process import HUB, REGION, Code, function_process
from bench.results import Figure, NotMeasured, figure
from bench.world import SPOKE, Built, World, world
from localcloud.model.caller import Caller
from localcloud.model.environment import Environment

BARE = Code(Path(__file__).parent / "bare", "bare_sweep.handler")
SIZES = (10, 100)
MOST_ACCOUNTS = 50
RUNS = 3
STACK_TAG = f"{HUB}/{REGION}/groundcrew"


def measure(built: Built) -> list[Figure]:
    """All figures of this part."""
    figures = _cold_start(built)
    for size in SIZES:
        figures += _sweep(built, size)
    return figures


def _cold_start(built: Built) -> list[Figure]:
    with world() as small:
        _fill(small, [SPOKE], 1)
        sweep = built.function("fleet.handler.handler")
        return compare("fleet.cold_start", sweep, BARE, small, small.variables("sweep"), {})


def _sweep(built: Built, size: int) -> list[Figure]:
    """``size`` environments, evenly over at most 50 accounts, each account's in a VPC of the hub."""
    spokes = [f"{number:012}" for number in range(400, 400 + min(MOST_ACCOUNTS, size))]
    calls, seconds, peaks = [], [], []
    with world([HUB, *spokes]) as fleet:
        _fill(fleet, spokes, size // len(spokes))
        for _ in range(RUNS):
            since = len(fleet.aws.journal)
            with function_process(built.function("fleet.handler.handler"), fleet.variables("sweep")) as function:
                answer, at = function.invoke({})
                peaks.append(function.peak_megabytes)
            if answer["environments"] != size or answer["troubles"]:
                raise NotMeasured(f"a sweep of {size} environments answers {answer}")
            seconds.append(at - function.started)
            calls.append((len(fleet.aws.journal) - since) / size)
    fleet_of = f"{len(spokes)} accounts and the hub"
    return [
        figure(f"fleet.sweep_{size}_calls_per_environment", calls, "calls", f"{fleet_of}; STS counted"),
        figure(f"fleet.sweep_{size}_seconds", seconds, "s", f"{fleet_of}; cold, AWS answers at once"),
        figure(f"fleet.sweep_{size}_peak_memory", peaks, "MB", "the function's process"),
    ]


def _fill(fleet: World, spokes: list[str], each: int) -> None:
    """Environments with their endpoints, in each spoke."""
    for account in spokes:
        subnets = fleet.subnets(HUB, account)
        for number in range(each):
            _plug_in(fleet, fleet.pending(subnets, account, f"orders-{number}"))
    fleet.aws.clock.advance(300)


def _plug_in(place: World, environment: Environment) -> None:
    """Make what Groundcrew would make, without it: a group, and endpoints with its tags."""
    caller = Caller(HUB, REGION)
    vpc = place.aws.network.subnets(REGION)[environment.subnets[0]]["VpcId"]
    tags = {"groundcrew:environment": environment.arn, "groundcrew:stack": STACK_TAG}
    group = place.aws.ec2.call(
        "CreateSecurityGroup",
        caller,
        {"GroupName": environment.name, "Description": "d", "VpcId": vpc, **_tagged("security-group", tags)},
    )["GroupId"]
    pairs = [{"GroupId": one, "UserId": environment.caller.account} for one in environment.groups]
    place.aws.ec2.call(
        "AuthorizeSecurityGroupIngress",
        caller,
        {"GroupId": group, "IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": pairs}]},
    )
    for service in filter(None, (environment.database_service, environment.webserver_service)):
        request = {"VpcId": vpc, "ServiceName": service, "VpcEndpointType": "Interface", "SecurityGroupIds": [group]}
        place.aws.ec2.call(
            "CreateVpcEndpoint",
            caller,
            {**request, "SubnetIds": list(environment.subnets), **_tagged("vpc-endpoint", tags)},
        )


def _tagged(kind: str, tags: dict[str, str]) -> dict[str, Any]:
    items = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": items}]}

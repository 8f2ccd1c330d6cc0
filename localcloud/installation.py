"""Groundcrew as its users install it: a hub, a spoke per account and Region, and a shared VPC.

Used by the demonstration and the tests; deployed by the real SAM CLI.
"""

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from localcloud import deploy
from localcloud.aws import Aws
from localcloud.client import Client
from localcloud.fleet import Network

HUB, SPOKES = "111111111111", ("222222222222", "333333333333")
REGION = "us-east-1"
STACK, SPOKE_STACK = "groundcrew", "groundcrew-spoke"
SPOKE_TEMPLATE = deploy.ROOT / "spoke/template.yaml"
ROUTE_SOURCES = "aws.s3"
OWNER_TEMPLATE = deploy.ROOT / "examples/shared-vpc/owner.yaml"

HUB_DEAD_LETTERS = (
    "groundcrew-cleanup-dead-letters",
    "groundcrew-endpoints-dead-letters",
    "groundcrew-runs-dead-letters",
    "groundcrew-tokens-dead-letters",
    "groundcrew-token-rotations-dead-letters.fifo",
    "groundcrew-undelivered",
)
SPOKE_DEAD_LETTERS = "groundcrew-spoke-undelivered"


def deploy_hub(
    cloud: Client,
    built: Path,
    *,
    regions: Collection[str] = (REGION,),
    look_again_seconds: int = 2,
    place: tuple[Collection[str], Collection[str]] | None = None,
) -> deploy.Deployed:
    """The hub, for all accounts in these Regions; ``place``: subnets and groups of the functions that need some."""
    parameters = {
        "SpokeAccounts": ",".join((HUB, *SPOKES)),
        "SpokeRegions": ",".join(regions),
        "OrganizationId": cloud.status()["organization"],
        "RouteSources": ROUTE_SOURCES,
        "LookAgainSeconds": str(look_again_seconds),
    }
    if place is not None:
        parameters |= {"VpcSubnetIds": ",".join(place[0]), "VpcSecurityGroupIds": ",".join(place[1])}
    return deploy.deploy(cloud, built, stack=STACK, account=HUB, region=REGION, parameters=parameters)


def deploy_spoke(cloud: Client, account: str, region: str = REGION) -> deploy.Deployed:
    """A spoke; the hub's own account has one too."""
    return deploy.deploy(
        cloud, SPOKE_TEMPLATE, stack=SPOKE_STACK, account=account, region=region, parameters=spoke_parameters()
    )


def spoke_parameters() -> dict[str, str]:
    """What every spoke of this hub is deployed with."""
    hub = {"HubAccount": HUB, "HubRegion": REGION, "HubStack": STACK}
    binds = {"BindsStartupScripts": "true", "ExecutionRoleArns": "arn:aws:iam::*:role/airflow"}
    return {**hub, **binds, "RouteSources": ROUTE_SOURCES}


def deploy_shared_vpc(cloud: Client, *, nat_gateways: int = 1) -> tuple[Network, deploy.Deployed]:
    """The hub's VPC, its private subnets shared with the spokes."""
    parameters = {"Participants": ",".join(SPOKES), "NatGateways": str(nat_gateways)}
    stack = deploy.deploy(cloud, OWNER_TEMPLATE, stack="shared-vpc", account=HUB, region=REGION, parameters=parameters)
    subnets = tuple(stack.outputs["PrivateSubnets"].split(","))
    return Network(HUB, REGION, stack.outputs["VpcId"], subnets), stack


def dead_letters(cloud: Client, regions: Iterable[str] = (REGION,)) -> dict[str, int]:
    """How many messages wait in each dead-letter queue that is not empty."""
    queues = [(HUB, REGION, name) for name in HUB_DEAD_LETTERS]
    queues += [(account, region, SPOKE_DEAD_LETTERS) for account in (HUB, *SPOKES) for region in regions]
    found = {}
    for account, region, name in queues:
        sqs = Aws(cloud).client("sqs", account, region)
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
        if waiting := sum(map(int, counts.values())):
            found[f"{account}/{region}/{name}"] = waiting
    return found


def log_tail(cloud: Client, group: str = "/aws/lambda/groundcrew-endpoints", lines: int = 15) -> list[str]:
    """The last lines a function has logged itself, the keys that say most of them."""
    logs = Aws(cloud).client("logs", HUB, REGION)
    messages = [str(event["message"]).rstrip() for event in logs.filter_log_events(logGroupName=group)["events"]]
    own = [one for one in messages if not one.startswith(("START ", "END ", "REPORT ", '{"_aws"'))]
    return [_short(one) for one in own[-lines:]]


def _short(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:  # a traceback
        return line
    keys = ("environment", "status", "message", "action", "cause", "error", "reason", "remedy", "exception")
    return f"{entry['timestamp'][11:23]} {entry['level']} " + " | ".join(
        str(entry[key]) for key in keys if key in entry
    )

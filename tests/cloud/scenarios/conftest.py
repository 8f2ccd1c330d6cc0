import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud import deploy
from localcloud.__main__ import down, up
from localcloud.aws import Aws
from localcloud.client import Client
from localcloud.fleet import Environment
from localcloud.installation import (
    HUB,
    SPOKE_STACK,
    SPOKE_TEMPLATE,
    SPOKES,
    deploy_hub,
    deploy_shared_vpc,
    spoke_parameters,
)
from tests.cloud.scenarios.airflows import Fleet
from tests.cloud.scenarios.deployed import REGIONS, Deployed

HERE = Path(__file__).parent
LAST = "test_permissions.py"  # it judges what all the others have used


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker pays for the deployment, and runs these in this order."""
    mine = [item for item in items if HERE in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.xdist_group("deployed"))
    items.sort(key=lambda item: item.path == HERE / LAST)


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory = tmp_path_factory.mktemp("scenarios")
    cloud = up(directory)
    try:
        built = deploy.build(directory=directory / "build")
        deploy_hub(cloud, built, regions=REGIONS, look_again_seconds=1)
        _deploy_spokes(cloud)
        shared, _ = deploy_shared_vpc(cloud)
        aws = Aws(cloud)
        deployed = Deployed(cloud, aws, shared, _listen(aws))
        deployed.schedule("DISABLED")
        yield deployed
    finally:
        down(directory)


@pytest.fixture
def groundcrew(deployment: Deployed) -> Iterator[Deployed]:
    """The deployment, as quiet and as empty after the test as before it."""
    yield deployment
    deployment.cloud.clear_faults()
    deployment.clear()
    deployment.until_idle()
    assert deployment.undelivered() == {}


@pytest.fixture(scope="module")
def fleet(deployment: Deployed) -> Iterator[Fleet]:
    """Environments with a double of Airflow in each."""
    with Fleet.made(deployment) as fleet:
        yield fleet


@pytest.fixture(params=["v2", "v3"])
def environment(fleet: Fleet, request: pytest.FixtureRequest) -> Environment:
    """One with Airflow 2 and one with Airflow 3."""
    return fleet.v2 if request.param == "v2" else fleet.v3


def _deploy_spokes(cloud: Client) -> None:
    """As a StackSet does: the plain template, in every account and Region."""
    waiting = []
    for region in REGIONS:
        for account in (HUB, *SPOKES):
            formation = Aws(cloud).client("cloudformation", account, region)
            formation.create_stack(
                StackName=SPOKE_STACK,
                TemplateBody=SPOKE_TEMPLATE.read_text(),
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Parameters=[
                    {"ParameterKey": key, "ParameterValue": value} for key, value in spoke_parameters().items()
                ],
            )
            waiting.append(formation.get_waiter("stack_create_complete"))
    for waiter in waiting:
        waiter.wait(StackName=SPOKE_STACK, WaiterConfig={"Delay": 0.2, "MaxAttempts": 100})


def _listen(aws: Aws) -> str:
    """A queue behind a rule that takes every fact, as somebody's own notifications would."""
    sqs, events = aws.client("sqs", HUB), aws.client("events", HUB)
    url: str = sqs.create_queue(QueueName="facts")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = events.put_rule(Name="facts", EventBusName="groundcrew", EventPattern=json.dumps({"source": ["groundcrew"]}))
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule["RuleArn"]}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    events.put_targets(Rule="facts", EventBusName="groundcrew", Targets=[{"Id": "queue", "Arn": arn}])
    return url

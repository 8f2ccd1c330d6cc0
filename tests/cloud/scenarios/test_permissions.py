"""Least privilege, both ways: what is granted is used, and what is used is needed. Runs after all other scenarios."""

from collections import defaultdict
from pathlib import Path

import pytest

from localcloud.fleet import admissions
from localcloud.installation import HUB, REGION
from tests.cloud.scenarios.deployed import Deployed

HERE = Path(__file__).parent
# (role without its Region, statement, action) -> why it is granted although no scenario uses it, or not each time
REASONS = {
    (
        "groundcrew-network",
        "PrivateDns",
        "route53:AssociateVPCWithHostedZone",
    ): "EC2 asks for it when it makes an endpoint with private DNS; the local cloud's EC2 has no Route 53 behind it",
    **{
        (f"groundcrew-{role}", "UseTheKey", f"kms:{action}"): "S3 asks for it, for the bucket of exports is encrypted "
        "with this key; on the local cloud a bucket that CloudFormation makes is not"
        for role, actions in {
            "cleanup": ["Decrypt", "GenerateDataKey"],
            "cleanup-step": ["Decrypt", "GenerateDataKey"],
            "exports": ["Decrypt"],
            "exports-step": ["Decrypt", "GenerateDataKey"],
            "exports-verify": ["Decrypt", "GenerateDataKey"],
        }.items()
        for action in actions
    },
    **{
        (
            f"groundcrew-{role}",
            "UseTheBucketsKeys",
            f"kms:{action}",
        ): "S3 asks for it where a bucket has a key of its own; "
        "those of the environments with exports or a bound script have none in the scenarios"
        for role in ("binder", "shipper")
        for action in ("Decrypt", "GenerateDataKey")
    },
    **{
        (f"groundcrew-{role}", "Work", "sqs:ChangeMessageVisibility"): "a request that must wait, or be tried again, "
        "hides its message; no scenario makes one"
        for role in ("cleanup", "exports")
    },
    **{
        (
            f"groundcrew-{role}",
            "LookAtSubnets",
            "ec2:DescribeSubnets",
        ): "AWS's broader managed policy for functions in a VPC has it; the local cloud's Lambda asks for it "
        "if it is told to"
        for role in ("cleanup-step", "exports-step", "runs", "runs-follow")
    },
    **{
        (
            "groundcrew-network",
            "LookAtWhatItNames",
            f"ec2:Describe{what}",
        ): "the service authorization reference lists it under CreateVpcEndpoint; the local cloud's EC2 asks for it "
        "if it is told to"
        for what in ("SecurityGroups", "Subnets", "Vpcs")
    },
    (
        "groundcrew-observer",
        "ListAndDescribe",
        "ec2:DescribeVpcEndpointServices",
    ): "asked for where all subnets of an environment are dual-stack; those of the scenarios have IPv4 only",
    (
        "groundcrew-exports-verify",
        "AnnounceFacts",
        "events:PutEvents",
    ): "it announces an export that is not as it should be; every engine in the scenarios is right",
    (
        "groundcrew-exports-verify",
        "MissParts",
        "s3:ListBucket",
    ): "without it S3 says of a part that is missing that it is denied; no scenario loses one",
}


def test_every_permission_is_used_or_has_a_reason(groundcrew: Deployed, request: pytest.FixtureRequest) -> None:
    run = {item.path for item in request.session.items}
    if missing := [path.name for path in HERE.glob("test_*.py") if path not in run]:
        pytest.skip(f"judges all scenarios together; this run leaves out {', '.join(missing)}")
    used: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for grant in groundcrew.cloud.permissions():
        role = grant["role"].rsplit("/", 1)[-1]
        for region in ("-us-east-1", "-eu-west-3"):
            role = role.removesuffix(region)
        used[role, grant["sid"], grant["action"]] += grant["used"]
    unused = {grant for grant, uses in used.items() if not uses}
    assert unused <= set(REASONS)


def test_the_network_role_needs_its_right_to_admit(groundcrew: Deployed) -> None:
    action = "ec2:AuthorizeSecurityGroupIngress"
    with groundcrew.without(f"groundcrew-network-{REGION}", HUB, action):
        environment = groundcrew.environment()
        finding = groundcrew.until_fact("Endpoints Blocked", environment)["detail"]["findings"][0]
        assert action in finding["evidence"]
        assert groundcrew.denied(action, "groundcrew-network")
        groundcrew.until_idle()
        assert environment.status() == "PENDING"
        assert [admissions(group) for group in environment.groups()] == [set()]
    groundcrew.sweep()
    groundcrew.until_right(environment)


def test_the_observer_role_needs_its_right_to_list(groundcrew: Deployed) -> None:
    action = "airflow:ListEnvironments"
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environment = groundcrew.environment()
        groundcrew.until_status(environment, "PENDING")
        with groundcrew.without(f"groundcrew-observer-{REGION}", environment.account, action):
            swept = groundcrew.sweep()
            groundcrew.until_idle()
            assert (swept["environments"], swept["troubles"]) == (0, 1)
            assert action in groundcrew.until_fact("Environment Needs Attention")["detail"]["evidence"]
            assert environment.endpoints() == []
        groundcrew.sweep()
        groundcrew.until_right(environment)


def test_the_endpoints_function_needs_its_right_to_announce(groundcrew: Deployed) -> None:
    action = "events:PutEvents"
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    with groundcrew.without(f"groundcrew-endpoints-{REGION}", HUB, action):
        since = groundcrew.cloud.next_call()
        groundcrew.request(environment, dry_run=True)
        groundcrew.until(lambda: groundcrew.denied(action, "groundcrew-endpoints", since), "the refusal")
        groundcrew.until_idle()
        assert groundcrew.facts("Endpoints Planned", environment) == []
    groundcrew.request(environment, dry_run=True)
    groundcrew.until_fact("Endpoints Planned", environment)

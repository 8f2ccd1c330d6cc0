"""Every cause for which an environment's endpoints may have to wait is provoked, and the first diagnosis is right."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from localcloud.fleet import Environment, Network, make_network
from localcloud.installation import HUB, REGION
from localcloud.testing.served import unique
from tests.cloud.scenarios.deployed import OTHER, SPOKE, Deployed
from tests.support.figures import Figure

Provoked = AbstractContextManager[Environment]

OBSERVER, NETWORK = f"groundcrew-observer-{REGION}", f"groundcrew-network-{REGION}"
SQS = f"com.amazonaws.{REGION}.sqs"
MWAAS = "com.amazonaws.vpce.*"  # the services that MWAA publishes
EVERYBODY = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
NEVER = 1e9
HOUR = 3600.0


def their_endpoint(groundcrew: Deployed, network: Network, service: str, **changes: Any) -> None:
    """An endpoint that somebody else made, right unless ``changes`` say otherwise; ``admits``: its group's rules."""
    ec2 = groundcrew.aws.client("ec2", network.account)
    group = ec2.create_security_group(GroupName=unique("theirs"), Description="theirs", VpcId=network.vpc_id)["GroupId"]
    if admits := changes.pop("admits", EVERYBODY):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=admits)
    usual = {"VpcId": network.vpc_id, "SubnetIds": list(network.subnet_ids), "SecurityGroupIds": [group]}
    made = ec2.create_vpc_endpoint(VpcEndpointType="Interface", ServiceName=service, **(usual | changes))["VpcEndpoint"]

    def settled() -> bool:
        shown = ec2.describe_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])["VpcEndpoints"]
        return bool(shown[0]["State"] != "pending")

    groundcrew.until(settled, "their endpoint")


# ------------------------------------------------------------------------------------------------------------ provoked
def switched(mode: str = "PUBLIC_ONLY", **switches: Any) -> Callable[[Deployed], Provoked]:
    """AWS behaves otherwise, from before the environment needs its endpoints."""

    @contextmanager
    def provoke(groundcrew: Deployed) -> Iterator[Environment]:
        environment = groundcrew.environment(mode=mode)
        with groundcrew.switched(**switches):
            yield environment

    return provoke


@contextmanager
def wrong_account(groundcrew: Deployed) -> Iterator[Environment]:
    with groundcrew.switched(mwaa_services_offered_to="participant"):
        yield groundcrew.environment()


@contextmanager
def not_shared(groundcrew: Deployed) -> Iterator[Environment]:
    network = make_network(groundcrew.aws, HUB, REGION)
    groundcrew.cloud.share(network.subnet_ids, [SPOKE])
    environment = groundcrew.environment(SPOKE, network)
    with groundcrew.unshared(network, SPOKE):
        yield environment


def their_database_endpoint(**changes: Any) -> Callable[[Deployed], Provoked]:
    """Somebody was faster, and made it wrong."""

    @contextmanager
    def provoke(groundcrew: Deployed) -> Iterator[Environment]:
        network = make_network(groundcrew.aws, SPOKE, REGION)
        with groundcrew.switched(mwaa_event_delivery="drop"):
            environment = groundcrew.environment(SPOKE, network, mode="PUBLIC_ONLY")
            groundcrew.until_status(environment, "PENDING")
        subnets = list(network.subnet_ids[: changes.get("subnets", 2)])
        service = environment.describe()["DatabaseVpcEndpointService"]
        their_endpoint(groundcrew, network, service, SubnetIds=subnets, admits=changes.get("admits", EVERYBODY))
        groundcrew.request(environment)
        yield environment

    return provoke


@contextmanager
def conflicting_name(groundcrew: Deployed) -> Iterator[Environment]:
    """Somebody's SQS endpoint serves nobody, and still has the name."""
    closed = make_network(groundcrew.aws, SPOKE, REGION, way_out=False)
    with groundcrew.switched(vpce_outcomes={SQS: "failed"}), groundcrew.policy(sqs="create") as policy:
        their_endpoint(groundcrew, closed, SQS)
        yield groundcrew.environment(SPOKE, closed, mode="PUBLIC_ONLY", tags={"groundcrew:endpoints": policy})


@contextmanager
def no_way_out(groundcrew: Deployed) -> Iterator[Environment]:
    yield groundcrew.environment(SPOKE, make_network(groundcrew.aws, SPOKE, REGION, way_out=False))


def sqs_policy(effect: str, resource: str) -> Callable[[Deployed], Provoked]:
    """Somebody's SQS endpoint captures the VPC's calls."""

    @contextmanager
    def provoke(groundcrew: Deployed) -> Iterator[Environment]:
        network = make_network(groundcrew.aws, SPOKE, REGION)
        statement = {"Effect": effect, "Principal": "*", "Action": "sqs:*", "Resource": resource}
        their_endpoint(groundcrew, network, SQS, PolicyDocument=json.dumps({"Statement": [statement]}))
        yield groundcrew.environment(SPOKE, network, mode="PUBLIC_ONLY")

    return provoke


@contextmanager
def missing_role(groundcrew: Deployed) -> Iterator[Environment]:
    with groundcrew.missing(OBSERVER, OTHER):
        yield groundcrew.environment(OTHER)


def untrusted(role: str, account: str) -> Callable[[Deployed], Provoked]:
    """A spoke role does not trust the hub."""

    @contextmanager
    def provoke(groundcrew: Deployed) -> Iterator[Environment]:
        with groundcrew.distrusted(role, account):
            yield groundcrew.environment(OTHER)

    return provoke


def denied_by_scp(role: str, action: str) -> Callable[[Deployed], Provoked]:
    """An organization's policy denies a call."""

    @contextmanager
    def provoke(groundcrew: Deployed) -> Iterator[Environment]:
        groundcrew.cloud.add_fault(role=role, action=action, kind="denied by scp", times=99)
        yield groundcrew.environment()
        assert groundcrew.cloud.faults()[0]["fired"]
        groundcrew.cloud.clear_faults()

    return provoke


AT_ONCE: dict[str, tuple[Callable[[Deployed], Provoked], str]] = {
    "services offered to another account": (wrong_account, "InvalidServiceName"),
    "subnets not shared any more": (not_shared, "SubnetsNotShared"),
    "somebody's endpoint in other subnets": (their_database_endpoint(subnets=1), "WrongSubnets"),
    "somebody's endpoint behind a closed group": (their_database_endpoint(admits=[]), "GroupDoesNotAdmit"),
    "endpoint pendingAcceptance": (switched(vpce_outcomes={MWAAS: "pendingAcceptance"}), "EndpointNotAccepted"),
    "endpoint failed": (switched(vpce_outcomes={MWAAS: "failed"}), "EndpointRejected"),
    "endpoint rejected": (switched(vpce_outcomes={MWAAS: "rejected"}), "EndpointRejected"),
    "endpoint expired": (switched(vpce_outcomes={MWAAS: "expired"}), "EndpointRejected"),
    "quota of endpoints": (switched(quota_interface_endpoints_per_vpc=0), "VpcEndpointLimitExceeded"),
    "quota of groups": (switched(quota_security_groups_per_region=0), "SecurityGroupLimitExceeded"),
    "quota of rules": (switched(quota_rules_per_security_group=0), "RulesPerSecurityGroupLimitExceeded"),
    "private DNS conflict": (conflicting_name, "PrivateDnsConflict"),
    "no route to SQS": (no_way_out, "NoWayToQueue"),
    "SQS policy without the queue": (sqs_policy("Allow", f"arn:aws:sqs:{REGION}:{HUB}:billing"), "QueueNotAdmitted"),
    "SQS policy against the queue": (sqs_policy("Deny", "*"), "QueueDenied"),
    "missing spoke role": (missing_role, "SpokeRoleUnavailable"),
    "untrusted observer role": (untrusted(OBSERVER, OTHER), "SpokeRoleUnavailable"),
    "untrusted network role": (untrusted(NETWORK, HUB), "SpokeRoleUnavailable"),
    "SCP against a change": (denied_by_scp("groundcrew-network", "ec2:CreateVpcEndpoint"), "DeniedByOrganization"),
    "SCP against a look": (denied_by_scp("groundcrew-observer", "airflow:GetEnvironment"), "DeniedByOrganization"),
    "SCP against a role": (denied_by_scp("groundcrew-endpoints", "sts:AssumeRole"), "DeniedByOrganization"),
}


@pytest.mark.parametrize("cause", AT_ONCE)
def test_the_first_diagnosis_is_right(groundcrew: Deployed, figure: Figure, cause: str) -> None:
    provoke, expected = AT_ONCE[cause]
    with provoke(groundcrew) as environment:
        groundcrew.until_fact("Endpoints Blocked", environment)
        detail = groundcrew.facts("Endpoints Blocked", environment)[0]["detail"]
        groundcrew.until_idle()
    first = detail["findings"][0]
    figure(f"cause: {cause}; verdict: {first['cause']}", 1)
    assert (first["cause"], detail["severity"]) == (expected, "blocked")
    assert first["evidence"]
    assert first["remedy"]
    assert expected not in detail["ruled_out"]


def test_a_web_server_without_a_service_is_the_diagnosis_after_four_hours(groundcrew: Deployed, figure: Figure) -> None:
    with groundcrew.switched(mwaa_webserver_service_delay_seconds=NEVER):
        environment = groundcrew.environment()
        groundcrew.until_status(environment, "PENDING")
        groundcrew.until_idle()
        assert groundcrew.facts("Endpoints Blocked", environment) == []
        groundcrew.cloud.advance(4 * HOUR, step=900)
        groundcrew.sweep()
        detail = groundcrew.until_fact("Endpoints Blocked", environment)["detail"]
        groundcrew.until_idle()
    (finding,) = detail["findings"]
    figure(f"cause: web server's service missing for 4 h; verdict: {finding['cause']}", 1)
    assert (finding["cause"], detail["severity"]) == ("WebserverServiceMissing", "late")


def test_an_endpoint_that_fails_is_made_again_by_each_sweep_once(groundcrew: Deployed) -> None:
    def replaced() -> int:
        return groundcrew.calls(environment).count("ec2:DeleteVpcEndpoints")

    with groundcrew.switched(vpce_outcomes={MWAAS: "rejected"}):
        environment = groundcrew.environment(mode="PUBLIC_ONLY")
        groundcrew.until_fact("Endpoints Blocked", environment)
        groundcrew.until_idle()
        before = replaced()  # by each of its events that was still worked on
        groundcrew.cloud.advance(600)
        groundcrew.sweep()
        groundcrew.until(lambda: replaced() > before, "another try")
        groundcrew.until_idle()
        assert replaced() == before + 1
        groundcrew.cloud.advance(60)
    groundcrew.sweep()
    groundcrew.until_right(environment)


def test_silent_for_healthy_environments(groundcrew: Deployed, figure: Figure) -> None:
    own = make_network(groundcrew.aws, SPOKE, REGION)
    environments = {
        "private": groundcrew.environment(),
        "public": groundcrew.environment(OTHER, mode="PUBLIC_ONLY"),
        "in a VPC of its own account": groundcrew.environment(SPOKE, own),
    }
    for environment in environments.values():
        groundcrew.until_right(environment)
    by_mwaa = groundcrew.environment(SPOKE, own, management="SERVICE")
    groundcrew.until_status(by_mwaa, "AVAILABLE")
    groundcrew.sweep()
    groundcrew.until_idle()
    for kind, environment in {**environments, "managed by MWAA itself (SERVICE)": by_mwaa}.items():
        assert groundcrew.facts("Endpoints Blocked", environment) == []
        figure(f"cause: none, {kind}; verdict: silent", 1)
    assert by_mwaa.endpoints() == by_mwaa.groups() == []

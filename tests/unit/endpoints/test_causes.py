"""What AWS refuses is announced once, with its cause and what to do about it."""

import pytest

from endpoints.causes import explained
from groundcrew.errors import PermanentError
from localcloud.inprocess.faults import Kind
from tests.faults.scenarios import managed_sqs
from tests.support.stage import DEFAULT_POLICY, HUB, SPOKE, Stage, status_event


def _blocked(stage: Stage) -> tuple[str, str]:
    """The first finding of the one announcement."""
    (detail,) = stage.announced("Endpoints Blocked")
    return detail["findings"][0]["cause"], detail["findings"][0]["remedy"]


def test_a_quota_of_endpoints(stage: Stage) -> None:
    stage.aws.switches["quota.interface_endpoints_per_vpc"] = 0
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    assert stage.work(status_event(environment)) == 1
    assert _blocked(stage) == (
        "VpcEndpointLimitExceeded",
        "Raise the quota of interface endpoints per VPC, or delete some of that VPC's.",
    )
    assert stage.causes() == ["VpcEndpointLimitExceeded"] * 2  # one refusal does not stop the other endpoint


def test_an_endpoint_that_is_refused_does_not_stop_the_other(stage: Stage) -> None:
    stage.aws.switches["quota.interface_endpoints_per_vpc"] = 1
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.work(status_event(environment))
    assert len(stage.aws.endpoints()) == 1


@pytest.mark.parametrize("operation", ["CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "CreateVpcEndpoint"])
def test_without_the_way_to_the_queue_that_is_to_be_made_nothing_else_is(stage: Stage, operation: str) -> None:
    stage.aws.parameters[DEFAULT_POLICY] = '{"sqs": "create"}'
    environment = stage.environment(stage.vpc(HUB, SPOKE, way_out=False)[1])
    stage.aws.faults.add(Kind.DENIED, f"ec2:{operation}", nth=None)
    stage.work(status_event(environment))
    assert stage.aws.endpoints() == []
    assert set(stage.causes()) == {"UnauthorizedOperation"}


def test_a_queue_that_cannot_be_withdrawn_keeps_nothing_else_from_going(stage: Stage) -> None:
    """The endpoints cost money and hold the environment's groups; a queue of nobody's in a policy does neither."""
    environment = stage.running(managed_sqs(stage), access="PUBLIC_ONLY")
    stage.delete(environment)
    stage.aws.faults.add(Kind.DENIED, "ec2:ModifyVpcEndpoint")
    changes = stage.changes(lambda: stage.work(status_event(environment, "DELETED")))
    assert changes[:2] == ["ec2:RevokeSecurityGroupIngress", "ec2:DeleteVpcEndpoints"]
    assert _blocked(stage)
    stage.heal()
    assert stage.ours() == []


def test_a_service_control_policy() -> None:
    found = explained(PermanentError("x: AccessDenied: with an explicit deny in a service control policy", cause="x"))
    assert found.cause == "DeniedByOrganization"


def test_a_name_that_the_vpc_resolves_privately_already() -> None:
    what = "x: InvalidParameter: private-dns-enabled cannot be set: conflicting DNS domain for sqs"
    assert explained(PermanentError(what, cause="InvalidParameter")).cause == "PrivateDnsConflict"


@pytest.mark.parametrize(
    ("quota", "cause"),
    [
        ("quota.security_groups_per_region", "SecurityGroupLimitExceeded"),
        ("quota.rules_per_security_group", "RulesPerSecurityGroupLimitExceeded"),
    ],
)
def test_a_quota_of_groups(stage: Stage, quota: str, cause: str) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.aws.switches[quota] = 0
    stage.work(status_event(environment))
    assert _blocked(stage)[0] == cause


def test_subnets_that_are_not_shared_any_more(stage: Stage) -> None:
    _, subnets = stage.vpc(HUB, SPOKE)
    environment = stage.environment(subnets)
    stage.aws.cloud.shares.clear()
    stage.work(status_event(environment))
    cause, remedy = _blocked(stage)
    assert cause == "SubnetsNotShared"
    assert "Resource Access Manager" in remedy


def test_subnets_of_two_vpcs(stage: Stage) -> None:
    _, subnets = stage.vpc(HUB, SPOKE)
    environment = stage.environment(subnets)
    environment.settings["NetworkConfiguration"]["SubnetIds"] = [subnets[0], stage.vpc(HUB, SPOKE)[1][1]]
    stage.work(status_event(environment))
    assert _blocked(stage)[0] == "SubnetsDiffer"


def test_a_service_that_the_owner_cannot_see(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    assert environment.database_service is not None
    stage.aws.ec2.services.withdraw(environment.database_service)
    stage.work(status_event(environment))
    assert _blocked(stage)[0] == "InvalidServiceName"


def test_a_denied_change(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.aws.faults.add(Kind.DENIED, "ec2:CreateVpcEndpoint", nth=None)
    assert stage.work(status_event(environment)) == 2  # at first, IAM may not know the new group's tags
    assert "service control policy" in _blocked(stage)[1]


def test_no_way_to_the_queue(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE, way_out=False)[1])
    stage.work(status_event(environment))
    assert set(stage.causes()) == {"NoWayToQueue"}
    assert len(stage.ours()) == 3  # what can be done is done


def test_an_endpoint_that_fails_is_made_again(stage: Stage) -> None:
    stage.aws.switches["vpce.outcomes"] = {"*": "failed"}
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1], access="PUBLIC_ONLY")
    stage.deliver(status_event(environment))
    stage.pass_time(30)
    stage.aws.switches["vpce.outcomes"] = {}
    stage.work(status_event(environment))
    stage.pass_time(60)
    assert environment.status == "AVAILABLE"
    assert len(stage.ours()) == 2


def test_a_message_nobody_can_understand_leaves_the_queue_with_one_line(stage: Stage) -> None:
    for body in ("", "{", "[]", "null", '{"detail": 1}', '"text"'):
        stage.log.truncate(0)
        assert stage.deliver(body)
        assert stage.log.getvalue().count("\n") == 1
    assert stage.facts() == []

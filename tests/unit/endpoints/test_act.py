"""Carrying a plan out: what is refused stops only what depends on it, and every action may be repeated."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from endpoints import act
from endpoints.plan import (
    NEW_GROUP,
    Action,
    Admit,
    AdmitVpc,
    CorrectEndpoint,
    CreateEndpoint,
    CreateGroup,
    DeleteEndpoints,
    DeleteGroup,
    Plan,
    Revoke,
    SetPolicy,
    SetTags,
)
from groundcrew.aws.network import Network, ObservedNetwork
from groundcrew.errors import AccessDenied, NotFound, PermanentError, TransientError
from groundcrew.network import Admission, AdmittedRange, VpcEndpoint
from localcloud.inprocess.faults import Kind
from localcloud.model.errors import AwsError
from tests.faults.scenarios import ELSEWHERE, managed_sqs
from tests.support.endpoints.stories import DATABASE, HUB, MINE, REF, SPOKE, SQS, VPC
from tests.support.stage import DEFAULT_POLICY, Stage, status_event

MADE = VpcEndpoint("vpce-1", DATABASE, "pending", VPC)
GROUP = CreateGroup("r", "groundcrew-data", "d", VPC, {})
ADMIT = Admit("r", NEW_GROUP, frozenset({Admission(SPOKE, "sg-env")}))
ENDPOINT = CreateEndpoint("r", "database", DATABASE, VPC, ("subnet-a",), NEW_GROUP, None, MINE)
SQS_GROUP = replace(GROUP, name="groundcrew-sqs-vpc-1", tags={"groundcrew:purpose": "sqs"})
SQS_ENDPOINT = replace(ENDPOINT, purpose="sqs", service=SQS, private_dns=True)


@pytest.fixture
def network() -> mock.Mock:
    """A network that does everything."""
    made: mock.Mock = mock.create_autospec(Network, instance=True)
    made.create_group.return_value = "sg-new"
    made.create_endpoint.return_value = MADE
    return made


def carry_out(network: mock.Mock, *actions: Action) -> list[PermanentError]:
    observed = mock.create_autospec(ObservedNetwork, instance=True)
    return act.carry_out(Plan(REF, HUB, "r", actions), network, observed)


def done(network: mock.Mock) -> list[str]:
    return [call[0] for call in network.method_calls]


@contextmanager
def answering(stage: Stage, operation: str, error: AwsError, service: str = "") -> Iterator[list[object]]:
    """EC2 answers calls of an operation (for a service) with an error; yields those calls."""
    call, struck = stage.aws.ec2.call, list[object]()

    def answer(name: str, caller: Any, params: dict[str, Any]) -> Any:
        if name == operation and params.get("ServiceName", "").endswith(service):
            struck.append(params)
            raise error
        return call(name, caller, params)

    with mock.patch.object(stage.aws.ec2, "call", answer):
        yield struck


# ------------------------------------------------------------------------------------------------------ what is refused
def test_without_its_group_nothing_is_made_and_what_needs_none_is_done(network: mock.Mock) -> None:
    network.create_group.side_effect = AccessDenied("no", cause="UnauthorizedOperation")
    (refused,) = carry_out(network, GROUP, ADMIT, ENDPOINT, DeleteEndpoints("r", ("vpce-old",)))
    assert refused.cause == "UnauthorizedOperation"
    assert done(network) == ["create_group", "delete_endpoints"]


def test_the_group_of_the_queues_endpoint_does_not_serve_for_the_environments(network: mock.Mock) -> None:
    network.create_group.side_effect = ["sg-sqs", PermanentError("full", cause="SecurityGroupLimitExceeded")]
    (refused,) = carry_out(network, SQS_GROUP, SQS_ENDPOINT, GROUP, ADMIT, ENDPOINT)
    assert refused.remedy == "Raise the quota of security groups per Region, or delete some."
    assert done(network) == ["create_group", "create_endpoint", "create_group"]


def test_without_the_way_to_the_queue_only_the_endpoints_wait(network: mock.Mock) -> None:
    network.create_endpoint.side_effect = PermanentError("full", cause="VpcEndpointLimitExceeded")
    deletion = DeleteEndpoints("r", ("vpce-failed",))
    assert len(carry_out(network, SQS_GROUP, SQS_ENDPOINT, GROUP, ADMIT, ENDPOINT, deletion)) == 1
    assert done(network) == ["create_group", "create_endpoint", "create_group", "admit", "delete_endpoints"]


def test_an_sqs_endpoint_refused_for_the_name_resolves_already_does_not_stop_the_database(stage: Stage) -> None:
    """A private hosted zone of the VPC's owner leads to SQS: that is a way to the queue."""
    stage.aws.parameters[DEFAULT_POLICY] = '{"sqs": "create"}'
    environment = stage.environment(stage.vpc(HUB, SPOKE, way_out=False)[1])
    error = AwsError("InvalidParameter", "private-dns-enabled cannot be set: conflicting DNS domain for sqs")
    with answering(stage, "CreateVpcEndpoint", error, ".sqs") as struck:
        assert stage.work(status_event(environment)) == 1
    assert len(struck) == 1
    assert stage.causes() == ["PrivateDnsConflict"]
    stage.pass_time(5)
    assert environment.status == "AVAILABLE"


def test_a_database_endpoint_that_is_refused_does_not_stop_the_webserver(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    assert environment.database_service is not None
    error = AwsError("InvalidServiceName", "The Vpc Endpoint Service does not exist")
    with answering(stage, "CreateVpcEndpoint", error, environment.database_service):
        stage.work(status_event(environment))
    assert [endpoint.service for endpoint in stage.aws.endpoints()] == [environment.webserver_service]
    assert stage.causes() == ["InvalidServiceName"]
    stage.heal()
    stage.pass_time(60)
    assert environment.status == "AVAILABLE"


# ---------------------------------------------------------------------------------------------------- what is not known
def test_a_new_group_that_ec2_does_not_know_yet_is_tried_again(stage: Stage) -> None:
    """https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html"""
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    for operation in ("AuthorizeSecurityGroupIngress", "CreateVpcEndpoint"):
        with answering(stage, operation, AwsError("InvalidGroup.NotFound", "The group does not exist")) as struck:
            assert not stage.deliver(status_event(environment))
        assert len(struck) == 1
    assert stage.announced("Endpoints Blocked") == []
    stage.work(status_event(environment))
    stage.pass_time(5)
    assert environment.status == "AVAILABLE"
    assert stage.ours() == ["data-database", "data-webserver", "groundcrew-data-abe42c81"]


def test_the_first_call_on_a_new_group_may_be_refused(stage: Stage) -> None:
    stage.aws.switches["ec2.first_call_untagged_seconds"] = 60.0
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    assert not stage.deliver(status_event(environment))
    assert stage.announced("Endpoints Blocked") == []
    stage.work(status_event(environment))
    stage.pass_time(5)
    assert environment.status == "AVAILABLE"
    assert stage.causes() == []
    assert stage.ours() == ["data-database", "data-webserver", "groundcrew-data-abe42c81"]


@pytest.mark.parametrize("operation", ["AuthorizeSecurityGroupIngress", "CreateVpcEndpoint"])
def test_a_refusal_that_lasts_is_announced_at_the_next_try(stage: Stage, operation: str) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    with answering(stage, operation, AwsError("UnauthorizedOperation", "You are not authorized", 403)):
        assert not stage.deliver(status_event(environment))
        assert stage.announced("Endpoints Blocked") == []
        assert stage.deliver(status_event(environment), received=2)
    assert set(stage.causes()) == {"UnauthorizedOperation"}


@pytest.mark.parametrize(
    ("change", "operation"),
    [("subnets", "ModifyVpcEndpoint"), ("tags", "CreateTags"), ("service", "DeleteVpcEndpoints")],
)
def test_the_first_change_of_a_new_endpoint_may_be_refused(stage: Stage, change: str, operation: str) -> None:
    _, subnets = stage.vpc(HUB, SPOKE)
    environment = stage.running(subnets)
    endpoint = next(one for one in stage.aws.endpoints() if one.service == environment.webserver_service)
    match change:
        case "subnets":
            endpoint.subnets.pop()
        case "tags":
            del endpoint.tags["groundcrew:queue"]
        case "service":
            endpoint.outcome = "failed"
    stage.aws.switches["ec2.first_call_untagged_seconds"] = 120.0
    with mock.patch.object(act, "time", SimpleNamespace(time=stage.aws.clock.now)):
        stage.work(status_event(environment))
        stage.heal()
    assert [call.error for call in stage.aws.calls(f"ec2:{operation}")][:2] == ["UnauthorizedOperation", None]
    assert "UnauthorizedOperation" not in stage.causes()


@pytest.mark.parametrize(
    ("action", "age", "new"),
    [
        (CorrectEndpoint("r", "vpce-1", ("subnet-a",)), 0, True),
        (CorrectEndpoint("r", "vpce-1", ("subnet-a",)), act.NEW_SECONDS, False),
        (SetTags("r", ("vpce-0", "vpce-1"), MINE), 10, True),
        (SetTags("r", ("vpce-1",), MINE), -10, True),  # AWS's clock is ahead
        (SetTags("r", ("vpce-0",), MINE), 10, False),
        (SetPolicy("r", "vpce-1", "{}", "{}"), 10, True),
        (DeleteEndpoints("r", ("vpce-1",)), 10, True),
        (DeleteEndpoints("r", ("vpce-1",)), 1_000, False),
        (DeleteGroup("r", "sg-1"), 0, False),
        (GROUP, 0, False),
        (ADMIT, 0, True),
        (replace(ADMIT, group_id="sg-1"), 0, False),
        (ENDPOINT, 0, True),
        (AdmitVpc("r", NEW_GROUP, VPC, 443), 0, True),
        (Revoke("r", "sg-1", ADMIT.admissions), 0, False),
    ],
)
def test_what_is_new_is_what_this_run_made_or_ec2_made_within_minutes(action: Action, age: float, new: bool) -> None:
    created = {"vpce-1": datetime(2026, 12, 1, tzinfo=UTC)}
    assert act.names_something_new(action, created, created["vpce-1"].timestamp() + age, made_now=True) is new


def test_a_group_that_was_there_already_is_not_new() -> None:
    assert not act.names_something_new(ADMIT, {}, 0, made_now=False)


def test_another_refusal_on_something_new_is_announced_at_once(network: mock.Mock) -> None:
    network.admit.side_effect = PermanentError("full", cause="RulesPerSecurityGroupLimitExceeded")
    (refused,) = carry_out(network, GROUP, ADMIT)
    assert refused.cause == "RulesPerSecurityGroupLimitExceeded"


def test_a_participants_groups_that_cannot_be_named_are_admitted_by_their_subnets(stage: Stage) -> None:
    stage.aws.switches["sg.cross_account_reference"] = "never"
    stage.aws.switches["mwaa.resuming_seconds"] = 120.0
    _, subnets = stage.vpc(HUB, SPOKE)
    environment = stage.environment(subnets)
    stage.work(status_event(environment))
    stage.pass_time(120)
    assert environment.status == "AVAILABLE"
    assert stage.causes() == []
    (ready,) = stage.announced("Endpoints Ready")
    assert "10.0.0.0/24, 10.0.1.0/24" in ready["notes"][0]
    (group,) = [group for group in stage.aws.groups(HUB) if group.name.startswith("groundcrew-")]
    rules = [(rule.protocol, rule.source) for rule in group.rules if not rule.egress]
    assert sorted(rules) == [("-1", "10.0.0.0/24"), ("-1", "10.0.1.0/24")]
    tried = len(stage.aws.calls("ec2:AuthorizeSecurityGroupIngress"))
    for reference in ("never", "shared-vpc"):
        stage.aws.switches["sg.cross_account_reference"] = reference
        assert stage.changes(stage.heal) == []
    assert len(stage.aws.calls("ec2:AuthorizeSecurityGroupIngress")) == tried
    stage.delete(environment)
    stage.heal()
    assert stage.ours() == []


def test_an_admission_in_part_is_completed(stage: Stage) -> None:
    stage.aws.switches["sg.cross_account_reference"] = "never"
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    assert not stage.deliver(status_event(environment))
    # The first call names the groups and is refused, the second one admits a subnet.
    stage.aws.faults.add(Kind.THROTTLED, "ec2:AuthorizeSecurityGroupIngress", nth=3)
    assert not stage.deliver(status_event(environment), received=2)
    stage.work(status_event(environment))
    stage.pass_time(5)
    assert environment.status == "AVAILABLE"


def test_an_owners_group_that_is_gone_meanwhile_is_no_reason_to_admit_ranges(network: mock.Mock) -> None:
    network.admit.side_effect = NotFound("gone", cause="InvalidGroup.NotFound")
    network.admit_ranges.side_effect = NotFound("gone", cause="InvalidGroup.NotFound")
    ranges = frozenset({AdmittedRange("10.0.0.0/24")})
    with pytest.raises(TransientError):
        carry_out(network, replace(ADMIT, group_id="sg-1", instead=ranges))
    network.admit_ranges.reset_mock()
    with pytest.raises(TransientError):
        carry_out(network, GROUP, replace(ADMIT, instead=ranges))
    assert done(network).count("admit_ranges") == 1


def test_what_is_gone_meanwhile_makes_the_plan_anew(network: mock.Mock) -> None:
    network.admit.side_effect = NotFound("gone", cause="InvalidGroup.NotFound")
    with pytest.raises(TransientError) as caught:
        carry_out(network, GROUP, ADMIT, ENDPOINT)
    assert caught.value.cause == "InvalidGroup.NotFound"
    assert done(network) == ["create_group", "admit"]


def test_a_policy_that_its_owner_changes_meanwhile_is_not_overwritten(stage: Stage) -> None:
    environment = stage.environment(managed_sqs(stage), access="PUBLIC_ONLY")
    (endpoint,) = stage.aws.endpoints()
    call = stage.aws.ec2.call

    def changed_in_between(name: str, caller: Any, params: dict[str, Any]) -> Any:
        if params.get("VpcEndpointIds"):  # the look just before the write
            endpoint.policy = endpoint.policy.replace(ELSEWHERE, ELSEWHERE + "-2")
        return call(name, caller, params)

    with mock.patch.object(stage.aws.ec2, "call", changed_in_between):
        assert not stage.deliver(status_event(environment))
    assert "PolicyChanged" in stage.log.getvalue()
    assert stage.announced("Endpoints Blocked") == []
    assert environment.queue not in endpoint.policy
    stage.work(status_event(environment))
    assert environment.queue in endpoint.policy
    assert ELSEWHERE + "-2" in endpoint.policy


# --------------------------------------------------------------------------------------------------- the client's token
def tokens(network: mock.Mock, *actions: Action, hour: float = 0) -> list[str]:
    network.create_endpoint.reset_mock()
    with mock.patch.object(act, "time", SimpleNamespace(time=lambda: hour * 3600)):
        carry_out(network, GROUP, *actions)
    return [call.args[0]["ClientToken"] for call in network.create_endpoint.call_args_list]


def test_the_token_is_made_of_what_is_asked_for(network: mock.Mock) -> None:
    (token,) = tokens(network, ENDPOINT)
    assert tokens(network, ENDPOINT, hour=0.99) == [token]
    others = [
        replace(ENDPOINT, service=SQS),
        replace(ENDPOINT, subnet_ids=("subnet-b",)),
        replace(ENDPOINT, group_id="sg-other"),
        replace(ENDPOINT, private_dns=True),
        replace(ENDPOINT, tags=MINE | {"groundcrew:queue": "another"}),
    ]
    assert len({token, *(tokens(network, other)[0] for other in others)}) == 1 + len(others)


def test_the_token_of_the_next_hour_is_another(network: mock.Mock) -> None:
    assert tokens(network, ENDPOINT) != tokens(network, ENDPOINT, hour=1)


def test_an_endpoint_that_is_gone_gives_the_next_token(network: mock.Mock) -> None:
    network.create_endpoint.side_effect = [replace(MADE, state="deleting"), replace(MADE, id="vpce-2")]
    first, second = tokens(network, ENDPOINT)
    network.create_endpoint.side_effect = [replace(MADE, id="vpce-3", state="deleted"), MADE]
    again, third = tokens(network, ENDPOINT)
    assert (first, len({first, second, third})) == (again, 3)


# -------------------------------------------------------------------------------------------------------------- figures
def test_what_was_made_and_deleted_is_counted_and_what_was_refused_is_not(network: mock.Mock) -> None:
    network.create_endpoint.side_effect = [MADE, PermanentError("full")]
    with mock.patch.object(act, "count") as count:
        carry_out(network, GROUP, ADMIT, ENDPOINT, ENDPOINT, DeleteEndpoints("r", ("vpce-1", "vpce-2")))
    assert count.call_args_list == [mock.call("EndpointsCreated"), mock.call("EndpointsDeleted", 2)]

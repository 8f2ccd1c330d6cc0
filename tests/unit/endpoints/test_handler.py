"""The worker, from an event to what is there afterwards."""

import json

import pytest

from endpoints.sqs_policy import admits
from localcloud.inprocess.faults import Kind
from tests.faults.scenarios import managed_sqs
from tests.support.stage import DEFAULT_POLICY, HUB, SPOKE, SPOKE2, STACK_TAG, Stage, request, status_event

GROUP = "groundcrew-data-abe42c81"
PRIVATE = ["data-database", "data-webserver", GROUP]
PUBLIC = ["data-database", GROUP]


@pytest.mark.parametrize("access", ["PRIVATE_ONLY", "PUBLIC_ONLY", "PUBLIC_AND_PRIVATE"])
@pytest.mark.parametrize(
    ("owner", "account"),
    [
        pytest.param(HUB, SPOKE, id="in the hub's shared VPC"),
        pytest.param(SPOKE, SPOKE, id="in its own VPC"),
        pytest.param(SPOKE2, SPOKE, id="in another spoke's VPC"),
        pytest.param(HUB, HUB, id="in the hub"),
    ],
)
def test_a_waiting_environment_becomes_available(stage: Stage, owner: str, account: str, access: str) -> None:
    _, subnets = stage.vpc(owner, account)
    environment = stage.environment(subnets, account, access=access)
    assert environment.status == "PENDING"
    stage.work(status_event(environment))
    stage.pass_time(5)
    assert environment.status == "AVAILABLE"
    mine = [
        endpoint for endpoint in stage.aws.endpoints() if endpoint.tags["groundcrew:environment"] == environment.arn
    ]
    assert {endpoint.owner for endpoint in mine} == {owner}
    assert all(set(endpoint.subnets) == set(subnets) for endpoint in mine)
    assert len(mine) == (1 if access == "PUBLIC_ONLY" else 2)


def test_ready_is_announced_with_the_endpoints(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.deliver(status_event(environment))
    stage.aws.switches["mwaa.wrong_endpoints"] = "pending"
    stage.aws.cloud.clock.offset += 5  # the endpoints are there, MWAA has not looked yet
    stage.deliver(status_event(environment))
    (ready,) = stage.announced("Endpoints Ready")
    assert ready["endpoints"] == {e.tags["groundcrew:purpose"]: e.endpoint_id for e in stage.aws.endpoints()}


def test_a_late_webserver_service_is_waited_for(stage: Stage) -> None:
    stage.aws.switches["mwaa.webserver_service_delay_seconds"] = 100
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    assert environment.webserver_service is None
    assert stage.work(status_event(environment)) > 2
    stage.pass_time(5)
    assert (environment.status, stage.ours()) == ("AVAILABLE", PRIVATE)


def test_states_in_the_other_spelling_are_the_same(stage: Stage) -> None:
    stage.aws.switches["vpce.state_case"] = "UpperCamel"
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.work(status_event(environment))
    stage.pass_time(5)
    assert stage.changes(lambda: stage.work(status_event(environment))) == []


# -------------------------------------------------------------------------------------------------------------- removal
def test_what_was_made_goes_when_the_environment_is_deleted(stage: Stage) -> None:
    _, subnets = stage.vpc(HUB, SPOKE)
    environment = stage.running(subnets)
    stage.delete(environment)
    assert stage.ours() == PRIVATE
    stage.work(status_event(environment, "DELETED"))
    assert stage.ours() == []


def test_the_participants_groups_can_be_deleted_at_once(stage: Stage) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    stage.delete(environment)
    stage.deliver(status_event(environment, "DELETED"))
    stage.aws.ec2.call("DeleteSecurityGroup", stage.spoke(), {"GroupId": environment.groups[0]})


def test_an_environment_that_is_only_about_to_go_keeps_its_endpoints(stage: Stage) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    stage.aws.delete_environment(environment)
    assert stage.changes(lambda: stage.work(status_event(environment))) == []
    assert stage.ours() == PRIVATE


def test_the_same_name_created_again_gets_other_endpoints(stage: Stage) -> None:
    _, subnets = stage.vpc(HUB, SPOKE)
    old = stage.running(subnets)
    former = {endpoint.endpoint_id for endpoint in stage.aws.endpoints()}
    stage.delete(old)
    environment = stage.environment(subnets)
    stage.work(status_event(environment))
    stage.pass_time(5)
    assert (environment.status, stage.ours()) == ("AVAILABLE", PRIVATE)
    assert not former & {endpoint.endpoint_id for endpoint in stage.aws.endpoints()}


@pytest.mark.parametrize("owner", [HUB, SPOKE])
def test_the_same_name_created_again_in_another_vpc_leaves_nothing_in_the_former(stage: Stage, owner: str) -> None:
    former, subnets = stage.vpc(HUB, SPOKE)
    stage.delete(stage.running(subnets))
    _, subnets = stage.vpc(owner, SPOKE)
    environment = stage.environment(subnets)
    stage.work(status_event(environment))
    stage.heal()
    assert (environment.status, stage.ours()) == ("AVAILABLE", PRIVATE)
    assert stage.aws.endpoints(former) == []


# ------------------------------------------------------------------------------------------------- doubled, mixed, lost
def test_ten_times_the_same_event_makes_nothing_twice(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    for _ in range(10):
        stage.deliver(status_event(environment))
    stage.pass_time(60)
    assert (environment.status, stage.ours()) == ("AVAILABLE", PRIVATE)


def test_ten_times_in_one_batch(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.deliver(*[status_event(environment)] * 10)
    assert stage.ours() == PRIVATE


def test_the_events_of_a_whole_life_in_any_order(stage: Stage) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    for status in ("DELETED", "PENDING", "CREATING", "AVAILABLE", "DELETING"):
        assert stage.changes(lambda status=status: stage.work(status_event(environment, status))) == []  # type: ignore[misc]
    stage.delete(environment)
    for status in ("PENDING", "AVAILABLE", "DELETED", "CREATING"):
        stage.work(status_event(environment, status))
    assert stage.ours() == []


@pytest.mark.parametrize("delivery", ["drop", "double:10", "reorder"])
def test_mwaas_delivery_does_not_matter(stage: Stage, delivery: str) -> None:
    stage.aws.switches["mwaa.event_delivery"] = delivery
    _, subnets = stage.vpc(HUB, SPOKE)
    environment = stage.environment(subnets)
    for event in stage.aws.delivered:
        stage.work(event)
    stage.heal()
    assert (environment.status, stage.ours()) == ("AVAILABLE", PRIVATE)
    stage.aws.delivered.clear()
    stage.delete(environment)
    for event in stage.aws.delivered:
        stage.work(event)
    stage.heal()
    assert stage.ours() == []


@pytest.mark.parametrize("form", ["lowerCamel", "UpperCamel", "minimal"])
def test_the_shape_of_mwaas_event_does_not_matter(stage: Stage, form: str) -> None:
    stage.aws.switches["mwaa.event_detail"] = form
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.work(stage.aws.delivered[-1])
    stage.pass_time(5)
    assert environment.status == "AVAILABLE"


# ----------------------------------------------------------------------------------------------- what is not to be done
def test_mwaa_manages_its_own_endpoints(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(SPOKE)[1], management="SERVICE")
    stage.pass_time(60)
    assert environment.status == "AVAILABLE"
    assert [call.operation for call in stage.calls(lambda: stage.work(status_event(environment)))] == [
        "airflow:GetEnvironment"
    ]


def test_an_environment_that_has_failed_keeps_what_it_has_until_it_is_gone(stage: Stage) -> None:
    stage.aws.switches["mwaa.pending_limit_seconds"] = 3
    stage.aws.switches["vpce.outcomes"] = {"*": "pendingAcceptance"}
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1], access="PUBLIC_ONLY")
    stage.deliver(status_event(environment))
    stage.pass_time(60)
    assert environment.status == "CREATE_FAILED"
    assert stage.changes(lambda: stage.work(status_event(environment))) == []
    stage.delete(environment)
    stage.work(status_event(environment, "DELETED"))
    assert stage.ours() == []


def test_the_tag_off_means_off(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1], tags={"groundcrew:endpoints": "off"})
    assert stage.changes(lambda: stage.work(status_event(environment))) == []
    assert environment.status == "PENDING"


# ------------------------------------------------------------------------------------------------------------- policies
def test_the_tag_names_the_policy(stage: Stage) -> None:
    stage.aws.parameters["/groundcrew/endpoints/strict"] = '{"admit": "service-ports"}'
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1], tags={"groundcrew:endpoints": "strict"})
    stage.work(status_event(environment))
    (group,) = [group for group in stage.aws.groups(HUB) if group.name == GROUP]
    assert {rule.from_port for rule in group.rules if not rule.egress} == {443, 5432}


@pytest.mark.parametrize("name", ["../grants/222222222222", "", " ", "a/b", "défaut"])
def test_a_tag_that_cannot_name_a_policy_is_reported(stage: Stage, name: str) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1], tags={"groundcrew:endpoints": name})
    if not name:  # a tag without a value says nothing
        assert len(stage.changes(lambda: stage.work(status_event(environment)))) == 4
        return
    assert stage.changes(lambda: stage.work(status_event(environment))) == []
    assert stage.causes() == ["InvalidPolicy"]
    assert stage.aws.calls("ssm:*") == []


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        (None, "MissingPolicy"),
        ("not json", "InvalidPolicy"),
        ("[]", "InvalidPolicy"),
        ('{"admit": "everybody"}', "InvalidPolicy"),
        ('{"sqs": "create", "more": 1}', "InvalidPolicy"),
    ],
)
def test_a_policy_that_is_missing_or_invalid_stops_the_job_loudly(
    stage: Stage, document: str | None, cause: str
) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    del stage.aws.parameters[DEFAULT_POLICY]
    if document is not None:
        stage.aws.parameters[DEFAULT_POLICY] = document
    assert stage.changes(lambda: stage.work(status_event(environment))) == []
    assert stage.causes() == [cause]


# ------------------------------------------------------------------------------------------------------------- requests
@pytest.mark.parametrize("sender", [SPOKE, HUB])
def test_a_request_of_the_environments_account_or_the_hub_is_done(stage: Stage, sender: str) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.work(request(environment, sender, request_id="ticket-1"))
    assert stage.ours() == PRIVATE


def test_a_request_of_somebody_else_is_denied(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    assert stage.changes(lambda: stage.work(request(environment, SPOKE2))) == []
    (denied,) = stage.announced("Request Denied")
    assert (denied["sender"], denied["request"]) == (SPOKE2, "Endpoint Reconcile Requested")


def test_a_grant_lets_another_account_ask(stage: Stage) -> None:
    stage.aws.parameters[f"/groundcrew/grants/{SPOKE2}"] = (
        '{"environments": ["222222222222/*/data"], "requests": ["Endpoint Reconcile Requested"]}'
    )
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.work(request(environment, SPOKE2))
    assert stage.ours() == PRIVATE


def test_an_account_nobody_has_configured(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    event = status_event(environment, account="444444444444", resources=[])
    assert stage.calls(lambda: stage.work(event)) == []
    assert '"cause":"NotConfigured"' in stage.log.getvalue()


# ------------------------------------------------------------------------------------------------ the whole VPC's queue
def test_an_sqs_endpoint_made_by_policy_outlives_its_environment_and_serves_the_next(stage: Stage) -> None:
    stage.aws.parameters[DEFAULT_POLICY] = '{"sqs": "create"}'
    vpc, subnets = stage.vpc(HUB, SPOKE, way_out=False)
    shared = [f"groundcrew-sqs-{vpc}"] * 2
    first = stage.running(subnets, access="PUBLIC_ONLY")
    (endpoint,) = [endpoint for endpoint in stage.aws.endpoints() if endpoint.service.endswith(".sqs")]
    assert endpoint.tags == {
        "groundcrew:stack": STACK_TAG,
        "groundcrew:purpose": "sqs",
        "Name": f"groundcrew-sqs-{vpc}",
    }
    stage.delete(first)
    stage.work(status_event(first, "DELETED"))
    assert stage.ours() == shared
    assert stage.sweep()["troubles"] == 0  # it is nobody's, and no orphan either
    stage.running(subnets, name="next", access="PUBLIC_ONLY")
    assert [e.endpoint_id for e in stage.aws.endpoints() if e.service.endswith(".sqs")] == [endpoint.endpoint_id]


def test_the_group_of_an_interrupted_run_is_used_for_the_sqs_endpoint(stage: Stage) -> None:
    stage.aws.parameters[DEFAULT_POLICY] = '{"sqs": "create"}'
    environment = stage.environment(stage.vpc(HUB, SPOKE, way_out=False)[1], access="PUBLIC_ONLY")
    stage.aws.faults.add(Kind.THROTTLED, "ec2:AuthorizeSecurityGroupIngress")
    assert not stage.deliver(status_event(environment))
    (group,) = [group for group in stage.aws.groups(HUB) if group.name.startswith("groundcrew-sqs-")]
    stage.work(status_event(environment))
    (endpoint,) = [endpoint for endpoint in stage.aws.endpoints() if endpoint.service.endswith(".sqs")]
    assert endpoint.groups == [group.group_id]
    assert [(rule.source, rule.from_port) for rule in group.rules if not rule.egress] == [("10.0.0.0/16", 443)]


def test_a_tag_that_somebody_strips_does_not_cut_another_environment_off(stage: Stage) -> None:
    subnets = managed_sqs(stage)
    other = stage.running(subnets, name="other", access="PUBLIC_ONLY")
    for endpoint in stage.aws.endpoints():
        endpoint.tags.pop("groundcrew:queue", None)
    environment = stage.running(subnets, access="PUBLIC_ONLY")
    stage.delete(environment)
    stage.work(status_event(environment, "DELETED"))
    (policy,) = [endpoint.policy for endpoint in stage.aws.endpoints() if endpoint.service.endswith(".sqs")]
    assert (admits(policy, other.queue), admits(policy, environment.queue)) == (True, False)


# --------------------------------------------------------------------------------------------------------- what is said
def test_what_is_in_the_way_is_announced_with_the_status_and_all_at_once(stage: Stage) -> None:
    stage.aws.switches["quota.security_groups_per_region"] = 1
    environment = stage.environment(stage.vpc(HUB, SPOKE, way_out=False)[1])
    stage.aws.switches["quota.security_groups_per_region"] = 0
    assert stage.work(status_event(environment)) == 1
    (blocked,) = stage.announced("Endpoints Blocked")
    assert blocked["status"] == "PENDING"
    assert [finding["cause"] for finding in blocked["findings"]] == ["NoWayToQueue", "SecurityGroupLimitExceeded"]
    assert all(finding["remedy"] for finding in blocked["findings"])


@pytest.mark.parametrize(("operation", "status"), [("airflow:GetEnvironment", ""), ("ec2:DescribeSubnets", "PENDING")])
def test_the_status_is_said_as_far_as_it_is_known(stage: Stage, operation: str, status: str) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.aws.faults.add(Kind.DENIED, operation)
    stage.work(status_event(environment))
    (blocked,) = stage.announced("Endpoints Blocked")
    assert blocked["status"] == status


@pytest.mark.parametrize(("more", "correlation"), [({"request_id": "ticket-1"}, "ticket-1"), ({}, "request-1")])
def test_log_lines_carry_the_requests_id(stage: Stage, more: dict[str, str], correlation: str) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.deliver(request(environment, **more))
    lines = [json.loads(line) for line in stage.log.getvalue().splitlines()]
    assert {line["correlation_id"] for line in lines if line["message"] in {"planned", "acting"}} == {correlation}


def test_a_group_of_ours_that_somebody_has_opened_further_is_reported_and_left_alone(stage: Stage) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    (group,) = [group for group in stage.aws.groups(HUB) if group.name == GROUP]
    opened = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    params = {"GroupId": group.group_id, "IpPermissions": [opened]}
    stage.aws.ec2.call("AuthorizeSecurityGroupIngress", stage.spoke(HUB), params)
    assert stage.changes(lambda: stage.work(status_event(environment))) == []
    (blocked,) = stage.announced("Endpoints Blocked")
    assert (blocked["status"], blocked["findings"][0]["cause"]) == ("AVAILABLE", "GroupWidened")
    assert "0.0.0.0/0" in blocked["findings"][0]["evidence"]

"""The worker, from an event to what is there afterwards."""

import pytest

from tests.unit.stage import DEFAULT_POLICY, HUB, SPOKE, SPOKE2, Stage, request, status_event

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

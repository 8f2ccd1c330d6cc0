import json
import re
from typing import Any

import pytest

from localcloud.inprocess.aws import InProcessAws
from localcloud.model.environment import Environment
from localcloud.tests.unit.conftest import HUB, OTHER, REGION, SPOKE, Shared, client, refused


def get(environment: Environment) -> Any:
    return client("mwaa", environment.caller.account).get_environment(Name=environment.name)["Environment"]


def statuses(aws: InProcessAws) -> list[str]:
    return [event["detail"]["status"] for event in aws.delivered]


# ---------------------------------------------------------------------- creation
def test_an_environment_becomes_available_because_of_its_endpoints(shared: Shared) -> None:
    environment = shared.environment()
    pending = get(environment)
    assert pending["Status"] == "PENDING"
    assert pending["DatabaseVpcEndpointService"] != pending["WebserverVpcEndpointService"]
    assert re.fullmatch(
        r"com\.amazonaws\.vpce\.us-east-1\.vpce-svc-[0-9a-f]{17}", pending["DatabaseVpcEndpointService"]
    )
    assert re.fullmatch(r"arn:aws:sqs:us-east-1:\d{12}:airflow-celery-\w+", pending["CeleryExecutorQueue"])
    shared.plug_in(environment)
    shared.aws.clock.advance(10)
    assert get(environment)["Status"] == "AVAILABLE"
    assert statuses(shared.aws) == ["CREATING", "PENDING", "CREATING", "AVAILABLE"]


def test_a_public_web_server_has_no_service(shared: Shared) -> None:
    environment = shared.environment(access="PUBLIC_ONLY")
    assert "WebserverVpcEndpointService" not in get(environment)
    shared.plug_in(environment)
    shared.aws.clock.advance(10)
    assert environment.status == "AVAILABLE"


@pytest.mark.parametrize(("maker", "services"), [("customer", 2), ("service", 1)])
def test_public_and_private_is_a_switch(shared: Shared, maker: str, services: int) -> None:
    shared.aws.switches["mwaa.public_and_private"] = maker
    environment = shared.environment(access="PUBLIC_AND_PRIVATE")
    assert len(shared.plug_in(environment)) == services
    shared.aws.clock.advance(10)
    assert environment.status == "AVAILABLE"


def test_the_web_servers_service_may_come_late(shared: Shared) -> None:
    shared.aws.switches["mwaa.webserver_service_delay_seconds"] = 120.0
    environment = shared.environment()
    assert environment.webserver_service is None
    shared.plug_in(environment)
    shared.aws.clock.advance(60)
    assert environment.status == "PENDING"
    shared.aws.clock.advance(120)
    shared.endpoint(environment.webserver_service)
    shared.aws.clock.advance(60)
    assert environment.status == "AVAILABLE"


@pytest.mark.parametrize("fault", ["one missing", "subnets", "groups", "failed", "port"])
@pytest.mark.parametrize("wrong", ["pending", "fail"])
def test_wrong_endpoints_do_not_count(shared: Shared, fault: str, wrong: str) -> None:
    shared.aws.switches["mwaa.wrong_endpoints"] = wrong
    environment = shared.environment()
    if fault != "groups":
        shared.admit(environment, port=8080 if fault == "port" else None)
    if fault == "failed":
        shared.aws.switches["vpce.outcomes"] = {"*": "failed"}
    subnets = {"SubnetIds": shared.subnets[:1]} if fault == "subnets" else {}
    shared.endpoint(environment.database_service, **subnets)
    if fault != "one missing":
        shared.endpoint(environment.webserver_service, **subnets)
    shared.aws.clock.advance(3600)
    incurable = wrong == "fail" and fault in ("subnets", "groups", "port")
    assert environment.status == ("CREATE_FAILED" if incurable else "PENDING")
    if incurable:
        assert get(environment)["LastUpdate"]["Error"]["ErrorCode"] == "INCORRECT_CONFIGURATION"


def test_the_two_ports_are_enough(shared: Shared) -> None:
    environment = shared.environment()
    for port in (5432, 443):
        shared.admit(environment, port)
    for service in (environment.database_service, environment.webserver_service):
        shared.endpoint(service)
    shared.aws.clock.advance(10)
    assert environment.status == "AVAILABLE"


@pytest.mark.parametrize(
    ("cidrs", "status"),
    [
        (["10.0.0.0/16"], "AVAILABLE"),
        (["10.0.0.0/24", "10.0.1.0/24"], "AVAILABLE"),
        (["10.0.0.0/24"], "PENDING"),
    ],
)
def test_addresses_admit_when_they_cover_both_subnets(shared: Shared, cidrs: list[str], status: str) -> None:
    environment = shared.environment(access="PUBLIC_ONLY")
    ranges = [{"CidrIp": cidr} for cidr in cidrs]
    shared.hub.authorize_security_group_ingress(
        GroupId=shared.group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": ranges}]
    )
    shared.endpoint(environment.database_service)
    shared.aws.clock.advance(10)
    assert environment.status == status


@pytest.mark.parametrize(("admission", "status"), [("every", "PENDING"), ("any", "AVAILABLE")])
def test_one_of_several_groups_admitted_is_a_switch(shared: Shared, admission: str, status: str) -> None:
    shared.aws.switches["mwaa.admission"] = admission
    groups = [shared.aws.security_group(SPOKE, shared.vpc, name) for name in ("one", "two")]
    environment = shared.environment(access="PUBLIC_ONLY", groups=groups)
    pairs = [{"GroupId": groups[0], "UserId": SPOKE}]
    shared.hub.authorize_security_group_ingress(
        GroupId=shared.group, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": pairs}]
    )
    shared.endpoint(environment.database_service)
    shared.aws.clock.advance(10)
    assert environment.status == status


@pytest.mark.parametrize("wrong", ["pending", "fail"])
def test_subnets_no_longer_shared(shared: Shared, wrong: str) -> None:
    shared.aws.switches["mwaa.wrong_endpoints"] = wrong
    environment = shared.environment()
    shared.plug_in(environment)
    shared.aws.cloud.shares.clear()
    shared.aws.clock.advance(10)
    assert environment.status == ("CREATE_FAILED" if wrong == "fail" else "PENDING")


def test_pending_ends_after_72_hours(shared: Shared) -> None:
    environment = shared.environment()
    shared.aws.clock.advance(71 * 3600, step=3600)
    assert environment.status == "PENDING"
    shared.aws.clock.advance(2 * 3600, step=3600)
    assert environment.status == "CREATE_FAILED"


def test_mwaa_makes_its_own_endpoints_where_it_manages_them(aws: InProcessAws) -> None:
    vpc = aws.network.vpc(owner=SPOKE)
    subnets = aws.network.private_subnets(vpc)
    environment = aws.create_environment(SPOKE, REGION, "own", subnets, "PRIVATE_ONLY", management="SERVICE")
    aws.clock.advance(10)
    assert statuses(aws) == ["CREATING", "AVAILABLE"]
    made = client("ec2", SPOKE).describe_vpc_endpoints()["VpcEndpoints"]
    assert [endpoint["RequesterManaged"] for endpoint in made] == [True, True]
    assert {"Key": "AmazonMWAAManaged", "Value": "true"} in made[0]["Tags"]
    refusal = client("ec2", SPOKE).delete_vpc_endpoints(VpcEndpointIds=[made[0]["VpcEndpointId"]])["Unsuccessful"]
    assert refusal[0]["Error"]["Code"] == "OperationNotPermitted"
    aws.delete_environment(environment)
    aws.clock.advance(10)
    assert aws.endpoints() == []


# ---------------------------------------------------------------------- validation
def create(account: str, **changes: Any) -> str:
    params = {
        "Name": "data",
        "ExecutionRoleArn": f"arn:aws:iam::{account}:role/airflow",
        "SourceBucketArn": "arn:aws:s3:::airflow-data",
        "DagS3Path": "dags",
        **changes,
    }
    return refused(client("mwaa", account).create_environment, **params)


def test_networks_that_mwaa_refuses(shared: Shared) -> None:
    aws = shared.aws
    group = aws.security_group(SPOKE, shared.vpc, "g")
    twin = aws.network.subnet(shared.vpc, "a")
    aws.share([twin], SPOKE)

    def network(subnets: list[str], *groups: str) -> dict[str, Any]:
        return {"SubnetIds": subnets, "SecurityGroupIds": list(groups)}

    shared_vpc = network(shared.subnets, group)
    assert create(SPOKE, NetworkConfiguration=shared_vpc) == "ValidationException"  # needs CUSTOMER
    customer = {"EndpointManagement": "CUSTOMER"}
    zone = network([shared.subnets[0], twin], group)
    hidden = network(aws.network.private_subnets(aws.network.vpc(owner=HUB)), group)
    foreign_group = network(shared.subnets, shared.group)
    for refused_network in (zone, hidden, foreign_group):
        assert create(SPOKE, NetworkConfiguration=refused_network, **customer) == "ValidationException"
    assert create(SPOKE, NetworkConfiguration=shared_vpc, **customer, Name="9x") == "ValidationException"
    assert create(SPOKE, NetworkConfiguration=shared_vpc, **customer, Name="x" * 81) == "ValidationException"
    shared.environment()
    assert create(SPOKE, NetworkConfiguration=shared_vpc, **customer) == "ValidationException"  # the name is taken


# ---------------------------------------------------------------------- the rest of the API
def test_lists_come_in_pages_of_25(shared: Shared) -> None:
    names = sorted(f"e{number:02}" for number in range(30))
    for name in names:
        shared.aws.create_environment(SPOKE, REGION, name, shared.subnets)
    mwaa = client("mwaa", SPOKE)
    first = mwaa.list_environments()
    assert first["Environments"] == names[:25]
    second = mwaa.list_environments(NextToken=first["NextToken"])
    assert second["Environments"] == names[25:]
    assert "NextToken" not in second
    assert client("mwaa", OTHER).list_environments()["Environments"] == []
    assert client("mwaa", SPOKE, "eu-west-3").list_environments()["Environments"] == []


def test_tags(shared: Shared) -> None:
    environment = shared.environment(tags={"groundcrew:endpoints": "strict"})
    mwaa = client("mwaa", SPOKE)
    mwaa.tag_resource(ResourceArn=environment.arn, Tags={"team": "data"})
    mwaa.untag_resource(ResourceArn=environment.arn, tagKeys=["groundcrew:endpoints"])
    assert mwaa.list_tags_for_resource(ResourceArn=environment.arn)["Tags"] == {"team": "data"}
    assert get(environment)["Tags"] == {"team": "data"}
    foreign = environment.arn.replace(SPOKE, OTHER)
    assert refused(mwaa.list_tags_for_resource, ResourceArn=foreign) == "ResourceNotFoundException"


def test_an_update_keeps_the_subnets_and_comes_back(shared: Shared) -> None:
    environment = shared.environment()
    mwaa = client("mwaa", SPOKE)
    assert refused(mwaa.update_environment, Name="data", MaxWorkers=3) == "ValidationException"  # PENDING
    shared.plug_in(environment)
    shared.aws.clock.advance(10)
    second = shared.aws.security_group(SPOKE, shared.vpc, "second")
    mwaa.update_environment(Name="data", MaxWorkers=3, NetworkConfiguration={"SecurityGroupIds": [second]})
    assert get(environment)["Status"] == "UPDATING"
    shared.aws.clock.advance(10)
    updated = get(environment)
    assert (updated["Status"], updated["MaxWorkers"]) == ("AVAILABLE", 3)
    assert updated["NetworkConfiguration"] == {"SubnetIds": shared.subnets, "SecurityGroupIds": [second]}


@pytest.mark.parametrize(
    ("strategy", "state"), [({}, "failed"), ({"WorkerReplacementStrategy": "GRACEFUL"}, "running")]
)
def test_an_update_stops_what_is_running_unless_it_is_graceful(
    shared: Shared, strategy: dict[str, str], state: str
) -> None:
    environment = shared.environment()
    shared.plug_in(environment)
    shared.aws.clock.advance(10)
    airflow = shared.aws.airflow(environment, [{"dag_id": "long", "seconds": 3600}])
    airflow.rest("POST", "/dags/long/dagRuns", {}, {"dag_run_id": "one", "logical_date": None})
    assert [run.state for run in airflow.runs()] == ["running"]
    client("mwaa", SPOKE).update_environment(Name="data", MaxWorkers=3, **strategy)
    assert [run.state for run in airflow.runs()] == [state]
    assert "WorkerReplacementStrategy" not in get(environment)


def test_pending_again_on_update_is_a_switch(shared: Shared) -> None:
    shared.aws.switches["mwaa.pending_on_update"] = True
    environment = shared.environment(access="PUBLIC_ONLY")
    shared.plug_in(environment)
    shared.aws.clock.advance(10)
    client("mwaa", SPOKE).update_environment(Name="data", WebserverAccessMode="PRIVATE_ONLY")
    shared.aws.clock.advance(10)
    assert environment.status == "PENDING"
    shared.endpoint(environment.webserver_service)
    shared.aws.clock.advance(10)
    assert environment.status == "AVAILABLE"


@pytest.mark.parametrize("outcome", ["rejected", "available"])
def test_deletion_leaves_the_customers_endpoints(shared: Shared, outcome: str) -> None:
    shared.aws.switches["mwaa.endpoints_after_delete"] = outcome
    environment = shared.environment()
    endpoints = shared.plug_in(environment)
    shared.aws.clock.advance(10)
    client("mwaa", SPOKE).delete_environment(Name="data")
    assert get(environment)["Status"] == "DELETING"
    shared.aws.clock.advance(10)
    assert refused(client("mwaa", SPOKE).get_environment, Name="data") == "ResourceNotFoundException"
    assert statuses(shared.aws)[-2:] == ["DELETING", "DELETED"]
    found = shared.hub.describe_vpc_endpoints(VpcEndpointIds=endpoints)["VpcEndpoints"]
    assert {endpoint["State"] for endpoint in found} == {outcome}
    base = {"VpcId": shared.vpc, "ServiceName": environment.database_service, "VpcEndpointType": "Interface"}
    assert refused(shared.hub.create_vpc_endpoint, **base) == "InvalidServiceName"


def test_the_same_name_again_has_other_services(shared: Shared) -> None:
    first = shared.environment()
    shared.aws.delete_environment(first)
    shared.aws.clock.advance(10)
    second = shared.environment(groups=first.groups)
    assert second.arn == first.arn
    assert second.database_service != first.database_service
    assert second.queue != first.queue


# ---------------------------------------------------------------------- events
def test_an_event_arrives_on_the_bus_of_the_environments_account(shared: Shared) -> None:
    environment = shared.environment()
    event = shared.aws.delivered[-1]
    assert (event["source"], event["detail-type"]) == ("aws.airflow", "MWAA Environment Status Change")
    assert (event["account"], event["region"], event["resources"]) == (SPOKE, REGION, [environment.arn])
    assert event["detail"]["networkConfiguration"]["subnetIds"] == shared.subnets
    assert event["detail"]["databaseVpcEndpointService"] == environment.database_service


def test_the_shape_of_the_detail_is_a_switch(shared: Shared) -> None:
    shared.aws.switches["mwaa.event_detail"] = "UpperCamel"
    shared.environment("upper")
    assert shared.aws.delivered[-1]["detail"]["NetworkConfiguration"]["SubnetIds"] == shared.subnets
    shared.aws.switches["mwaa.event_detail"] = "minimal"
    shared.environment("minimal")
    assert shared.aws.delivered[-1]["detail"] == {"status": "PENDING"}
    assert json.dumps(shared.aws.delivered)  # plain JSON all through


@pytest.mark.parametrize(
    ("delivery", "seen"),
    [
        ("drop", []),
        ("double", ["CREATING", "CREATING", "PENDING", "PENDING"]),
        ("double:3", ["CREATING"] * 3 + ["PENDING"] * 3),
        ("reorder", ["PENDING", "CREATING"]),
    ],
)
def test_delivery_is_best_effort(shared: Shared, delivery: str, seen: list[str]) -> None:
    shared.aws.switches["mwaa.event_delivery"] = delivery
    shared.environment()
    assert statuses(shared.aws) == seen


def test_an_event_held_back_arrives_in_the_end(shared: Shared) -> None:
    environment = shared.environment()
    shared.aws.switches["mwaa.event_delivery"] = "reorder"
    shared.plug_in(environment)
    shared.aws.clock.advance(3, step=1)
    assert statuses(shared.aws) == ["CREATING", "PENDING"]
    shared.aws.clock.advance(60, step=1)
    assert statuses(shared.aws) == ["CREATING", "PENDING", "AVAILABLE", "CREATING"]

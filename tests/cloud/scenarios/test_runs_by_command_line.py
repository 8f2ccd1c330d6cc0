"""Where the REST API does not serve, the command line does, one command at a time; and what neither reaches."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

from localcloud.fleet import Environment
from localcloud.installation import HUB, REGION, STACK
from tests.cloud.scenarios.airflows import LONG, V2, Fleet, available
from tests.cloud.scenarios.deployed import SPOKE, Deployed

AIRFLOW = f"groundcrew-airflow-{REGION}"
COMMAND = "airflow-cli:.*"
SLOW = 0.3  # seconds that a command takes


@contextmanager
def hub_with(groundcrew: Deployed, **changed: str) -> Iterator[None]:
    """The hub with other parameters, for as long as this lasts."""
    formation = groundcrew.aws.client("cloudformation", HUB)
    kept = formation.describe_stacks(StackName=STACK)["Stacks"][0]["Parameters"]

    def update(values: dict[str, str]) -> None:
        formation.update_stack(
            StackName=STACK,
            UsePreviousTemplate=True,
            Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[
                {"ParameterKey": one["ParameterKey"], "UsePreviousValue": True}
                if one["ParameterKey"] not in values
                else {"ParameterKey": one["ParameterKey"], "ParameterValue": values[one["ParameterKey"]]}
                for one in kept
            ],
        )
        formation.get_waiter("stack_update_complete").wait(
            StackName=STACK, WaiterConfig={"Delay": 0.2, "MaxAttempts": 100}
        )

    update(changed)
    try:
        yield
    finally:
        update({one["ParameterKey"]: one["ParameterValue"] for one in kept if one["ParameterKey"] in changed})


def complaints(groundcrew: Deployed, cause: str) -> int:
    """How often the functions that ask Airflow came back later for this cause."""
    logs = groundcrew.aws.client("logs", HUB)
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/groundcrew-runs")
    return sum(f'"cause":"{cause}"' in event["message"] for page in pages for event in page["events"])


def test_the_role_may_not_use_the_rest_api(groundcrew: Deployed, fleet: Fleet, environment: Environment) -> None:
    conf: dict[str, Any] = {"text": 'it\'s "all" of é \\ $(x) `y`', "list": [1, None, {"a": True}]}
    with groundcrew.without(AIRFLOW, environment.account, "airflow:InvokeRestApi"):
        request_id = fleet.ask_of(environment, conf=conf, wait=True)
        assert fleet.until_told("DAG Run Started", request_id)["way"] == "cli"
        assert fleet.until_told("DAG Run Finished", request_id)["state"] == "success"
        unknown = fleet.ask_of(environment, "missing")
        assert fleet.until_told("DAG Run Rejected", unknown)["cause"] == "UnknownDag"
        fleet.ask_of(environment, conf=conf, request_id=request_id)
        groundcrew.until(lambda: len(fleet.told("DAG Run Started", request_id)) == 2, "the second one")
    assert fleet.told("DAG Run Started", request_id)[-1]["already"] is True
    (run,) = fleet.runs(environment, request_id)
    assert run["conf"] == conf


@pytest.mark.parametrize("failed", [400, 500])
def test_a_failed_command_is_understood_whatever_its_status(
    groundcrew: Deployed, fleet: Fleet, environment: Environment, failed: int
) -> None:
    """`dags trigger` fails for a logical date that has a run: its words say so."""
    broken, date = complaints(groundcrew, "CliBroken"), f"2026-11-20T06:0{failed // 100}:00+00:00"
    first = fleet.ask_of(environment, logical_date=date)
    fleet.until_told("DAG Run Started", first)
    with (
        groundcrew.without(AIRFLOW, environment.account, "airflow:InvokeRestApi"),
        groundcrew.switched(mwaa_cli_failed_status=failed),
    ):
        second = fleet.ask_of(environment, logical_date=date)
        assert fleet.until_told("DAG Run Rejected", second)["cause"] == "LogicalDateTaken"
    assert complaints(groundcrew, "CliBroken") == broken


@pytest.mark.parametrize(("limit", "expected"), [(64, "cli"), (0, "rest")])
def test_a_path_that_is_too_long(
    groundcrew: Deployed, fleet: Fleet, environment: Environment, limit: int, expected: str
) -> None:
    """AWS documents that a path has 64 characters at most, and not whether it refuses others."""
    with groundcrew.switched(mwaa_rest_path_limit=limit):
        request_id = fleet.ask_of(environment, LONG, wait=True)
        way = fleet.until_told("DAG Run Started", request_id)["way"]
        assert fleet.until_told("DAG Run Finished", request_id)["state"] == "success"
    assert way == expected
    assert len(fleet.runs(environment, request_id)) == 1


def test_several_at_once_take_turns(groundcrew: Deployed, fleet: Fleet) -> None:
    """The web server runs one command at a time, and refuses a second one; nobody gets to see that."""
    refused = complaints(groundcrew, "CliBusy")
    groundcrew.cloud.add_fault(role=AIRFLOW, action=COMMAND, kind="delay", seconds=SLOW, times=1000)
    with groundcrew.without(AIRFLOW, SPOKE, "airflow:InvokeRestApi"):
        requests = [fleet.ask_of(fleet.v2) for _ in range(3)]
        for request_id in requests:
            assert fleet.until_told("DAG Run Started", request_id)["way"] == "cli"
        groundcrew.until_idle()
    assert complaints(groundcrew, "CliBusy") == refused
    assert [len(fleet.runs(fleet.v2, request_id)) for request_id in requests] == [1] * 3
    table = groundcrew.aws.client("dynamodb", HUB).scan(TableName="groundcrew-locks")
    assert [item for item in table["Items"] if item["name"]["S"].startswith("cli/")] == []


def test_without_a_lock_one_of_two_is_refused(groundcrew: Deployed, fleet: Fleet) -> None:
    """The negative control of the test before."""
    groundcrew.cloud.add_fault(role=AIRFLOW, action=COMMAND, kind="delay", seconds=SLOW, times=1000)
    mwaa = groundcrew.aws.as_role("mwaa", f"arn:aws:iam::{SPOKE}:role/groundcrew/{AIRFLOW}")
    http = URLLib3Session(verify=groundcrew.cloud.status()["authority"])

    def command(_number: int) -> int:
        token = mwaa.create_cli_token(Name=fleet.v2.name)
        headers = {"Authorization": f"Bearer {token['CliToken']}", "Content-Type": "text/plain"}
        request = AWSRequest("POST", f"https://{token['WebServerHostname']}/aws_mwaa/cli", headers, "dags list")
        return int(http.send(request.prepare()).status_code)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(command, range(2))) == [200, 503]


def test_an_airflow_that_is_too_old_for_the_rest_api(groundcrew: Deployed, fleet: Fleet) -> None:
    """And that is deleted before the run ends, so that nobody can know how it ends."""
    old = available(groundcrew, SPOKE, "2.2.2")
    groundcrew.made.append(old)
    request_id = fleet.ask_of(old, "long", wait=True)
    assert fleet.until_told("DAG Run Started", request_id)["way"] == "cli"
    assert len(fleet.runs(old, request_id)) == 1
    old.delete()
    finished = fleet.until_told("DAG Run Finished", request_id, turn=30)
    assert (finished["state"], finished["cause"]) == ("unknown", "EnvironmentGone")


def test_a_private_web_server(groundcrew: Deployed, fleet: Fleet) -> None:
    private = available(groundcrew, SPOKE, V2, groundcrew.shared, mode="PRIVATE_ONLY", management="CUSTOMER")
    groundcrew.made.append(private)
    request_id = fleet.ask_of(private)
    assert fleet.until_told("DAG Run Rejected", request_id)["cause"] == "Unreachable"
    assert fleet.runs(private) == []
    ec2 = groundcrew.aws.client("ec2", HUB)
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [groundcrew.shared.vpc_id]}])
    places = {
        "VpcSubnetIds": ",".join(groundcrew.shared.subnet_ids),
        "VpcSecurityGroupIds": groups["SecurityGroups"][0]["GroupId"],
    }
    with groundcrew.switched(lambda_vpc_describes_subnets=True), hub_with(groundcrew, **places):
        request_id = fleet.ask_of(private, wait=True)
        fleet.until_told("DAG Run Finished", request_id)
        with groundcrew.without(AIRFLOW, SPOKE, "airflow:InvokeRestApi"):
            second = fleet.ask_of(private)
            assert fleet.until_told("DAG Run Started", second)["way"] == "cli"
    assert len(fleet.runs(private)) == 2


def test_in_report_mode_it_is_planned(groundcrew: Deployed, fleet: Fleet) -> None:
    with hub_with(groundcrew, Mode="report"):
        request_id = fleet.ask([fleet.v2.arn, fleet.v3.arn])
        groundcrew.until(lambda: len(fleet.told("DAG Run Planned", request_id)) == 2, "both plans")
        groundcrew.until_idle()
    assert fleet.runs(fleet.v2, request_id) == fleet.runs(fleet.v3, request_id) == []


def test_nobody_may_have_tokens_either(groundcrew: Deployed, fleet: Fleet, environment: Environment) -> None:
    groundcrew.cloud.add_fault(role=AIRFLOW, action="airflow:CreateCliToken", kind="denied", times=99)
    with groundcrew.without(AIRFLOW, environment.account, "airflow:InvokeRestApi"):
        request_id = fleet.ask_of(environment)
        rejected = fleet.until_told("DAG Run Rejected", request_id)
    assert "airflow:CreateCliToken" in json.dumps(rejected)
    assert fleet.runs(environment, request_id) == []

"""Orders that do not become runs: each is rejected once, by name, with what is seen and what to do."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from groundcrew.environment import EnvironmentRef
from localcloud.inprocess.faults import Kind
from tests.support.runs.hub import MORE, Hub, open_hub
from tests.support.stage import SETTINGS, SPOKE

VERSIONS = ["2.7.2", "2.10.3", "3.0.6", "3.3.1"]
DATE = datetime(2026, 11, 1, 2, 3, 4, 567, tzinfo=UTC)
RUN_ID = f"groundcrew__{'e' * 36}"
"""Made of an event's id: a path with it has more than 64 characters."""

NO_ORDERS: list[dict[str, Any]] = [
    {"detail-type": "DAG Run Requested"},
    {"source": "groundcrew.request"},
    {"detail": {}},
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("dag_id", "cause"), [("nobody", "UnknownDag"), ("held", "Paused"), ("broken", "ImportErrors")]
)
def test_a_dag_that_cannot_run(hub: Hub, version: str, dag_id: str, cause: str) -> None:
    assert hub.cause(hub.order(hub.environment(version), dag_id)) == cause
    assert hub.runs() == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("dag_id", "cause"), [("nobody", "UnknownDag"), ("held", "Paused")])
def test_a_dag_that_cannot_run_asked_by_command_line(hub: Hub, version: str, dag_id: str, cause: str) -> None:
    environment = hub.environment(version)
    hub.refuse_rest()
    assert hub.cause(hub.order(environment, dag_id)) == cause
    assert hub.runs() == []


def test_why_a_dag_may_not_be_there(hub: Hub) -> None:
    environment = hub.environment()
    assert "1 files cannot be imported: /usr/local/airflow/dags/broken.py" in evidence(hub, environment, "nobody")
    hub.stage.aws.faults.add(
        Kind.SERVER_ERROR,
        "airflow:InvokeRestApi",
        nth=None,
        where=lambda attempt: attempt.params["Path"] == "/importErrors",
    )
    assert evidence(hub, environment, "nobody") == "Airflow knows no DAG nobody"


def evidence(hub: Hub, environment: Any, dag_id: str) -> str:
    return str(hub.outcome(hub.order(environment, dag_id))["evidence"])


@pytest.mark.parametrize("operation", ["sts:AssumeRole", "airflow:GetEnvironment"])
def test_a_spoke_that_lets_nobody_in(hub: Hub, operation: str) -> None:
    environment = hub.environment()
    hub.stage.aws.faults.add(Kind.DENIED, operation, nth=None)
    assert hub.cause(hub.order(environment)) in {"AccessDeniedException", "SpokeRoleUnavailable"}
    assert hub.runs() == []


def test_a_role_that_may_neither_use_rest_nor_the_command_line(hub: Hub) -> None:
    environment = hub.environment()
    hub.refuse_rest()
    hub.stage.aws.faults.add(Kind.DENIED, "airflow:CreateCliToken", nth=None)
    assert hub.cause(hub.order(environment)) == "AccessDeniedException"


def test_a_web_server_that_takes_no_commands(hub: Hub) -> None:
    environment = hub.environment()
    hub.refuse_rest()
    hub.stage.aws.faults.add(Kind.DENIED, "airflow-cli:*", nth=None)
    assert hub.cause(hub.order(environment)) == "CliRefused"


@pytest.mark.parametrize("status", ["UPDATING", "AVAILABLE"])
def test_an_order_expires(hub: Hub, status: str) -> None:
    environment = hub.environment()
    environment.status = status
    order = hub.order(environment, expires_at=hub.now() + timedelta(minutes=10))
    hub.pass_time(700 if status == "AVAILABLE" else 0)
    rejected = hub.outcome(order)
    assert (rejected["said"], rejected["cause"]) == ("Rejected", "Expired")
    assert hub.now() >= order.expires_at
    assert ("could not be seen" in rejected["evidence"]) is (status == "UPDATING")
    assert hub.runs() == []


def test_an_environment_that_is_gone(hub: Hub) -> None:
    environment = hub.environment()
    order = hub.order(environment)
    hub.stage.delete(environment)
    assert hub.cause(order) == "EnvironmentGone"
    never = EnvironmentRef(SPOKE, "us-east-1", "never")
    assert hub.cause(replace(order, environment=never)) == "EnvironmentGone"


def test_an_environment_without_runs(hub: Hub) -> None:
    assert hub.cause(hub.order(hub.environment(tags={"groundcrew:runs": "off"}))) == "Off"


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        ('{"dags": ["nightly_*", "report"]}', "NotAllowed"),
        ('{"dags": ["LOAD"]}', "NotAllowed"),
        ('{"dags": "*"}', "InvalidPolicy"),
        ("{}", "InvalidPolicy"),
        (None, "MissingPolicy"),
    ],
)
def test_a_policy_that_does_not_allow_it(hub: Hub, document: str | None, cause: str) -> None:
    environment = hub.environment(tags={"groundcrew:runs": "nightly"})
    if document is not None:
        hub.stage.aws.parameters["/groundcrew/runs/nightly"] = document
    assert hub.cause(hub.order(environment)) == cause
    assert hub.asked("airflow:Invoke*") == []


@pytest.mark.parametrize("name", ["nightly:1", "../grants/1", "a b", "n" * 65])
def test_a_tag_that_names_no_policy(hub: Hub, name: str) -> None:
    environment = hub.environment(tags={"groundcrew:runs": name})
    assert hub.cause(hub.order(environment)) == "InvalidPolicy"
    assert hub.asked("ssm:*") == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("by", ["rest", "cli"])
@pytest.mark.parametrize("limit", [64, 0])
def test_somebody_elses_run_with_that_id(hub: Hub, version: str, by: str, limit: int) -> None:
    """However old it is, and whether or not it can be asked for by its id."""
    hub.stage.aws.switches["mwaa.rest_path_limit"] = limit
    environment = hub.environment(version)
    hub.foreign(environment, RUN_ID)
    hub.foreign(environment, "groundcrew__ticket-2", note="by hand")
    hub.pass_time(86_400)
    if by == "cli":
        hub.refuse_rest()
    assert hub.cause(hub.order(environment, run_id=RUN_ID)) == "RunIdTaken"
    assert hub.cause(hub.order(environment, run_id="groundcrew__ticket-2")) == "RunIdTaken"
    assert len(hub.runs()) == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_somebody_elses_run_that_is_younger_than_the_request(hub: Hub, version: str) -> None:
    environment = hub.environment(version)
    order = hub.order(environment)
    hub.pass_time(60)
    hub.foreign(environment, order.run_id, note="by hand", conf=dict(order.conf))
    assert hub.cause(order) == "RunIdTaken"
    assert len(hub.runs()) == 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("by", ["rest", "cli"])
def test_somebody_elses_run_with_that_date(hub: Hub, version: str, by: str) -> None:
    environment = hub.environment(version)
    hub.foreign(environment, "by-hand", logical_date=DATE.isoformat())
    if by == "cli":
        hub.refuse_rest()
    rejected = hub.outcome(hub.order(environment, logical_date=DATE))
    assert (rejected["said"], rejected["cause"]) == ("Rejected", "LogicalDateTaken")
    assert "by-hand" in rejected["evidence"]
    assert len(hub.runs()) == 1


@pytest.mark.parametrize("refusal", ["AccessDeniedException", "RestApiClientException"])
def test_a_private_web_server_that_nobody_here_reaches(hub: Hub, refusal: str) -> None:
    hub.stage.aws.switches["mwaa.private_refusal"] = refusal
    environment = hub.environment(access="PRIVATE_ONLY")
    rejected = hub.outcome(hub.order(environment))
    assert (rejected["said"], rejected["cause"]) == ("Rejected", "Unreachable")
    assert "VpcSubnetIds" in rejected["remedy"]


def test_a_private_web_server_from_within_another_vpc() -> None:
    with open_hub(more=replace(MORE, in_vpc=True)) as hub:
        environment = hub.environment(access="PRIVATE_ONLY")
        hub.stage.aws.vpc = "vpc-another"
        assert hub.cause(hub.order(environment)) == "Unreachable"


def test_in_report_mode_nothing_is_started() -> None:
    with open_hub(replace(SETTINGS, mode="report")) as hub:
        assert hub.cause(hub.order(hub.environment())) == "ReportOnly"
        assert hub.runs() == []


def test_what_is_no_order_becomes_a_dead_letter(hub: Hub) -> None:
    environment = hub.environment()
    event = hub.order(environment).as_envelope("us-east-1")
    for change in NO_ORDERS:
        hub.put(replace(hub.order(environment)))
        hub.messages[-1].body = json.dumps(event | change)
    hub.work_off()
    assert (hub.runs(), hub.facts(), len(hub.dead)) == ([], [], len(NO_ORDERS))


def test_a_policy_that_we_may_not_read_rejects_nobody(hub: Hub) -> None:
    hub.stage.aws.parameters["/groundcrew/runs/nightly"] = '{"dags": ["*"]}'
    denied = hub.stage.aws.faults.add(Kind.DENIED, "ssm:GetParameter")
    assert hub.way(hub.order(hub.environment(tags={"groundcrew:runs": "nightly"}))) == "rest"
    assert denied.fired


def test_a_conf_that_is_too_long_for_a_command_line(hub: Hub) -> None:
    """As JSON it is within what a request may have; each of its blanks takes six bytes there."""
    hub.refuse_rest()
    assert hub.cause(hub.order(hub.environment(), conf={"text": " " * 30_000})) == "BadConf"
    assert "dags trigger" not in hub.asked()

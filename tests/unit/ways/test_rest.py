"""Airflow's REST API as a way in: the limits of MWAA's front door, and whatever Airflow answers."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest

from localcloud.model.errors import AwsError
from tests.support.runs.hub import Hub

VERSIONS = ["2.7.2", "2.10.3", "3.0.6", "3.3.1"]
LONG = "d" * 100
RUN_ID = f"groundcrew__{'e' * 36}"
"""Made of an event's id: a path with it has more than 64 characters."""


def answering(hub: Hub, environment: Any, refusal: Any, status: int = 400, method: str = "POST") -> Any:
    """Airflow's REST API, refusing every start (or all of a method) with this."""
    really = hub.stage.aws.airflow(environment).rest

    def rest(asked: str, path: str, query: Any, body: Any) -> tuple[int, Any]:
        if asked == method and not path.endswith("/list"):
            return status, refusal
        return really(asked, path, query, body)

    return rest


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("drops", [False, True])
def test_a_run_without_a_date_whether_nulls_are_dropped_or_not(hub: Hub, version: str, drops: bool) -> None:
    hub.stage.aws.switches["mwaa.rest_drops_nulls"] = drops
    environment = hub.environment(version)
    assert hub.way(hub.order(environment)) == "rest"
    (run,) = hub.runs()
    assert (run.logical_date is None) is (not drops and version.startswith("3."))
    assert hub.outcome(hub.order(environment))["already"]
    assert len(hub.runs()) == 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("limit", [64, 0])
def test_an_order_that_comes_again_late_finds_its_run(hub: Hub, version: str, limit: int) -> None:
    """With 64 characters, nobody can ask for a run by its id."""
    hub.stage.aws.switches["mwaa.rest_path_limit"] = limit
    environment = hub.environment(version)
    for number in range(3):
        hub.foreign(environment, f"before-{number}")
    order = hub.order(environment, run_id=RUN_ID)
    assert hub.way(order) == "rest"
    for number in range(250):
        hub.foreign(environment, f"after-{number}")
    hub.pass_time(3600)
    assert hub.outcome(order)["already"]
    assert f"GET /dags/load/dagRuns/{RUN_ID}" in hub.asked()
    assert ("POST /dags/~/dagRuns/list" in hub.asked()) is (limit == 64)
    assert not hub.stage.aws.calls("airflow-cli:*")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("limit", [64, 0])
def test_a_dag_with_a_long_name(hub: Hub, version: str, limit: int) -> None:
    hub.stage.aws.switches["mwaa.rest_path_limit"] = limit
    dags = [{"dag_id": LONG + str(number), "is_paused": bool(number)} for number in range(3)]
    environment = hub.environment(version, dags=[*dags, {"dag_id": f"x{LONG}0"}])
    assert hub.way(hub.order(environment, LONG + "0")) == ("cli" if limit else "rest")
    assert hub.outcome(hub.order(environment, LONG + "0"))["already"]
    assert hub.cause(hub.order(environment, LONG + "1")) == "Paused"
    assert hub.cause(hub.order(environment, LONG)) == "UnknownDag"
    assert [run.dag_id for run in hub.runs()] == [LONG + "0"]


def test_a_long_name_among_many_that_are_longer(hub: Hub) -> None:
    """More than a page of DAGs have the name in theirs."""
    many = [{"dag_id": f"a{number:03}{LONG}"} for number in range(230)]
    environment = hub.environment(dags=[*many, {"dag_id": LONG}])
    assert hub.way(hub.order(environment, LONG)) == "cli"
    assert hub.asked().count("GET /dags") == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_what_airflow_does_not_accept(hub: Hub, version: str) -> None:
    """Run ids that no schema lets through stand for a pattern of the environment's own."""
    environment = hub.environment(version)
    bad = {"logical_date": datetime(1, 1, 1, tzinfo=UTC)} if version.startswith("2.") else {"run_id": "a+b"}
    refusal = {"status": 400, "title": "Bad Request", "detail": "no such parameter: day"}
    hub.stage.aws.airflow(environment).rest = answering(hub, environment, refusal)  # type: ignore[method-assign]
    rejected = hub.outcome(hub.order(environment, **bad))
    assert (rejected["said"], rejected["cause"]) == ("Rejected", "BadConf")
    assert "no such parameter: day" in rejected["evidence"]
    assert rejected["remedy"]


@pytest.mark.parametrize("refusal", ["no JSON at all", None, ["a", "list"], {}, {"detail": [{"loc": ["body"]}]}])
@pytest.mark.parametrize(
    ("status", "cause"), [(400, "BadConf"), (422, "BadConf"), (403, "Denied"), (401, "Denied"), (404, "UnknownDag")]
)
def test_whatever_airflow_refuses_with(hub: Hub, refusal: Any, status: int, cause: str) -> None:
    environment = hub.environment("3.3.1")
    hub.stage.aws.airflow(environment).rest = answering(hub, environment, refusal, status)  # type: ignore[method-assign]
    assert hub.cause(hub.order(environment)) == cause


@pytest.mark.parametrize("refusal", ["no JSON at all", None, {}])
@pytest.mark.parametrize(("status", "cause"), [(403, "Denied"), (404, "UnknownDag"), (400, "BadConf")])
def test_whatever_airflow_refuses_to_show(hub: Hub, refusal: Any, status: int, cause: str) -> None:
    environment = hub.environment("3.3.1")
    airflow = hub.stage.aws.airflow(environment)
    airflow.rest = answering(hub, environment, refusal, status, "GET")  # type: ignore[method-assign]
    assert hub.cause(hub.order(environment)) == cause


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_an_airflow_in_trouble_is_tried_again_until_the_order_expires(hub: Hub, status: int) -> None:
    environment = hub.environment()
    airflow = hub.stage.aws.airflow(environment)
    airflow.rest = answering(hub, environment, {}, status, "GET")  # type: ignore[method-assign]
    order = hub.order(environment)
    rejected = hub.outcome(order)
    assert (rejected["said"], rejected["cause"]) == ("Rejected", "Expired")
    assert order.expires_at <= hub.now() <= order.expires_at + timedelta(hours=1)


@pytest.mark.parametrize("unfinished", ["RestApiServerException", "InternalServerException"])
def test_a_start_that_takes_longer_than_ten_seconds_is_recognised(hub: Hub, unfinished: str) -> None:
    environment = hub.environment()
    hub.stage.aws.switches["mwaa.rest_unfinished"] = unfinished
    really = hub.stage.aws.airflow(environment).rest

    def slow(method: str, path: str, query: Any, body: Any) -> tuple[int, Any]:
        answer = really(method, path, query, body)
        if method == "POST" and not path.endswith("/list") and answer[0] == 200:
            raise TimeoutError
        return answer

    hub.stage.aws.airflow(environment).rest = slow  # type: ignore[method-assign]
    started = hub.outcome(hub.order(environment))
    assert (started["said"], started["already"]) == ("Started", True)
    assert len(hub.runs()) == 1


@pytest.mark.parametrize(
    ("code", "said"), [("RestApiClientException", "Rejected"), ("RestApiServerException", "Started")]
)
def test_an_error_without_airflows_status_is_no_success(hub: Hub, code: str, said: str) -> None:
    """botocore's model requires neither status nor answer of it."""
    environment = hub.environment()
    really = hub.stage.aws.front_door._ask
    failures = [AwsError(code, "no more than that")]

    def ask(asked: Any, method: str, *more: Any) -> Any:
        if method == "POST" and failures:
            raise failures.pop()
        return really(asked, method, *more)

    with mock.patch.object(hub.stage.aws.front_door, "_ask", ask):
        assert hub.outcome(hub.order(environment))["said"] == said
    assert len(hub.runs()) == (said == "Started")

"""MWAA's front door to Airflow, in process: InvokeRestApi, CreateCliToken, and commands sent to the web server."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from localcloud.inprocess.aws import InProcessAws
from localcloud.inprocess.faults import Killed, Kind
from localcloud.model.airflow import Airflow
from localcloud.model.environment import Environment
from localcloud.model.errors import AwsError
from localcloud.model.front_door import Visitor
from localcloud.tests.unit.conftest import REGION, SPOKE, Shared, client, refused

DAGS = [{"dag_id": "load", "seconds": 60}, {"dag_id": "held", "is_paused": True}]


@dataclass
class Site:
    """An environment of the spoke that is AVAILABLE."""

    aws: InProcessAws
    environment: Environment

    @property
    def mwaa(self) -> Any:
        return client("mwaa", SPOKE)

    @property
    def double(self) -> Airflow:
        return self.aws.airflow(self.environment)

    def rest(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        answer = self.mwaa.invoke_rest_api(Name=self.environment.name, Method=method, Path=path, **more)
        return answer["RestApiStatusCode"], answer["RestApiResponse"]

    def start(self, run_id: str = "r", dag_id: str = "load") -> tuple[int, Any]:
        return self.rest("POST", f"/dags/{dag_id}/dagRuns", Body={"dag_run_id": run_id, "logical_date": None})

    def token(self) -> dict[str, str]:
        return dict(self.mwaa.create_cli_token(Name=self.environment.name))

    def post(self, command: str, token: dict[str, str] | None = None, path: str = "/aws_mwaa/cli") -> tuple[int, Any]:
        """HTTP status and body, with a token of its own by default."""
        token = token or self.token()
        request = AWSRequest(
            method="POST",
            url=f"https://{token['WebServerHostname']}{path}",
            headers={"Authorization": f"Bearer {token['CliToken']}", "Content-Type": "text/plain"},
            data=command.encode(),
        )
        answer = URLLib3Session().send(request.prepare())
        return answer.status_code, json.loads(answer.content) if answer.status_code == 200 else answer.content

    def runs(self) -> list[str]:
        return [run.run_id for run in self.double.runs()]


def made(shared: Shared, access: str = "PUBLIC_ONLY", name: str = "data", version: str = "3.3.1") -> Site:
    environment = shared.environment(name, access, version=version)
    shared.plug_in(environment)
    shared.aws.clock.advance(10)
    assert environment.status == "AVAILABLE"
    shared.aws.airflow(environment, DAGS)
    shared.aws.journal.clear()
    return Site(shared.aws, environment)


@pytest.fixture
def site(shared: Shared) -> Site:
    return made(shared)


def failure(call: Callable[..., Any], *arguments: Any, **named: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **named)
    return dict(caught.value.response)


# ---------------------------------------------------------------------- REST
def test_answers_and_refusals_of_airflow(site: Site) -> None:
    status, run = site.start()
    assert (status, run["dag_run_id"], run["conf"]) == (200, "r", {})
    response = failure(site.start)
    assert response["Error"]["Code"] == "RestApiClientException"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert response["RestApiStatusCode"] == 409
    assert response["RestApiResponse"]["detail"]["reason"] == "Unique constraint violation"
    assert site.runs() == ["r"]


def test_queries_and_bodies_arrive_as_they_are(site: Site) -> None:
    _, dags = site.rest("GET", "/dags", QueryParameters={"dag_id_pattern": "oa", "limit": 5})
    assert [dag["dag_id"] for dag in dags["dags"]] == ["load"]
    conf = {"a": None, "b": [None, {"c": None}]}
    body = {"dag_run_id": "n", "logical_date": None, "conf": conf}
    site.rest("POST", "/dags/load/dagRuns", Body=body)
    assert site.double.runs()[0].conf == conf
    site.aws.switches["mwaa.rest_drops_nulls"] = True
    response = failure(site.rest, "POST", "/dags/load/dagRuns", Body={**body, "dag_run_id": "m"})
    assert response["RestApiStatusCode"] == 422  # 3.x wants the key


def test_a_crash_of_airflow_is_a_server_exception(shared: Shared) -> None:
    site = made(shared, version="2.10.3")
    response = failure(site.rest, "POST", "/dags/load/dagRuns", Body={"dag_run_id": "a b"})
    assert response["Error"]["Code"] == "RestApiServerException"
    assert (response["RestApiStatusCode"], response["ResponseMetadata"]["HTTPStatusCode"]) == (500, 400)


def test_ten_calls_a_second(site: Site) -> None:
    quick: Any = {"Name": site.environment.name, "Method": "GET", "Path": "/dags/load"}
    for _ in range(10):
        site.mwaa.invoke_rest_api(**quick)
    response = failure(site.mwaa.invoke_rest_api, **quick)
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == ("ThrottlingException", 429)
    site.aws.clock.advance(1)
    site.mwaa.invoke_rest_api(**quick)
    site.aws.switches["mwaa.rest_per_second"] = 0
    for _ in range(50):
        site.mwaa.invoke_rest_api(**quick)


def test_paths_longer_than_the_model_says(site: Site) -> None:
    site.double.state.dags["d" * 60] = type(site.double.state.dags["load"])("d" * 60)
    assert refused(site.rest, method="GET", path="/dags/" + "d" * 60) == "ValidationException"
    site.aws.switches["mwaa.rest_path_limit"] = 0
    assert site.rest("GET", "/dags/" + "d" * 60)[0] == 200


def test_late_and_large_answers(site: Site) -> None:
    site.aws.switches["mwaa.rest_seconds"] = 11.0
    response = failure(site.start, "late")
    assert (response["Error"]["Code"], response["RestApiStatusCode"]) == ("RestApiServerException", 504)
    assert site.runs() == ["late"]  # it had its effect
    site.aws.switches["mwaa.rest_unfinished"] = "InternalServerException"
    assert failure(site.start, "later")["Error"]["Code"] == "InternalServerException"
    site.aws.switches["mwaa.rest_seconds"] = 0.0
    site.double.runs()[0].conf["x"] = "x" * 7_000_000
    assert failure(site.rest, "GET", "/dags/load/dagRuns/late")["Error"]["Code"] == "InternalServerException"


def test_an_environment_that_is_not_ready(site: Site) -> None:
    site.aws.delete_environment(site.environment)
    assert refused(site.start) == "ValidationException"
    assert refused(site.token) == "ValidationException"
    site.aws.switches["mwaa.not_ready"] = "answers"
    assert site.start()[0] == 200
    site.aws.clock.advance(10)
    assert refused(site.start) == "ResourceNotFoundException"


def test_an_airflow_too_old(shared: Shared) -> None:
    site = made(shared)
    site.environment.settings["AirflowVersion"] = "2.4.2"
    assert "Update your environment to use InvokeRestApi" in failure(site.start)["Error"]["Message"]


def test_another_version_than_the_environment_says_is_not_attached(site: Site) -> None:
    with pytest.raises(ValueError, match=r"3\.3\.1, not 2\.10\.3"):
        site.aws.front_door.attach(site.environment, Airflow("2.10.3", site.aws.clock.now))


@pytest.mark.parametrize(
    ("role", "reads", "starts", "lists_by_post", "writes_pools"),
    [("Public", False, False, False, False), ("Viewer", True, False, True, False), ("User", True, True, True, False)],
)
def test_the_airflow_role_limits_what_is_allowed(
    site: Site, role: str, *, reads: bool, starts: bool, lists_by_post: bool, writes_pools: bool
) -> None:
    def may(method: str, path: str, body: Any = None) -> bool:
        params = {"Name": site.environment.name, "Method": method, "Path": path, "Body": body}
        try:
            site.aws.front_door.call("InvokeRestApi", site.environment.caller, params, Visitor("me", [role]))
        except AwsError as error:
            return bool(error.members["RestApiStatusCode"] != 403)
        return True

    assert may("GET", "/dags/load") is reads
    assert may("POST", "/dags/load/dagRuns", {"logical_date": None}) is starts
    assert may("PATCH", "/dags/load", {"is_paused": False}) is starts
    assert may("POST", "/dags/~/dagRuns/list", {}) is lists_by_post
    assert may("POST", "/pools", {}) is writes_pools


# ---------------------------------------------------------------------- private web servers
def test_a_private_web_server_is_reached_from_its_vpc_only(shared: Shared) -> None:
    site = made(shared, "PRIVATE_ONLY")
    assert refused(site.start) == "AccessDeniedException"
    with pytest.raises(EndpointConnectionError):
        site.post("dags list")
    shared.aws.vpc = shared.vpc
    assert site.start()[0] == 200
    assert site.post("dags list")[0] == 200
    shared.aws.vpc = None
    shared.aws.switches["mwaa.private_web_server"] = "open"
    assert site.start("s")[0] == 200


# ---------------------------------------------------------------------- the command line
def test_a_command_and_its_answer(site: Site) -> None:
    status, answer = site.post("dags trigger load -r c -o json")
    assert status == 200
    assert "c" in base64.b64decode(answer["stdout"]).decode()
    assert site.runs() == ["c"]
    status, answer = site.post("dags trigger load -r c -o json")
    assert status == 200  # whatever the command's exit code
    assert "DagRunAlreadyExists" in base64.b64decode(answer["stderr"]).decode()


@pytest.mark.parametrize("failed", [400, 500])
def test_a_command_that_fails_may_have_another_status(site: Site, failed: int) -> None:
    site.aws.switches["mwaa.cli_failed_status"] = failed
    assert site.post("dags trigger load -r c -o json")[0] == 200
    status, body = site.post("dags trigger load -r c -o json")
    assert status == failed
    assert "DagRunAlreadyExists" in base64.b64decode(json.loads(body)["stderr"]).decode()


def test_tokens_live_a_minute_and_open_one_environment(shared: Shared, site: Site) -> None:
    token, other = site.token(), made(shared, name="other")
    assert site.post("dags list", token)[0] == 200
    assert site.post("dags list", token)[0] == 200
    with pytest.raises(EndpointConnectionError):
        site.post("dags list", {**token, "WebServerHostname": other.environment.hostname})
    assert site.post("dags list", {**token, "CliToken": "nonsense"})[0] == 403
    assert site.post("dags list", token, "/aws_mwaa/other")[0] == 404
    site.aws.clock.advance(61)
    assert site.post("dags list", token)[0] == 403
    site.aws.switches["mwaa.cli_token_uses"] = 1
    token = site.token()
    assert [site.post("dags list", token)[0] for _ in range(2)] == [200, 403]


def test_one_command_at_a_time(site: Site) -> None:
    door = site.aws.front_door
    token = door.token(f"Bearer {site.token()['CliToken']}")
    inner: list[int] = []

    class Slow(Airflow):
        def cli(self, command: str) -> tuple[int, bytes, bytes]:
            inner.append(door.cli(token, command)[0])  # while the first runs
            return 0, b"", b""

    door.attach(site.environment, Slow("3.3.1", site.aws.clock.now))
    assert door.cli(token, "dags list")[0] == 200
    assert inner == [503]


# ---------------------------------------------------------------------- journal and faults
def test_the_journal_says_what_took_effect(site: Site) -> None:
    site.start()
    site.rest("GET", "/dags/load")
    site.rest("POST", "/dags/~/dagRuns/list", Body={})
    site.post("dags trigger load -r c")
    site.post("dags list-runs load")
    failure(site.start)
    assert [(entry.operation, entry.effect) for entry in site.aws.journal] == [
        ("airflow:InvokeRestApi", True),
        ("airflow:InvokeRestApi", False),
        ("airflow:InvokeRestApi", False),
        ("airflow:CreateCliToken", False),
        ("airflow-cli:dags trigger", True),
        ("airflow:CreateCliToken", False),
        ("airflow-cli:dags list-runs", False),
        ("airflow:InvokeRestApi", False),
    ]
    attempt = site.aws.calls("airflow-cli:dags trigger")[0].attempt
    assert (attempt.account, attempt.region, attempt.role) == (SPOKE, REGION, SPOKE)
    assert attempt.params == {"Name": "data", "Command": "dags trigger load -r c"}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Kind.DENIED, "AccessDeniedException"),
        (Kind.THROTTLED, "ThrottlingException"),
        (Kind.SERVER_ERROR, "InternalServerException"),
    ],
)
def test_faults_of_rest_calls_and_tokens(site: Site, kind: Kind, code: str) -> None:
    rule = site.aws.faults.add(kind, "airflow:*", nth=None)
    assert refused(site.start) == code
    assert refused(site.token) == code
    assert rule.fired >= 2
    assert site.runs() == []


@pytest.mark.parametrize(
    ("kind", "runs"), [(Kind.TIMED_OUT_AFTER, ["r"]), (Kind.RESET_BEFORE, []), (Kind.KILLED_AFTER, ["r"])]
)
def test_lost_answers_of_rest_calls(site: Site, kind: Kind, runs: list[str]) -> None:
    site.aws.faults.add(kind, "airflow:InvokeRestApi", attempts=1)
    if kind is Kind.KILLED_AFTER:
        with pytest.raises(Killed):
            site.start()
    elif kind is Kind.TIMED_OUT_AFTER:
        assert failure(site.start)["RestApiStatusCode"] == 409  # the SDK tried again
    else:
        assert site.start()[0] == 200
        runs = ["r"]
    assert site.runs() == runs


@pytest.mark.parametrize(("kind", "status"), [(Kind.THROTTLED, 503), (Kind.SERVER_ERROR, 500), (Kind.DENIED, 403)])
def test_refused_commands(site: Site, kind: Kind, status: int) -> None:
    site.aws.faults.add(kind, "airflow-cli:dags trigger")
    assert site.post("dags trigger load -r c")[0] == status
    assert site.runs() == []
    assert site.post("dags trigger load -r c")[0] == 200


@pytest.mark.parametrize(
    ("kind", "error", "runs"),
    [
        (Kind.TIMED_OUT_AFTER, ReadTimeoutError, ["c"]),
        (Kind.RESET_BEFORE, ConnectionClosedError, []),
        (Kind.KILLED_BEFORE, Killed, []),
        (Kind.KILLED_AFTER, Killed, ["c"]),
    ],
)
def test_lost_commands(site: Site, kind: Kind, error: type[BaseException], runs: list[str]) -> None:
    site.aws.faults.add(kind, "airflow-cli:*")
    with pytest.raises(error):
        site.post("dags trigger load -r c")
    assert site.runs() == runs
    assert site.aws.journal[-1].effect is bool(runs)

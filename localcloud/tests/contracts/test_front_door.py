"""MWAA's front door to Airflow as served: IAM, the way in from a VPC, the command line over TLS, and faults.

Its cases are tested in process (localcloud/tests/unit/test_front_door.py).
"""

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, ConnectionClosedError, SSLError
from botocore.httpsession import URLLib3Session

from localcloud.client import ControlError
from localcloud.fleet import Environment, make_network
from localcloud.testing.served import HUB, SPOKE, LocalCloud, allow, unique
from localcloud.testing.waiting import eventually
from localcloud.tests.contracts.test_mwaa import refused

REGION = "us-east-1"
DAGS = [{"dag_id": "load", "seconds": 60}]
FUNCTION = """
import json, os
import boto3
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

def handler(event, context):
    mwaa = boto3.client("mwaa")
    try:
        answer = mwaa.invoke_rest_api(Name=event["name"], Method="GET", Path="/dags/load")
        token = mwaa.create_cli_token(Name=event["name"])
        url = f"https://{token['WebServerHostname']}/aws_mwaa/cli"
        headers = {"Authorization": f"Bearer {token['CliToken']}", "Content-Type": "text/plain"}
        request = AWSRequest(method="POST", url=url, headers=headers, data=b"dags list -o json")
        sent = URLLib3Session(verify=os.environ["AWS_CA_BUNDLE"]).send(request.prepare())
        return {"rest": answer["RestApiStatusCode"], "cli": sent.status_code}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
"""


@dataclass(frozen=True)
class Site:
    """An AVAILABLE environment of the spoke, with a double."""

    cloud: LocalCloud
    environment: Environment

    @property
    def name(self) -> str:
        return self.environment.name

    def role_arn(self, airflow_role: str) -> str:
        return f"arn:aws:airflow:{REGION}:{SPOKE}:role/{self.name}/{airflow_role}"

    def mwaa(self, *statements: dict[str, Any]) -> Any:
        """A client with these rights; the account's root without."""
        if not statements:
            return self.cloud.client("mwaa", SPOKE)
        return self.cloud.as_role("mwaa", self.cloud.role(*statements, account=SPOKE))

    def start(self, mwaa: Any, **body: Any) -> dict[str, Any]:
        asked = {"logical_date": None, **body}
        return dict(mwaa.invoke_rest_api(Name=self.name, Method="POST", Path="/dags/load/dagRuns", Body=asked))

    def post(self, mwaa: Any, command: str, verify: Any = None) -> tuple[int, Any]:
        """HTTP status and body of one command."""
        token = mwaa.create_cli_token(Name=self.name)
        request = AWSRequest(
            method="POST",
            url=f"https://{token['WebServerHostname']}/aws_mwaa/cli",
            headers={"Authorization": f"Bearer {token['CliToken']}", "Content-Type": "text/plain"},
            data=command.encode(),
        )
        answer = URLLib3Session(verify=verify or self.cloud.control.status()["authority"]).send(request.prepare())
        return answer.status_code, json.loads(answer.content) if answer.status_code == 200 else answer.content

    def runs(self) -> list[str]:
        return [run["run_id"] for run in self.cloud.control.airflow_runs(self.environment.arn)]


def made(cloud: LocalCloud, mode: str = "PUBLIC_ONLY") -> Site:
    network = make_network(cloud.aws, SPOKE, REGION)
    environment = Environment.create(cloud.aws, SPOKE, unique("front"), network, mode=mode, management="SERVICE")
    cloud.control.attach_airflow(environment.arn, version="3.3.1", dags=DAGS)

    def available() -> bool:
        cloud.control.advance(1)
        return environment.status() == "AVAILABLE"

    eventually(available, 20)
    return Site(cloud, environment)


@pytest.fixture(scope="module")
def site(cloud: LocalCloud) -> Site:
    return made(cloud)


@pytest.fixture(autouse=True)
def rested(cloud: LocalCloud) -> Iterator[None]:
    """A second's worth of calls for every test, and no faults from it."""
    cloud.control.advance(1)
    yield
    cloud.control.clear_faults()


# ---------------------------------------------------------------------- IAM
def test_invoke_rest_api_is_allowed_on_an_airflow_role_of_the_environment(site: Site) -> None:
    allowed = allow("airflow:InvokeRestApi", site.role_arn("User"))
    assert site.start(site.mwaa(allowed), dag_run_id=unique("run"))["RestApiStatusCode"] == 200
    for statement in (
        allow("airflow:InvokeRestApi", f"arn:aws:airflow:{REGION}:{SPOKE}:role/other/Admin"),
        allow("airflow:InvokeRestApi", site.environment.arn),
        allow("airflow:CreateCliToken", "*"),
    ):
        assert refused(site.start, mwaa=site.mwaa(statement)) == "AccessDeniedException"


def test_a_viewer_only_reads(site: Site) -> None:
    viewer = site.mwaa(allow("airflow:InvokeRestApi", site.role_arn("Viewer")))
    assert viewer.invoke_rest_api(Name=site.name, Method="GET", Path="/dags")["RestApiResponse"]["total_entries"] == 1
    with pytest.raises(ClientError) as caught:
        site.start(viewer)
    response: dict[str, Any] = dict(caught.value.response)
    assert (response["Error"]["Code"], response["RestApiStatusCode"]) == ("RestApiClientException", 403)


def test_tokens_are_allowed_on_the_environment(site: Site) -> None:
    may = site.mwaa(allow("airflow:CreateCliToken", site.environment.arn))
    assert site.post(may, "dags list -o json")[0] == 200
    for statement in (
        allow("airflow:CreateCliToken", site.environment.arn + "-other"),
        allow("airflow:InvokeRestApi", "*"),
    ):
        assert refused(site.mwaa(statement).create_cli_token, Name=site.name) == "AccessDeniedException"


def test_every_call_and_command_is_in_the_log_once(site: Site) -> None:
    role = site.cloud.role(allow("airflow:*"), account=SPOKE)
    mwaa, since = site.cloud.as_role("mwaa", role), site.cloud.control.next_call()
    site.start(mwaa, dag_run_id=unique("run"))
    site.post(mwaa, "dags list")
    calls = site.cloud.control.calls(since, role=role)
    assert [(call["action"], call["resource"], call["allowed"]) for call in calls] == [
        ("airflow:InvokeRestApi", site.role_arn("Admin"), True),
        ("airflow:CreateCliToken", site.environment.arn, True),
        ("airflow-cli:dags list", site.environment.arn, True),
    ]


# ---------------------------------------------------------------------- Airflow
def test_runs_pass_on_the_clouds_clock(site: Site) -> None:
    run = unique("run")
    site.start(site.mwaa(), dag_run_id=run, conf={"a": None})
    with pytest.raises(ClientError, match="RestApiClientException"):
        site.start(site.mwaa(), dag_run_id=run)
    found = {run["run_id"]: run for run in site.cloud.control.airflow_runs(site.environment.arn)}
    assert (found[run]["state"], found[run]["conf"]) == ("running", {"a": None})
    site.cloud.control.advance(61)
    path = f"/dags/load/dagRuns/{run}"
    assert site.mwaa().invoke_rest_api(Name=site.name, Method="GET", Path=path)["RestApiResponse"]["state"] == "success"


def test_only_an_airflow_of_the_environments_version_is_attached(site: Site) -> None:
    with pytest.raises(ControlError, match=r"3\.3\.1, not 2\.10\.3"):
        site.cloud.control.attach_airflow(site.environment.arn, version="2.10.3")
    with pytest.raises(ControlError, match="ResourceNotFound"):
        site.cloud.control.attach_airflow(site.environment.arn + "-none", version="3.3.1")


# ---------------------------------------------------------------------- the command line
def test_the_certificate_is_one_to_be_trusted_first(site: Site) -> None:
    with pytest.raises(SSLError):
        site.post(site.mwaa(), "dags list", verify=True)


def test_a_command(site: Site) -> None:
    run = unique("run")
    status, answer = site.post(site.mwaa(), f"dags trigger load -r {run} -o json")
    assert status == 200
    assert run in base64.b64decode(answer["stdout"]).decode()
    assert run in site.runs()


def test_a_bad_token(site: Site) -> None:
    class Forged:
        def create_cli_token(self, Name: str) -> dict[str, str]:
            return {**site.mwaa().create_cli_token(Name=Name), "CliToken": "nonsense"}

    assert site.post(Forged(), "dags list")[0] == 403


# ---------------------------------------------------------------------- faults
def test_faults_hit_calls_and_commands(site: Site) -> None:
    name = unique("struck")
    mwaa = site.cloud.as_role("mwaa", site.cloud.role(allow("airflow:*"), account=SPOKE, name=name))

    def add(action: str, kind: str) -> None:
        site.cloud.control.add_fault(role=name, action=action, kind=kind)

    add("airflow:InvokeRestApi", "throttle")
    assert refused(site.start, mwaa=mwaa) == "ThrottlingException"
    add("airflow:InvokeRestApi", "drop")
    run = unique("run")
    with pytest.raises(ConnectionClosedError):
        site.start(mwaa, dag_run_id=run)
    assert run in site.runs()
    add("airflow:CreateCliToken", "error")
    assert refused(mwaa.create_cli_token, Name=site.name) == "InternalServerException"
    for kind, status in (("throttle", 503), ("error", 500), ("denied", 403)):
        add("airflow-cli:dags trigger", kind)
        assert site.post(mwaa, f"dags trigger load -r {unique('run')}")[0] == status
    add("airflow-cli:.*", "drop")
    run = unique("run")
    with pytest.raises(ConnectionClosedError):
        site.post(mwaa, f"dags trigger load -r {run}")
    assert run in site.runs()


# ---------------------------------------------------------------------- from where
def call_from_function(cloud: LocalCloud, site: Site, network: dict[str, Any]) -> dict[str, Any]:
    """What a function of the spoke gets to see."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("front.py", FUNCTION)
    interfaces = ["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"]
    role = cloud.role(allow(["airflow:*", *interfaces]), account=SPOKE)
    functions, name = cloud.client("lambda", SPOKE), unique("front")
    functions.create_function(
        FunctionName=name,
        Runtime=cloud.control.status()["runtime"],
        Role=role,
        Handler="front.handler",
        Code={"ZipFile": archive.getvalue()},
        Timeout=60,
        VpcConfig=network,
    )
    answer = functions.invoke(FunctionName=name, Payload=json.dumps({"name": site.name}))
    functions.delete_function(FunctionName=name)
    return dict(json.load(answer["Payload"]))


def test_a_private_web_server_answers_functions_in_its_vpc(cloud: LocalCloud) -> None:
    site = made(cloud, "PRIVATE_ONLY")
    environment = site.environment
    inside = {"SubnetIds": list(environment.network.subnet_ids), "SecurityGroupIds": list(environment.group_ids)}
    assert call_from_function(cloud, site, inside) == {"rest": 200, "cli": 200}
    assert "AccessDeniedException" in call_from_function(cloud, site, {})["error"]
    assert refused(site.start, mwaa=site.mwaa()) == "AccessDeniedException"


def test_the_hub_sees_nothing_of_the_spokes_environments(cloud: LocalCloud, site: Site) -> None:
    assert refused(site.start, mwaa=cloud.client("mwaa", HUB)) == "ResourceNotFoundException"

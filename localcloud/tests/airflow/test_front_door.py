"""A real Airflow behind MWAA's front door, in process: what callers of InvokeRestApi and of the command line get."""

import base64
import json
import uuid
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from localcloud.airflow.running import RunningAirflow
from localcloud.inprocess.aws import in_process

pytestmark = pytest.mark.xdist_group("airflow")

ACCOUNT, REGION = "222222222222", "us-east-1"


@pytest.mark.path
def test_a_real_airflow_behind_the_front_door(airflow: RunningAirflow) -> None:
    run = f"door-{uuid.uuid4().hex[:8]}"
    with in_process(account=ACCOUNT) as aws:
        subnets = aws.network.private_subnets(aws.network.vpc(owner=ACCOUNT))
        environment = aws.create_environment(
            ACCOUNT, REGION, "data", subnets, management="SERVICE", version=airflow.version
        )
        aws.clock.advance(60)
        aws.front_door.attach(environment, airflow.backend)
        mwaa = boto3.Session().client("mwaa")
        body: dict[str, Any] = {"dag_run_id": run, "conf": {"a": None}}
        body |= {"logical_date": None} if airflow.version.startswith("3.") else {}
        asked: Any = {"Name": "data", "Method": "POST", "Path": "/dags/paused/dagRuns", "Body": body}
        answer = mwaa.invoke_rest_api(**asked)
        assert (answer["RestApiStatusCode"], answer["RestApiResponse"]["conf"]) == (200, {"a": None})
        with pytest.raises(ClientError) as caught:
            mwaa.invoke_rest_api(**asked)
        response: dict[str, Any] = dict(caught.value.response)
        assert (response["Error"]["Code"], response["RestApiStatusCode"]) == ("RestApiClientException", 409)
        token = mwaa.create_cli_token(Name="data")
        request = AWSRequest(
            method="POST",
            url=f"https://{token['WebServerHostname']}/aws_mwaa/cli",
            headers={"Authorization": f"Bearer {token['CliToken']}", "Content-Type": "text/plain"},
            data=f"dags trigger paused -r {run}".encode(),
        )
        sent = URLLib3Session().send(request.prepare())
    assert sent.status_code == 200
    assert "DagRunAlreadyExists" in base64.b64decode(json.loads(sent.content)["stderr"]).decode()

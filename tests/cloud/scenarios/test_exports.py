"""Exports on the deployed cloud, of real Airflows: inside of 2.10.3, outside of 3.3.1, to Parquet that DuckDB reads."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from botocore.exceptions import ClientError

from localcloud import deploy
from localcloud.airflow import folder as dag_folder
from localcloud.airflow import installed
from localcloud.airflow.running import SAMPLES, RunningAirflow
from localcloud.fleet import Environment, make_network
from localcloud.installation import HUB, REGION, SPOKE_STACK, STACK
from tests.cloud.conftest import unique
from tests.cloud.scenarios.deployed import SPOKE, Deployed

BUCKET = f"groundcrew-exports-{HUB}-{REGION}"
PATIENCE = 240.0
TRUST = {"Effect": "Allow", "Principal": {"Service": "airflow-env.amazonaws.com"}, "Action": "sts:AssumeRole"}
POLICY = {"every_hours": 24, "tables": ["dag", "dag_run", "task_instance", "log", "slot_pool"]}


@dataclass
class Exporting:
    """An environment with a real Airflow, and what is exported of it."""

    deployed: Deployed
    environment: Environment
    airflow: RunningAirflow
    bucket: str
    role: str

    def copy(self) -> list[str]:
        """What MWAA does with the DAG folder."""
        return dag_folder.copy(self.deployed.aws.client("s3", SPOKE), self.bucket, self.airflow.dags)

    def export(self, **detail: Any) -> dict[str, Any]:
        """Ask for an export, and wait for what is said of it."""
        request_id = unique("export")
        if self.airflow.version.startswith("2."):  # its snapshot is of the database's own clock
            self.airflow.turn_clock(self.deployed.cloud.now() - time.time())
        detail |= {"environment": self.environment.ref, "request_id": request_id}
        self.deployed.put(SPOKE, "groundcrew.request", "Metadata Export Requested", detail)

        def told() -> list[dict[str, Any]]:
            self.copy()
            facts = self.deployed.facts("Metadata Export Finished") + self.deployed.facts("Metadata Export Failed")
            return [fact["detail"] for fact in facts if fact["detail"]["request_id"] == request_id]

        (said,) = self.deployed.until(told, "the end of the export", seconds=PATIENCE)
        return dict(said)

    def objects(self, prefix: str) -> dict[str, bytes]:
        s3 = self.deployed.aws.client("s3", HUB)
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def rows(self, table: str, columns: str, folder: Path) -> list[tuple[Any, ...]]:
        """What DuckDB reads of a table's Parquet, of this environment."""
        files = []
        for key, content in self.objects(f"tables/{table}/").items():
            files.append(str(folder / key.replace("/", "-")))
            Path(files[-1]).write_bytes(content)
        with duckdb.connect() as connection:
            found = connection.execute(
                f"select distinct {columns} from read_parquet({files!r}, union_by_name = true) where environment = ?",
                [self.environment.name],
            )
            return found.fetchall()


@pytest.fixture(scope="module", params=["2.10.3", "3.3.1"])
def exporting(
    request: pytest.FixtureRequest, deployment: Deployed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Exporting]:
    try:
        installed.require(request.param)
    except installed.NotInstalled as error:
        pytest.skip(str(error))
    folder, name = tmp_path_factory.mktemp("exports"), unique("exported")
    shutil.copytree(SAMPLES, folder / "dags", ignore=shutil.ignore_patterns("__pycache__", "broken.py"))
    aws = deployment.aws
    aws.client("ssm", HUB).put_parameter(
        Name="/groundcrew/exports/daily", Value=json.dumps(POLICY), Type="String", Overwrite=True
    )
    bucket = f"airflow-{name}".lower()
    s3 = aws.client("s3", SPOKE)
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    role = _execution_role(deployment, name)
    session = deployment.cloud.session(role)
    variables = {
        "AIRFLOW_ENV_NAME": name,
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
        "AWS_ENDPOINT_URL_S3": deployment.cloud.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "2",  # what is shipped is seen at once, not within five minutes
    }
    with ExitStack() as last:
        airflow = RunningAirflow(request.param, folder / "airflow", dags=folder / "dags", environment=variables)
        last.callback(airflow.stop)
        airflow.begin()
        environment = Environment.create(
            aws,
            SPOKE,
            name,
            make_network(aws, SPOKE, REGION),
            mode="PUBLIC_ONLY",
            management="SERVICE",
            version=request.param,
            tags={"groundcrew:exports": "daily"},
            bucket=bucket,
        )
        airflow.wait()
        deployment.cloud.attach_airflow(environment.arn, door=airflow.door, version=airflow.version)
        deployment.until_status(environment, "AVAILABLE")
        yield Exporting(deployment, environment, airflow, bucket, role)
        environment.delete()
        deployment.until_status(environment, "DELETED")


def _execution_role(deployed: Deployed, name: str) -> str:
    """With the statements that the spoke's output names."""
    iam = deployed.aws.client("iam", SPOKE)
    said = deploy.outputs(deployed.cloud, SPOKE_STACK, SPOKE, REGION)["ExportPolicy"]
    key = deploy.outputs(deployed.cloud, STACK, HUB, REGION)["ExportsKeyArn"]
    statements = json.loads(said.replace("<environment>", name).replace("<ExportsKeyArn of the hub>", key))
    role = iam.create_role(
        RoleName=f"airflow-{name}", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
    )["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName=f"airflow-{name}", PolicyName="exports", PolicyDocument=document)
    return str(role)


def test_a_real_environment_is_exported_to_parquet(exporting: Exporting, tmp_path: Path) -> None:
    airflow = exporting.airflow
    airflow.backend.cli("dags unpause hello")
    status, answer = airflow.backend.rest("POST", "/dags/hello/dagRuns", {}, _run(airflow.version, "first"))
    assert status == 200, answer
    exporting.deployed.until(
        lambda: airflow.sql("select 1 as n from dag_run where run_id = 'first' and state = 'success'"),
        "a run",
        seconds=90,
        turn=0,
    )
    # The outside engine reads nothing that is younger than a minute. Airflow writes by the real clock, hours behind the
    # cloud's by now: what the sweep has exported already ends after this run, so the window is open.
    exporting.deployed.cloud.advance(120)
    said = exporting.export(window={"from": None, "until": None})
    assert "cause" not in said, said
    assert said["engine"] == ("inside" if airflow.version.startswith("2.") else "outside")
    assert said["tables"]["dag_run"] >= 1
    manifest = json.loads(exporting.objects(said["manifest"])[said["manifest"]])
    assert manifest["verified"] is True
    assert manifest["covered"]["task_instance"]["column"] == "updated_at"
    found = exporting.rows("task_instance", "dag_id, task_id, run_id, state", tmp_path)
    there = airflow.sql("select dag_id, task_id, run_id, state from task_instance where run_id = 'first'")
    assert {tuple(row.values()) for row in there} <= set(found)
    assert ("hello", "first", "success") in exporting.rows("dag_run", "dag_id, run_id, state", tmp_path)


def test_an_execution_role_writes_where_its_account_may_and_nowhere_else(exporting: Exporting) -> None:
    s3 = exporting.deployed.aws.as_role("s3", exporting.role)
    ours = f"extracts/{SPOKE}/{REGION}/{exporting.environment.name}"
    s3.put_object(Bucket=BUCKET, Key=f"{ours}/20261127T043000Z-0a1b2c3d/x", Body=b"")
    for key in (f"extracts/{HUB}/{REGION}/x/x", f"manifests/{SPOKE}/x.json", "tables/dag/x"):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    with pytest.raises(ClientError, match=r"AccessDenied|403|Forbidden"):
        s3.get_object(Bucket=BUCKET, Key=f"{ours}/20261127T043000Z-0a1b2c3d/x")


def _run(version: str, run_id: str) -> dict[str, Any]:
    return {"dag_run_id": run_id} | ({} if version.startswith("2.") else {"logical_date": None})

"""Exports on the deployed cloud, of real Airflows: inside of 2.10.3, outside of 3.3.1, to Parquet that DuckDB reads."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from botocore.exceptions import ClientError

from localcloud.airflow import installed
from localcloud.installation import HUB, REGION
from tests.cloud.scenarios.deployed import SPOKE, Deployed
from tests.cloud.scenarios.real import EXPORTS, Real

POLICY = {"every_hours": 24, "tables": ["dag", "dag_run", "task_instance", "log", "slot_pool"]}


@pytest.fixture(scope="module", params=["2.10.3", "3.3.1"])
def exporting(
    request: pytest.FixtureRequest, deployment: Deployed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Real]:
    try:
        installed.require(request.param)
    except installed.NotInstalled as error:
        pytest.skip(str(error))
    deployment.aws.client("ssm", HUB).put_parameter(
        Name="/groundcrew/exports/daily", Value=json.dumps(POLICY), Type="String", Overwrite=True
    )
    folder = tmp_path_factory.mktemp("exports")
    with Real.made(deployment, request.param, folder, {"groundcrew:exports": "daily"}) as real:
        yield real


def rows(real: Real, table: str, columns: str, folder: Path) -> list[tuple[Any, ...]]:
    """What DuckDB reads of a table's Parquet, of this environment."""
    files = []
    for key, content in real.objects(f"tables/{table}/").items():
        files.append(str(folder / key.replace("/", "-")))
        Path(files[-1]).write_bytes(content)
    with duckdb.connect() as connection:
        found = connection.execute(
            f"select distinct {columns} from read_parquet({files!r}, union_by_name = true) where environment = ?",
            [real.environment.name],
        )
        return found.fetchall()


@pytest.mark.path
def test_a_real_environment_is_exported_to_parquet(exporting: Real, tmp_path: Path) -> None:
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
    said = exporting.ask("Metadata Export", window={"from": None, "until": None})
    assert "cause" not in said, str(said)
    assert said["engine"] == ("inside" if airflow.version.startswith("2.") else "outside")
    assert said["tables"]["dag_run"] >= 1
    # The role User of Airflow 3 may not read audit logs, and the hub's roles let it be no other.
    assert list(said["left_out"]) == ([] if airflow.version.startswith("2.") else ["log"])
    manifest = json.loads(exporting.objects(said["manifest"])[said["manifest"]])
    assert manifest["verified"] is True
    assert manifest["covered"]["task_instance"]["column"] == "updated_at"
    found = rows(exporting, "task_instance", "dag_id, task_id, run_id, state", tmp_path)
    there = airflow.sql("select dag_id, task_id, run_id, state from task_instance where run_id = 'first'")
    assert {tuple(row.values()) for row in there} <= set(found)
    assert ("hello", "first", "success") in rows(exporting, "dag_run", "dag_id, run_id, state", tmp_path)


def test_audit_logs_are_exported_where_the_owner_lets_users_read_them(exporting: Real, tmp_path: Path) -> None:
    with exporting.deployed.switched(mwaa_audit_logs_for="User"):
        exporting.deployed.cloud.advance(120)
        said = exporting.ask("Metadata Export", window={"from": None, "until": None}, tables=["log"])
    assert "cause" not in said, str(said)
    assert (said["tables"]["log"] > 0, said["left_out"]) == (True, {})
    there = exporting.airflow.sql("select id from log order by id limit 1")
    assert (there[0]["id"],) in rows(exporting, "log", "id", tmp_path)


def test_an_execution_role_writes_where_its_account_may_and_nowhere_else(exporting: Real) -> None:
    s3 = exporting.deployed.aws.as_role("s3", exporting.role)
    ours = f"extracts/{SPOKE}/{REGION}/{exporting.environment.name}"
    s3.put_object(Bucket=EXPORTS, Key=f"{ours}/20261127T043000Z-0a1b2c3d/x", Body=b"")
    for key in (f"extracts/{HUB}/{REGION}/x/x", f"manifests/{SPOKE}/x.json", "tables/dag/x"):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket=EXPORTS, Key=key, Body=b"")
    with pytest.raises(ClientError, match=r"AccessDenied|403|Forbidden"):
        s3.get_object(Bucket=EXPORTS, Key=f"{ours}/20261127T043000Z-0a1b2c3d/x")


def test_publishing_sees_that_a_file_is_missing(groundcrew: Deployed) -> None:
    """And does not take it for one that may not be read: then the remedy would be wrong."""
    s3 = groundcrew.aws.as_role("s3", f"arn:aws:iam::{HUB}:role/groundcrew/groundcrew-exports-step-{REGION}")

    def status(call: Any, key: str) -> int:
        with pytest.raises(ClientError) as caught:
            call(Bucket=EXPORTS, Key=key)
        return int(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])

    assert status(s3.get_object, "verified/none.json") == 404
    assert status(s3.head_object, "tables/dag_run/none.parquet") == 404
    assert status(s3.get_object, "reports/none.json") == 403


def _run(version: str, run_id: str) -> dict[str, Any]:
    return {"dag_run_id": run_id} | ({} if version.startswith("2.") else {"logical_date": None})

"""A clean-up of a real Airflow 2 on the deployed cloud: asked for, exported, cleaned inside, reported."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localcloud.airflow import installed
from localcloud.airflow.postgres import query
from localcloud.installation import HUB, REGION
from localcloud.testing.waiting import eventually
from tests.cloud.scenarios.deployed import SPOKE, Deployed
from tests.cloud.scenarios.real import EXPORTS, Real, samples
from tests.support.airflow.cleaning import past

VERSION = "2.10.3"
OLD, KEPT = 90, 30
ALL = {"dag_run": 2 * OLD, "task_instance": 2 * OLD, "xcom": 2 * OLD}
PARAMETER = "/groundcrew/cleanup/inside"


@pytest.fixture(scope="module")
def real(deployment: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    try:
        installed.require(VERSION)
    except installed.NotInstalled as error:
        pytest.skip(str(error))
    ssm = deployment.aws.client("ssm", HUB)
    ssm.put_parameter(Name="/groundcrew/exports/inside", Value="{}", Type="String")
    policy(deployment)
    folder = tmp_path_factory.mktemp("cleanup")
    past.scheduled(samples(folder / "dags"))
    with Real.made(deployment, VERSION, folder, {}) as made:
        past.fill(made.airflow, OLD)
        tags = {"groundcrew:exports": "inside", "groundcrew:cleanup": "inside"}
        deployment.aws.client("mwaa", SPOKE).tag_resource(ResourceArn=made.environment.arn, Tags=tags)
        yield made


def policy(deployed: Deployed, **changes: Any) -> None:
    """It is cleaned when it is asked for: the policy's window is not open now."""
    opens = datetime.fromtimestamp(deployed.cloud.now(), UTC) + timedelta(hours=18)
    window = {"from": f"{opens:%H:%M}", "until": f"{opens + timedelta(hours=1):%H:%M}"}
    document = {"mode": "delete", "days": {"default": KEPT}, "confirm": 1, "window": window} | changes
    deployed.aws.client("ssm", HUB).put_parameter(
        Name=PARAMETER, Type="String", Value=json.dumps(document), Overwrite=True
    )


def exported(real: Real) -> None:
    """An export that is fresh: Airflow's clock is the real one, and the cloud's may be days ahead of it by now."""
    said = real.ask("Metadata Export")
    assert "cause" not in said, str(said)
    (content,) = real.objects(said["manifest"]).values()
    at = datetime.fromtimestamp(real.deployed.cloud.now(), UTC)
    key = said["manifest"].replace(said["export_id"], f"{at:%Y%m%dT%H%M%SZ}-ffffffff")
    manifest = json.dumps(json.loads(content) | {"snapshot_at": at.isoformat()})
    real.deployed.aws.client("s3", HUB).put_object(Bucket=EXPORTS, Key=key, Body=manifest.encode())


def orders(real: Real) -> list[str]:
    """The orders that lie in the environment's bucket."""
    s3 = real.deployed.aws.client("s3", SPOKE)
    listed = s3.list_objects_v2(Bucket=real.bucket, Prefix="dags/groundcrew/orders/")
    return [item["Key"] for item in listed.get("Contents", ())]


@pytest.fixture(scope="module")
def changed(real: Real) -> Real:
    """One run has changed since the export, which does not have it as it is now."""
    exported(real)
    query(real.airflow.database, "update dag_run set updated_at = now() where run_id = 'scheduled__past-80'")
    return real


def test_a_report_deletes_nothing(changed: Real) -> None:
    policy(changed.deployed, mode="report")
    said = changed.ask("Metadata Cleanup")
    assert (said.get("cause"), said.get("mode"), said["engine"]) == (None, "report", "inside")
    assert said["tables"]["dag_run"]["left"] >= 2 * (OLD - KEPT)
    assert past.left(changed.airflow) == ALL


@pytest.mark.path
def test_what_is_old_and_exported_goes_out_of_the_real_database(changed: Real) -> None:
    real, airflow = changed, changed.airflow
    policy(real.deployed)
    said = real.ask("Metadata Cleanup")
    assert "cause" not in said, str(said)
    left = past.left(airflow)
    # What is younger than thirty days, and what has changed.
    assert left == dict.fromkeys(ALL, 2 * (KEPT - 1) + 2)
    assert {table: said["tables"][table]["deleted"] for table in ALL} == {
        table: ALL[table] - left[table] for table in ALL
    }
    assert not said["converged"]
    assert "not in a verified export" in said["tables"]["dag_run"]["kept"]
    (report,) = real.objects(said["report"]).values()
    assert json.loads(report)["tables"] == said["tables"]
    assert orders(real) == [f"dags/groundcrew/orders/{said['cleanup_id']}.json"]


def test_the_scheduler_does_not_notice_and_the_next_one_converges(real: Real) -> None:
    airflow = real.airflow
    ticked = past.ticked(airflow)
    eventually(lambda: past.ticked(airflow) >= ticked + 2)
    assert past.ticks(airflow) == []

    exported(real)
    said = real.ask("Metadata Cleanup")
    assert said["converged"], said["tables"]["dag_run"]
    assert past.left(airflow) == dict.fromkeys(ALL, 2 * (KEPT - 1))


def test_a_run_that_may_not_report_has_failed(real: Real) -> None:
    policy(real.deployed, mode="report", export_required=False)
    iam, name = real.deployed.aws.client("iam", SPOKE), f"airflow-{real.environment.name}"
    kept = iam.get_role_policy(RoleName=name, PolicyName="exports")["PolicyDocument"]
    iam.delete_role_policy(RoleName=name, PolicyName="exports")
    try:
        said = real.ask("Metadata Cleanup")
    finally:
        iam.put_role_policy(RoleName=name, PolicyName="exports", PolicyDocument=json.dumps(kept))
    assert (said["cause"], said["tables"]) == ("NoReport", {})
    folder = f"extracts/{SPOKE}/{REGION}/{real.environment.name}/{said['cleanup_id']}/"
    assert real.objects(folder) == {}


def test_with_the_tags_off_what_was_shipped_goes(real: Real) -> None:
    mwaa, s3 = (real.deployed.aws.client(service, SPOKE) for service in ("mwaa", "s3"))

    def shipped() -> set[str]:
        listed = s3.list_object_versions(Bucket=real.bucket, Prefix="dags/groundcrew/")
        return {version["Key"] for version in listed.get("Versions", ())}

    assert {"dags/groundcrew/groundcrew_cleanup.py", "dags/groundcrew/groundcrew_export.py"} <= shipped()

    def withdraw(part: str) -> None:
        mwaa.tag_resource(ResourceArn=real.environment.arn, Tags={f"groundcrew:{part}": "off"})
        real.deployed.sweep()

    withdraw("cleanup")
    real.deployed.until(lambda: "dags/groundcrew/groundcrew_cleanup.py" not in shipped(), "clean-ups withdrawn")
    assert "dags/groundcrew/groundcrew_export.py" in shipped(), "what exports need stays"
    withdraw("exports")
    real.deployed.until(lambda: shipped() == set(), "all withdrawn")

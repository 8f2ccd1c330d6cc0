"""The routes of ``examples/routes``, deployed as they are: from what happens to the runs, and to no others."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from localcloud.installation import HUB
from localcloud.testing.served import unique
from tests.cloud.scenarios.airflows import DAGS, TEAM, V3, Fleet, available, stack
from tests.cloud.scenarios.deployed import OTHER, SPOKE, Deployed

ROUTES = Path(__file__).resolve().parents[3] / "examples/routes"
AWKWARD = 'incoming/all of "May" \\ 2026/é<1>.csv'


def test_an_object_in_s3(groundcrew: Deployed, fleet: Fleet) -> None:
    bucket, elsewhere = unique("incoming"), unique("elsewhere")
    before = len(fleet.runs(fleet.v2))
    route = {"BucketName": bucket, "EnvironmentArn": fleet.v2.arn, "DagId": "load"}
    s3 = groundcrew.aws.client("s3", SPOKE)
    with (
        stack(groundcrew, ROUTES / "s3-object-bucket.yaml", SPOKE, BucketName=bucket),
        stack(groundcrew, ROUTES / "s3-object-bucket.yaml", SPOKE, BucketName=elsewhere),
        stack(groundcrew, ROUTES / "s3-object.yaml", **route),
    ):
        s3.put_object(Bucket=bucket, Key="outgoing/a.csv", Body=b"1")
        s3.put_object(Bucket=elsewhere, Key="incoming/a.csv", Body=b"1")
        s3.put_object(Bucket=bucket, Key=AWKWARD, Body=b"12")
        groundcrew.until(lambda: len(fleet.runs(fleet.v2)) > before, "the run")
        groundcrew.until_idle()
    (run,) = fleet.runs(fleet.v2)[before:]
    assert run["dag_id"] == "load"
    assert run["conf"]["bucket"]["name"] == bucket
    assert (run["conf"]["object"]["key"], run["conf"]["object"]["size"]) == (AWKWARD, 2)


def succeeded(fleet: Fleet, request_id: str, **more: Any) -> dict[str, Any]:
    """What the listener says of a run."""
    return {
        "environment": fleet.v2.ref,
        "dag_id": "load",
        "run_id": "scheduled__2026-11-22T00:00:00+00:00",
        "run_type": "scheduled",
        "state": "success",
        "logical_date": "2026-11-22T00:00:00+00:00",
        "start_date": None,
        "end_date": None,
        "clear_number": 0,
        "conf": None,
        "airflow_version": fleet.v2.describe()["AirflowVersion"],
        "request_id": request_id,
        **more,
    }


@pytest.mark.parametrize("granted", [True, False])
def test_a_dag_after_a_dag(groundcrew: Deployed, fleet: Fleet, granted: bool) -> None:
    """One environment on Airflow 2, another account's on Airflow 3; an event that comes again starts nothing again."""
    request_id = unique("chain")
    before = len(fleet.runs(fleet.v2)), len(fleet.runs(fleet.v3))
    route = {
        "UpstreamArn": fleet.v2.arn,
        "UpstreamDagId": "load",
        "Downstream1Arn": fleet.v2.arn,
        "Downstream2Arn": fleet.v3.arn,
        "DownstreamDagId": "report",
        "MakeGrant": str(granted).lower(),
    }
    with stack(groundcrew, ROUTES / "dag-after-dag.yaml", **route):
        for account, detail in (
            (OTHER, succeeded(fleet, unique("forged"))),
            (SPOKE, succeeded(fleet, unique("other-dag"), dag_id="report")),
            (SPOKE, succeeded(fleet, unique("failed"), state="failed")),
            (SPOKE, succeeded(fleet, unique("elsewhere"), environment=fleet.v3.ref)),
            (SPOKE, succeeded(fleet, f'{unique("injected")}", "if_paused": "unpause", "note": "')),
            (SPOKE, succeeded(fleet, unique("injected"), run_id='a\\", "note": "b')),
            (SPOKE, succeeded(fleet, request_id)),
            (SPOKE, succeeded(fleet, request_id)),
        ):
            groundcrew.put(account, "groundcrew.airflow", "DAG Run State Change", detail)
        groundcrew.until(lambda: len(fleet.told("DAG Run Started", request_id)) == 2 + 2 * granted, "both, twice")
        groundcrew.until_idle()
        denied = groundcrew.facts("Request Denied", fleet.v3)
    new = fleet.runs(fleet.v2)[before[0] :] + fleet.runs(fleet.v3)[before[1] :]
    assert [run["run_id"] for run in new] == [f"groundcrew__{request_id}"] * (1 + granted)
    assert {(run["dag_id"], run["conf"]["upstream_run_id"]) for run in new} == {
        ("report", "scheduled__2026-11-22T00:00:00+00:00")
    }
    assert True in {one["already"] for one in fleet.told("DAG Run Started", request_id)}
    assert bool(denied) is not granted


def minute_after(now: float) -> datetime:
    """The next but one full minute, so that a schedule for it is there before."""
    return datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0) + timedelta(minutes=2)


def nightly(groundcrew: Deployed, planned: datetime) -> Any:
    expression = f"cron({planned.minute} {planned.hour} * * ? *)"
    route = {"TagValue": TEAM, "DagId": "load", "ScheduleExpression": expression}
    return stack(groundcrew, ROUTES / "nightly.yaml", **route)


def test_every_night(groundcrew: Deployed, fleet: Fleet) -> None:
    """Delivered at the second try it is the same request."""
    before = len(fleet.runs(fleet.v2)), len(fleet.runs(fleet.v3))
    planned = minute_after(groundcrew.cloud.now())
    groundcrew.cloud.add_fault(role="scheduler", action="events:PutEvents", kind="throttle")
    with nightly(groundcrew, planned) as name:
        groundcrew.cloud.advance(180, step=20)
        request_id = f"{name}-{planned:%Y-%m-%dT%H:%M:%SZ}"
        groundcrew.until(lambda: len(fleet.told("DAG Run Started", request_id)) == 2, "both runs")
        groundcrew.until_idle()
        assert [fault["fired"] for fault in groundcrew.cloud.faults()] == [1]
        used = {one["sid"]: one["used"] for one in groundcrew.cloud.permissions(path=f"/{name}")}
    new = fleet.runs(fleet.v2)[before[0] :], fleet.runs(fleet.v3)[before[1] :]
    assert [[run["run_id"] for run in runs] for runs in new] == [[f"groundcrew__{request_id}"]] * 2
    assert used["Ask"]


def test_a_night_that_cannot_be_asked_for_is_kept(groundcrew: Deployed) -> None:
    planned = minute_after(groundcrew.cloud.now())
    with nightly(groundcrew, planned) as name:
        (role,) = {one["role"].rsplit("/", 1)[-1] for one in groundcrew.cloud.permissions(path=f"/{name}")}
        with groundcrew.without(role, HUB, "events:PutEvents"):
            groundcrew.cloud.advance(180, step=20)
            groundcrew.until(groundcrew.undelivered, "the dead letter")
        used = {one["sid"]: one["used"] for one in groundcrew.cloud.permissions(path=f"/{name}")}
    (letter,) = groundcrew.bury("groundcrew-undelivered")
    assert "NO_PERMISSIONS" in str(letter["MessageAttributes"])
    assert used["LoseNothing"]


@pytest.mark.parametrize("shape", ["lowerCamel", "UpperCamel"])
def test_a_smoke_test(groundcrew: Deployed, shape: str) -> None:
    """AWS does not say how the fields of its event are written."""
    with groundcrew.switched(mwaa_event_detail=shape), stack(groundcrew, ROUTES / "smoke.yaml", DagId="smoke"):
        environment = available(groundcrew, SPOKE, V3)
        groundcrew.made.append(environment)
        finished = groundcrew.until_fact("DAG Run Finished", environment)["detail"]
        groundcrew.until_idle()
    assert (finished["dag_id"], finished["state"]) == ("smoke", "success")
    (run,) = groundcrew.cloud.airflow_runs(environment.arn)
    assert run["dag_id"] == "smoke"
    assert next(dag for dag in DAGS if dag["dag_id"] == "smoke")["is_paused"]

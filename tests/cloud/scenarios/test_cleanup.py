"""Clean-ups on the deployed cloud: an environment on Airflow 3, its policy, and what is said of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localcloud.fleet import Environment
from localcloud.installation import HUB, REGION
from localcloud.testing.served import unique
from tests.cloud.scenarios.airflows import V3, available
from tests.cloud.scenarios.deployed import OTHER, SPOKE, Deployed, Fact

BUCKET = f"groundcrew-exports-{HUB}-{REGION}"
POLICY: dict[str, Any] = {"mode": "delete", "days": {"default": 30}, "confirm": 1}
LOCKS = "groundcrew-locks"
TURN = 30.0


@contextmanager
def policy(groundcrew: Deployed, **changes: Any) -> Iterator[str]:
    """The name of a policy for clean-ups."""
    ssm, name = groundcrew.aws.client("ssm", HUB), unique("cleanup")
    parameter = f"/groundcrew/cleanup/{name}"
    ssm.put_parameter(Name=parameter, Type="String", Value=json.dumps(POLICY | changes))
    yield name
    ssm.delete_parameter(Name=parameter)


@contextmanager
def environment_with(groundcrew: Deployed, **changes: Any) -> Iterator[Environment]:
    """One with such a policy."""
    with policy(groundcrew, **changes) as name:
        made = available(groundcrew, SPOKE, V3, tags={"groundcrew:cleanup": name})
        groundcrew.made.append(made)
        yield made


@pytest.fixture
def environment(groundcrew: Deployed) -> Iterator[Environment]:
    """One that is cleaned when it is asked for: its policy's window is not open now."""
    opens = datetime.fromtimestamp(groundcrew.cloud.now(), UTC) + timedelta(hours=18)
    window = {"from": f"{opens:%H:%M}", "until": f"{opens + timedelta(hours=1):%H:%M}"}
    with environment_with(groundcrew, window=window) as made:
        yield made


def exported(groundcrew: Deployed, environment: Environment, **columns: str) -> None:
    """A verified export, as its manifest says."""
    at = datetime.fromtimestamp(groundcrew.cloud.now(), UTC)
    covered = {table: {"column": column, "until": at.isoformat()} for table, column in columns.items()}
    export_id = f"{at:%Y%m%dT%H%M%SZ}-00000000"
    manifest = {"verified": True, "export_id": export_id, "snapshot_at": at.isoformat(), "covered": covered}
    key = f"manifests/{environment.account}/{environment.region}/{environment.name}/{export_id}.json"
    groundcrew.aws.client("s3", HUB).put_object(Bucket=BUCKET, Key=key, Body=json.dumps(manifest).encode())


def ask(groundcrew: Deployed, environment: Environment, sender: str = SPOKE, **detail: Any) -> str:
    """Ask for a clean-up as people do; the request's id."""
    request_id = unique("cleanup")
    asked = {"environment": environment.ref, "request_id": request_id, **detail}
    groundcrew.put(sender, "groundcrew.request", "Metadata Cleanup Requested", asked)
    return request_id


def told(groundcrew: Deployed, request_id: str, said: str = "Finished", turn: float = TURN) -> Fact:
    """What is said of a clean-up in the end."""

    def found() -> list[Fact]:
        facts = groundcrew.facts(f"Metadata Cleanup {said}")
        return [fact["detail"] for fact in facts if fact["detail"]["request_id"] == request_id]

    (fact,) = groundcrew.until(found, f"Metadata Cleanup {said}", turn=turn)
    return dict(fact)


@pytest.mark.path
def test_what_is_old_and_exported_or_expendable_goes(groundcrew: Deployed, environment: Environment) -> None:
    groundcrew.cloud.airflow_rows(environment.arn, {"log": [90, 31, 2], "xcom": [90, 29], "job": [90]})
    exported(groundcrew, environment, log="dttm")
    fact = told(groundcrew, ask(groundcrew, environment))
    left = groundcrew.cloud.airflow_rows(environment.arn)
    assert (left["log"], left["xcom"], left["job"]) == (1, 1, 1)
    assert {table: fact["tables"][table]["deleted"] for table in ("log", "xcom", "job")} == {
        "log": 2,
        "xcom": 1,
        "job": 0,
    }
    assert "neither exported nor expendable" in fact["tables"]["job"]["kept"]
    body = groundcrew.aws.client("s3", HUB).get_object(Bucket=BUCKET, Key=fact["report"])["Body"].read()
    assert json.loads(body)["tables"] == fact["tables"]


def test_what_is_due_is_cleaned_once(groundcrew: Deployed) -> None:
    """It has become AVAILABLE, and then the sweep sees it again and again."""
    with environment_with(groundcrew) as environment:
        groundcrew.cloud.airflow_rows(environment.arn, {"log": [90]})
        exported(groundcrew, environment, log="dttm")
        for _ in range(2):
            groundcrew.sweep()
        groundcrew.until(
            lambda: groundcrew.facts("Metadata Cleanup Finished", environment), "the clean-up", seconds=90, turn=TURN
        )
        groundcrew.until_idle()
        assert len(groundcrew.facts("Metadata Cleanup Finished", environment)) == 1
        assert groundcrew.cloud.airflow_rows(environment.arn)["log"] == 0


def test_an_export_is_asked_for_and_nothing_goes_without_one(groundcrew: Deployed, environment: Environment) -> None:
    groundcrew.cloud.airflow_rows(environment.arn, {"xcom": [90]})
    fact = told(groundcrew, ask(groundcrew, environment), "Failed", turn=600)  # it waits for hours
    assert fact["cause"] == "NotExported"
    assert groundcrew.cloud.airflow_rows(environment.arn)["xcom"] == 1
    machines = groundcrew.aws.client("stepfunctions", HUB)
    arn = f"arn:aws:states:{REGION}:{HUB}:stateMachine:groundcrew-cleanup"
    failed = machines.list_executions(stateMachineArn=arn, statusFilter="FAILED")["executions"]
    inputs = [machines.describe_execution(executionArn=one["executionArn"])["input"] for one in failed]
    assert fact["cleanup_id"] in [json.loads(one)["cleanup_id"] for one in inputs]


@pytest.mark.parametrize(("audit_logs_for", "left"), [("User", 1), ("Admin", 2)])
def test_the_export_that_has_to_come_first_is_made_and_then_it_is_cleaned(
    groundcrew: Deployed, audit_logs_for: str, left: int
) -> None:
    """Both parts together: the clean-up asks on the bus, and goes on with the manifest. Audit logs that no export could
    read are kept.
    """
    ssm, name = groundcrew.aws.client("ssm", HUB), unique("exports")
    ssm.put_parameter(Name=f"/groundcrew/exports/{name}", Type="String", Value="{}")
    with policy(groundcrew) as cleanup, groundcrew.switched(mwaa_audit_logs_for=audit_logs_for):
        tags = {"groundcrew:cleanup": cleanup, "groundcrew:exports": name}
        made = available(groundcrew, SPOKE, V3, tags=tags)
        groundcrew.made.append(made)
        groundcrew.cloud.airflow_rows(made.arn, {"log": [90, 2]})
        groundcrew.sweep()
        groundcrew.until(
            lambda: groundcrew.facts("Metadata Cleanup Finished", made), "the clean-up", seconds=150, turn=TURN
        )
    assert groundcrew.facts("Metadata Export Finished", made)
    said = groundcrew.facts("Metadata Cleanup Finished", made)[0]["detail"]["tables"]["log"]
    assert groundcrew.cloud.airflow_rows(made.arn)["log"] == left
    assert ("neither exported nor expendable" in (said["kept"] or "")) == (left == 2)
    ssm.delete_parameter(Name=f"/groundcrew/exports/{name}")


def test_what_cannot_be_honoured_is_refused(groundcrew: Deployed) -> None:
    with environment_with(groundcrew, keep_newest=5) as made:
        fact = told(groundcrew, ask(groundcrew, made), "Failed")
    assert (fact["cause"], fact["tables"]) == ("PolicyNotHonoured", {})


def test_who_may_not_ask_is_denied(groundcrew: Deployed, environment: Environment) -> None:
    ask(groundcrew, environment, sender=OTHER)
    denied = groundcrew.until_fact("Request Denied", environment)
    assert denied["detail"]["request"] == "Metadata Cleanup Requested"


def test_a_command_without_an_answer_is_waited_for(groundcrew: Deployed, environment: Environment) -> None:
    groundcrew.cloud.airflow_rows(environment.arn, {"log": [90, 80]})
    exported(groundcrew, environment, log="dttm")
    seen = groundcrew.logged("looked", "cleanup-step")
    request_id = ask(groundcrew, environment)
    groundcrew.cloud.add_fault(role=f"groundcrew-airflow-{REGION}", action="airflow-cli:db clean", kind="drop", times=1)
    locks = groundcrew.aws.client("dynamodb", HUB)

    def no_answer() -> bool:
        return groundcrew.logged("looked", "cleanup-step") > seen and bool(locks.scan(TableName=LOCKS)["Items"])

    groundcrew.until(no_answer, "a command without an answer", turn=TURN)
    for item in locks.scan(TableName=LOCKS)["Items"]:  # functions live in real time: it would open after five minutes
        locks.delete_item(TableName=LOCKS, Key={"name": item["name"]})
    fact = told(groundcrew, request_id)
    assert (groundcrew.cloud.airflow_rows(environment.arn)["log"], fact["tables"]["log"]["deleted"]) == (0, 2)
    assert fact["seconds"] >= timedelta(minutes=5).total_seconds()

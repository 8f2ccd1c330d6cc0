"""Step ``cleanup``: old rows go from a real metadata database of Airflow 3, young ones stay, and its DAGs still run."""

import json
import time
from typing import Any

from localcloud.airflow.postgres import query
from localcloud.airflow.running import RunningAirflow
from localcloud.demo.environments import Watched
from localcloud.demo.facts import Facts
from localcloud.demo.report import NotAsExpected, Step
from localcloud.demo.runs import DOWNSTREAM, Airflows
from localcloud.demo.setting import LOOK_SECONDS, Setting
from localcloud.demo.view import DIM, View
from localcloud.fleet import Environment
from localcloud.installation import HUB, REGION

NAME = "reports"
DAYS, KEPT_DAYS, ROWS_A_DAY = 400, 30, 20
PATIENCE_SECONDS = 120.0
POLICY = {
    "mode": "delete",
    "days": {"default": KEPT_DAYS},
    "confirm": 0.95,
    "expendable": ["log", "xcom"],
    "export_required": False,
}
HISTORY = f"""
insert into log (dttm, event, owner)
select now() - interval '1 day' * n / {ROWS_A_DAY}, 'demonstration', 'airflow'
from generate_series(1, {DAYS * ROWS_A_DAY}) n
"""


def clean(setting: Setting, airflows: Airflows, watched: list[Watched], view: View, step: Step) -> None:
    """Give an environment a past and a policy, ask for a clean-up, and hold its database against what is said of it."""
    environment = next(one.environment for one in watched if one.environment.name == NAME)
    airflow = airflows.running[NAME]
    query(airflow.database, HISTORY)
    before = _rows(airflow)
    setting.aws.client("ssm", HUB, REGION).put_parameter(
        Name="/groundcrew/cleanup/demo", Type="String", Value=json.dumps(POLICY)
    )
    setting.aws.client("mwaa", environment.account, REGION).tag_resource(
        ResourceArn=environment.arn, Tags={"groundcrew:cleanup": "demo"}
    )
    facts = Facts(setting.aws, "demo-cleanup", ("groundcrew",), "Metadata Cleanup")
    _ask(setting, environment, "Metadata Cleanup Requested", {"environment": environment.ref, "request_id": "demo"})
    detail = _ended(facts, view)
    after, log = _rows(airflow), detail["tables"]["log"]
    if log["deleted"] != before - after or after > (KEPT_DAYS + 1) * ROWS_A_DAY:
        raise NotAsExpected(f"{before - after} rows of the log are gone and {after} left, and said is {log}")
    step.facts["log_rows"] = {"before": before, "after": after, "said_to_be_deleted": log["deleted"]}
    step.facts["seconds"] = detail["seconds"]
    step.facts["runs_afterwards"] = _still_runs(setting, environment, airflow)


def _ended(facts: Facts, view: View) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for fact in facts.new():
            detail: dict[str, Any] = fact["detail"]
            said = fact["detail-type"].removeprefix("Metadata Cleanup ")
            deleted = sum(table["deleted"] for table in detail["tables"].values())
            view.say(f"{view.elapsed}   {NAME:8} {said:28} {view.paint(f'{deleted} rows deleted', DIM)}")
            if said != "Finished":
                raise NotAsExpected(f"it should be cleaned, but: {detail['evidence']}")
            if detail["request_id"] == "demo":
                return detail
        time.sleep(LOOK_SECONDS)
    raise NotAsExpected(f"the clean-up should have ended after {PATIENCE_SECONDS:.0f} s")


def _still_runs(setting: Setting, environment: Environment, airflow: RunningAirflow) -> str:
    asked = {"request_id": "after-cleanup", "environments": [NAME], "dag_id": DOWNSTREAM}
    _ask(setting, environment, "DAG Run Requested", asked)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        rows = airflow.sql("select state from dag_run where run_id = 'groundcrew__after-cleanup'")
        if rows and rows[0]["state"] == "success":
            return str(rows[0]["state"])
        time.sleep(LOOK_SECONDS)
    raise NotAsExpected(f"{DOWNSTREAM} should have run after the clean-up")


def _ask(setting: Setting, environment: Environment, detail_type: str, detail: dict[str, Any]) -> None:
    entry = {"Source": "groundcrew.request", "DetailType": detail_type, "Detail": json.dumps(detail)}
    setting.aws.client("events", environment.account, REGION).put_events(Entries=[entry])


def _rows(airflow: RunningAirflow) -> int:
    return int(airflow.sql("select count(*) n from log where event = 'demonstration'")[0]["n"])

"""Step ``cleanup``: old rows go from two real metadata databases, young ones stay, and their DAGs still run.

Airflow 3 is cleaned from outside, by its own ``db clean``; Airflow 2 from inside, by a DAG that is shipped into it.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from localcloud.airflow import folder
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

SCHEDULED = "sales"
DAG = """
from datetime import datetime, timedelta

from airflow import DAG
from airflow.operators.empty import EmptyOperator

with DAG(
    "{dag_id}",
    schedule=timedelta(seconds=15),
    start_date=datetime.fromisoformat("{now}"),
    catchup=True,
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="nothing")
"""
"""Runs every 15 seconds from the beginning on, and not once less."""
DAYS, KEPT_DAYS = 400, 30
PATIENCE_SECONDS = 120.0
TURN_SECONDS = 2.0
"""How far the cloud's clock is turned with each look, while a run inside is waited for: ten times as fast."""
POLICY: dict[str, Any] = {"mode": "delete", "days": {"default": KEPT_DAYS}, "confirm": 0.95}


@dataclass(frozen=True)
class Past:
    """So many rows a day, in one table of one environment, which were not there; and how they are told from others."""

    name: str
    table: str
    rows_a_day: int
    rows: str
    known: str
    policy: dict[str, Any]


OUTSIDE = Past(
    "reports",
    "log",
    20,
    "insert into log (dttm, event, owner) select moment, 'demonstration', 'airflow' from past",
    "event = 'demonstration'",
    POLICY | {"expendable": ["log", "xcom"], "export_required": False},
)
INSIDE = Past(
    "orders",
    "dag_run",
    4,
    f"""
    , runs as (
        insert into dag_run (dag_id, run_id, run_type, state, execution_date, start_date, end_date, updated_at,
            external_trigger)
        select '{SCHEDULED}', 'scheduled__past-' || n, 'scheduled', 'success', moment, moment, moment, moment, false
        from past returning dag_id, run_id, end_date)
    insert into task_instance (task_id, dag_id, run_id, state, start_date, end_date, updated_at, pool, pool_slots)
    select 'nothing', dag_id, run_id, 'success', end_date, end_date, end_date, 'default_pool', 1 from runs
    """,
    "run_id like 'scheduled\\_\\_past-%'",
    POLICY,
)


def give_past(airflows: Airflows) -> None:
    """Let both look as if they had run for more than a year, before they are exported; one goes on by a schedule."""
    for past in _pasts(airflows):
        moments = f"""
            with past as (select n, now() - interval '1 day' * n / {past.rows_a_day} as moment
                          from generate_series(1, {DAYS * past.rows_a_day}) n)"""
        airflow = airflows.running[past.name]
        query(airflow.database, moments + past.rows)
        if past is INSIDE:
            now = datetime.now(UTC).replace(microsecond=0).isoformat()
            (airflow.dags / f"{SCHEDULED}.py").write_text(DAG.format(dag_id=SCHEDULED, now=now))


def clean(setting: Setting, airflows: Airflows, watched: list[Watched], view: View, step: Step) -> None:
    """Ask for a clean-up of each, and hold its database against what is said of it."""
    environments = {one.environment.name: one.environment for one in watched}
    facts = Facts(setting.aws, "demo-cleanup", ("groundcrew",), "Metadata Cleanup")
    step.facts["cleanups"] = []
    for past in _pasts(airflows):
        airflow, environment = airflows.running[past.name], environments[past.name]
        before = _rows(airflow, past)
        detail = _cleaned(setting, facts, environment, airflow, past, view)
        after, said = _rows(airflow, past), detail["tables"][past.table]
        if said["deleted"] != before - after or not after or after > (KEPT_DAYS + 1) * past.rows_a_day:
            raise NotAsExpected(f"{past.name}: {before - after} rows of {past.table} are gone and {after} left: {said}")
        step.facts["cleanups"].append(
            {
                **{key: detail[key] for key in ("engine", "airflow_version", "seconds", "converged")},
                "environment": past.name,
                "table": past.table,
                "rows": {"before": before, "after": after, "said_to_be_deleted": said["deleted"]},
            }
        )
    step.facts["runs_afterwards"] = _still_runs(setting, environments[OUTSIDE.name], airflows.running[OUTSIDE.name])
    if INSIDE in _pasts(airflows):
        step.facts["scheduled_runs"] = _goes_on(airflows.running[INSIDE.name])


def _pasts(airflows: Airflows) -> list[Past]:
    """Without Airflow 2, there is nothing to be cleaned inside."""
    return [OUTSIDE, *([INSIDE] if airflows.running[INSIDE.name].version.startswith("2.") else [])]


def _cleaned(
    setting: Setting, facts: Facts, environment: Environment, airflow: RunningAirflow, past: Past, view: View
) -> dict[str, Any]:
    """What was said of a clean-up that has ended well."""
    setting.aws.client("ssm", HUB, REGION).put_parameter(
        Name=f"/groundcrew/cleanup/{past.name}", Type="String", Value=json.dumps(past.policy)
    )
    setting.aws.client("mwaa", environment.account, REGION).tag_resource(
        ResourceArn=environment.arn, Tags={"groundcrew:cleanup": past.name}
    )
    asked = {"environment": environment.ref, "request_id": f"clean-{past.name}"}
    _ask(setting, environment, "Metadata Cleanup Requested", asked)
    s3, bucket = setting.aws.client("s3", environment.account, REGION), environment.bucket

    def told() -> dict[str, Any] | None:
        if past is INSIDE:
            folder.copy(s3, bucket, airflow.dags)
            setting.cloud.advance(TURN_SECONDS)
        for fact in facts.new():
            detail: dict[str, Any] = fact["detail"]
            said = fact["detail-type"].removeprefix("Metadata Cleanup ")
            deleted = f"{sum(table['deleted'] for table in detail['tables'].values())} rows deleted, {detail['engine']}"
            view.say(f"{view.elapsed}   {detail['environment']['name']:8} {said:28} {view.paint(deleted, DIM)}")
            if said != "Finished":
                raise NotAsExpected(f"it should be cleaned, but: {detail['cause']}: {detail['evidence']}")
            if detail["request_id"] == asked["request_id"]:
                return detail
        return None

    return dict(_until(told, f"the clean-up of {past.name} should have ended"))


def _still_runs(setting: Setting, environment: Environment, airflow: RunningAirflow) -> str:
    asked = {"request_id": "after-cleanup", "environments": [environment.name], "dag_id": DOWNSTREAM}
    _ask(setting, environment, "DAG Run Requested", asked)
    select = "select state from dag_run where run_id = 'groundcrew__after-cleanup' and state = 'success'"
    return str(_until(lambda: airflow.sql(select), f"{DOWNSTREAM} should have run after the clean-up")[0]["state"])


def _goes_on(airflow: RunningAirflow) -> int:
    """How many scheduled runs there were, the last one after the clean-up, none lost and none twice."""
    select = (
        "select data_interval_start::text since, data_interval_end::text until, start_date::text began from dag_run"
        f" where dag_id = '{SCHEDULED}' and not ({INSIDE.known}) and state = 'success' order by data_interval_start"
    )
    now = datetime.now(UTC)

    def made() -> list[dict[str, Any]]:
        rows = airflow.sql(select)
        return rows if rows and datetime.fromisoformat(rows[-1]["began"]) > now else []

    rows = _until(made, f"{SCHEDULED} should have gone on after the clean-up")
    gaps = [row["until"] for row, later in pairwise(rows) if row["until"] != later["since"]]
    if gaps:
        raise NotAsExpected(f"{SCHEDULED} should have run for every interval; what follows these is missing: {gaps}")
    return len(rows)


def _until(check: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := check()):
        if time.monotonic() > deadline:
            raise NotAsExpected(f"{what} after {PATIENCE_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)
    return answer


def _ask(setting: Setting, environment: Environment, detail_type: str, detail: dict[str, Any]) -> None:
    entry = {"Source": "groundcrew.request", "DetailType": detail_type, "Detail": json.dumps(detail)}
    setting.aws.client("events", environment.account, REGION).put_events(Entries=[entry])


def _rows(airflow: RunningAirflow, past: Past) -> int:
    return int(airflow.sql(f"select count(*) n from {past.table} where {past.known}")[0]["n"])

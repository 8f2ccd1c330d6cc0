"""Step ``exports``: the metadata of both real Airflows becomes Parquet, and a question about them is answered."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import duckdb

from localcloud import deploy
from localcloud.airflow import folder
from localcloud.airflow.running import RunningAirflow
from localcloud.demo.environments import Watched
from localcloud.demo.facts import Facts
from localcloud.demo.report import NotAsExpected, Step
from localcloud.demo.runs import Airflows
from localcloud.demo.setting import LOOK_SECONDS, Setting
from localcloud.demo.view import View
from localcloud.fleet import Environment
from localcloud.installation import HUB, REGION, SPOKE_STACK, STACK

POLICY = {"every_hours": 24, "tables": ["dag", "dag_run", "task_instance", "log", "slot_pool"]}
PATIENCE_SECONDS = 240.0
SETTLED_SECONDS = 70.0
QUESTION = """
select environment, dag_id, task_id, state, round(duration, 2) as seconds
from current_task_instance(?) where dag_id not in ('groundcrew_export', 'sales') order by environment, dag_id, task_id
"""
VIEWS = deploy.ROOT / "analytics/duckdb.sql"


def ask(setting: Setting, airflows: Airflows, watched: list[Watched], place: Path, view: View, step: Step) -> None:
    """Have both exported, and ask DuckDB what has run in them."""
    environments = {one.environment.name: one.environment for one in watched}
    orders, reports = environments["orders"], environments["reports"]
    _let(setting, orders, reports)
    # The outside engine reads nothing that is younger than a minute, because it may still change; the runs are.
    setting.cloud.advance(SETTLED_SECONDS)
    airflows.running["orders"].turn_clock(setting.cloud.now() - time.time())  # a snapshot is never older than its order
    facts = Facts(setting.aws, "demo-exports", ("groundcrew",), "Metadata Export")
    for environment in (orders, reports):
        detail = {"environment": environment.ref, "request_id": f"demo-{environment.name}"}
        entry = {
            "Source": "groundcrew.request",
            "DetailType": "Metadata Export Requested",
            "Detail": json.dumps(detail),
        }
        setting.aws.client("events", environment.account, REGION).put_events(Entries=[entry])
    ended = _until_ended(setting, facts, orders, airflows.running["orders"], view)
    _download(setting, place)
    with duckdb.connect() as connection:
        connection.execute(VIEWS.read_text())
        rows = connection.execute(QUESTION, [str(place)]).fetchall()
    view.say("  What has run, says DuckDB over the Parquet:")
    for environment, dag_id, task_id, state, seconds in rows:
        view.say(f"    {environment:8} {dag_id:8} {task_id:8} {state or '':8} {seconds or 0:6.2f} s")
    seen = {(row[0], row[1], row[3]) for row in rows}
    wanted = {("orders", "hello", "success"), ("reports", "echo", "success")}
    if not wanted <= seen:
        raise NotAsExpected(f"{sorted(wanted - seen)} should be in the exports")
    left_out = {name: sorted(detail["left_out"]) for name, detail in ended.items()}
    if left_out != {"orders": [], "reports": ["log"]}:
        raise NotAsExpected(f"only audit logs of Airflow 3 should be left out, but: {left_out}")
    step.facts["exports"] = [
        {key: detail[key] for key in ("export_id", "engine", "airflow_version", "tables", "left_out", "manifest")}
        for detail in ended.values()
    ]
    step.facts["answer"] = [list(row) for row in rows]


def _let(setting: Setting, orders: Environment, reports: Environment) -> None:
    """The policy, both environments' tags, and what the execution role of the older one needs."""
    aws = setting.aws
    ssm = aws.client("ssm", HUB, REGION)
    ssm.put_parameter(Name="/groundcrew/exports/demo", Value=json.dumps(POLICY), Type="String")
    for environment in (orders, reports):
        mwaa = aws.client("mwaa", environment.account, REGION)
        mwaa.tag_resource(ResourceArn=environment.arn, Tags={"groundcrew:exports": "demo"})
    s3, bucket = aws.client("s3", orders.account, REGION), orders.bucket
    if bucket not in {one["Name"] for one in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    said = deploy.outputs(setting.cloud, SPOKE_STACK, orders.account, REGION)["ExportPolicy"]
    key = deploy.outputs(setting.cloud, STACK, HUB, REGION)["ExportsKeyArn"]
    statements = json.loads(said.replace("<environment>", orders.name).replace("<ExportsKeyArn of the hub>", key))
    aws.client("iam", orders.account).put_role_policy(
        RoleName=f"airflow-{orders.name}",
        PolicyName="exports",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )


def _until_ended(
    setting: Setting, facts: Facts, orders: Environment, airflow: RunningAirflow, view: View
) -> dict[str, dict[str, Any]]:
    """What was said of each environment's export; meanwhile its DAG folder follows its bucket, as MWAA sees to it."""
    ended: dict[str, dict[str, Any]] = {}
    s3 = setting.aws.client("s3", orders.account, REGION)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(ended) < 2:
        folder.copy(s3, orders.bucket, airflow.dags)
        for fact in facts.new():
            detail = fact["detail"]
            if fact["detail-type"] == "Metadata Export Failed":
                raise NotAsExpected(f"both should be exported, but: {detail['cause']}: {detail['evidence']}")
            ended[detail["environment"]["name"]] = detail
            rows = sum(detail["tables"].values())
            view.say(f"{view.elapsed}   {detail['environment']['name']:8} {rows} rows, {detail['engine']}")
            for table, why in detail["left_out"].items():
                view.say(f"           left out: {table}. {why}")
        if time.monotonic() > deadline:
            raise NotAsExpected(f"both exports should have ended after {PATIENCE_SECONDS:.0f} s; {sorted(ended)} have")
        time.sleep(LOOK_SECONDS)
    return ended


def _download(setting: Setting, place: Path) -> None:
    """The Parquet of all tables, and the manifests that make exports of it."""
    shutil.rmtree(place, ignore_errors=True)
    s3 = setting.aws.client("s3", HUB, REGION)
    bucket = deploy.outputs(setting.cloud, STACK, HUB, REGION)["ExportsBucket"]
    for prefix in ("tables/", "manifests/"):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                file = place / item["Key"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())

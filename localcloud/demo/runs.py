"""Step ``runs``: a DAG that succeeds in one environment starts a DAG in another, of another account and version.

Both Airflows are real, with real databases; the first one's listener says that its run has succeeded.
"""

import json
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud import deploy
from localcloud.airflow.running import SAMPLES, RunningAirflow
from localcloud.aws import Aws
from localcloud.client import Client
from localcloud.demo.environments import DOWNSTREAM_VERSION, Watched, upstream_version
from localcloud.demo.facts import Facts
from localcloud.demo.report import NotAsExpected, Step
from localcloud.demo.setting import LOOK_SECONDS, Setting
from localcloud.demo.view import DIM, View
from localcloud.installation import HUB, REGION, SPOKES

UPSTREAM, DOWNSTREAM = "hello", "echo"
ROUTE = deploy.ROOT / "examples/routes/dag-after-dag.yaml"
LISTENER = deploy.ROOT / "layers/airflow/plugins/dist/groundcrew_listener-0.1.0-py3-none-any.whl"
PATIENCE_SECONDS = 120.0
TRUST = {"Effect": "Allow", "Principal": {"Service": "airflow-env.amazonaws.com"}, "Action": "sts:AssumeRole"}


@dataclass
class Airflows:
    """The real Airflows, each behind the environment of its name."""

    running: dict[str, RunningAirflow] = field(default_factory=dict)
    _last: ExitStack = field(default_factory=ExitStack)

    def begin(self, cloud: Client, directory: Path) -> None:
        """Start them, without waiting: they take a while, and there is enough to do meanwhile.

        They end with the cloud, if nobody stops them before.
        """
        owner = json.loads((directory / "state.json").read_text())["pid"]
        for name, version in (("orders", upstream_version()), ("reports", DOWNSTREAM_VERSION)):
            place = directory / f"airflow-{name}"
            shutil.rmtree(place, ignore_errors=True)
            dags = place / "dags"  # of its own: Groundcrew ships into it
            shutil.copytree(SAMPLES, dags, ignore=shutil.ignore_patterns("__pycache__"))
            airflow = RunningAirflow(
                version,
                place,
                dags=dags,
                owner=owner,
                path=[LISTENER] if name == "orders" else [],
                environment=_of_environment(cloud, name) if name == "orders" else {},
            )
            self._last.callback(airflow.stop)
            airflow.begin()
            self.running[name] = airflow

    def attach(self, cloud: Client, watched: list[Watched]) -> None:
        """Put each behind its environment, once it runs."""
        for one in watched:
            if airflow := self.running.get(one.environment.name):
                airflow.wait()
                cloud.attach_airflow(one.environment.arn, door=airflow.door, version=airflow.version)

    def stop(self) -> None:
        """Stop them, if they were started."""
        self._last.close()


def _of_environment(cloud: Client, name: str) -> dict[str, str]:
    """What MWAA gives to an environment's processes: its name, its Region, its execution role's credentials."""
    iam = Aws(cloud).client("iam", SPOKES[0])
    statement = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": _default_bus(SPOKES[0])}
    role = iam.create_role(
        RoleName=f"airflow-{name}", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
    )["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=f"airflow-{name}", PolicyName="listener", PolicyDocument=document)
    keys = cloud.session(role)
    return {
        "AIRFLOW_ENV_NAME": name,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "2",  # what is shipped is seen at once, not within five minutes
    }


def _default_bus(account: str) -> str:
    return f"arn:aws:events:{REGION}:{account}:event-bus/default"


def chain(setting: Setting, airflows: Airflows, watched: list[Watched], view: View, step: Step) -> None:
    """Deploy the route, ask for one run, and follow what comes of it on the bus."""
    environments = {one.environment.name: one.environment for one in watched}
    orders, reports = environments["orders"], environments["reports"]
    deploy.deploy(
        setting.cloud,
        ROUTE,
        stack="route",
        account=HUB,
        region=REGION,
        parameters={
            "UpstreamArn": orders.arn,
            "UpstreamDagId": UPSTREAM,
            "Downstream1Arn": reports.arn,
            "DownstreamDagId": DOWNSTREAM,
            "Wait": "true",
        },
    )
    facts = Ends(setting.aws)
    asked = {"request_id": "demo", "environments": ["orders"], "dag_id": UPSTREAM, "wait": True}
    entry = {"Source": "groundcrew.request", "DetailType": "DAG Run Requested", "Detail": json.dumps(asked)}
    setting.aws.client("events", orders.account, REGION).put_events(Entries=[entry])
    started = time.monotonic()
    while facts.finished() != {"orders", "reports"}:
        for fact in facts.new():
            view.say(f"{view.elapsed} {_line(fact, view)}")
            if fact["detail-type"] == "DAG Run Rejected":
                raise NotAsExpected(f"both DAGs should run, but: {fact['detail']['evidence']}")
        if time.monotonic() > started + PATIENCE_SECONDS:
            raise NotAsExpected(f"both runs should have ended after {PATIENCE_SECONDS:.0f} s; {facts.finished()} have")
        time.sleep(LOOK_SECONDS)
    step.facts["seconds_both"] = round(time.monotonic() - started, 1)
    step.facts["runs"] = [_checked(airflows.running[name], fact) for name, fact in facts.ends.items()]


def _checked(airflow: RunningAirflow, fact: Mapping[str, Any]) -> dict[str, Any]:
    """A run as its end was announced, held against the database of its Airflow."""
    detail = fact["detail"]
    rows = airflow.sql("select run_id, state from dag_run where dag_id = :'dag'", dag=detail["dag_id"])
    if rows != [{"run_id": detail["run_id"], "state": "success"}]:
        raise NotAsExpected(f"{detail['dag_id']} should have run once, as {detail['run_id']}; it has {rows}")
    return {
        "environment": detail["environment"]["name"],
        "account": detail["environment"]["account"],
        "airflow_version": airflow.version,
        "dag_id": detail["dag_id"],
        "run_id": detail["run_id"],
        "state": detail["state"],
        "duration_seconds": detail["duration_seconds"],
    }


class Ends:
    """What is said on the hub's bus about DAG runs, and how they end."""

    def __init__(self, aws: Aws) -> None:
        """Listen from now on."""
        self._facts = Facts(aws, "demo-runs", ("groundcrew", "groundcrew.airflow"), "DAG Run")
        self.ends: dict[str, dict[str, Any]] = {}

    def new(self) -> list[dict[str, Any]]:
        """What was said since the last look."""
        facts = self._facts.new()
        for fact in facts:
            if fact["detail-type"] == "DAG Run Finished":
                self.ends[fact["detail"]["environment"]["name"]] = fact
        return facts

    def finished(self) -> set[str]:
        """The environments whose run has ended."""
        return set(self.ends)


def _line(fact: Mapping[str, Any], view: View) -> str:
    detail = fact["detail"]
    said = fact["detail-type"].removeprefix("DAG Run ")
    if said == "State Change":
        said = f"listener says: {detail['state']}"
    elif said == "Finished":
        said = f"Finished: {detail['state']} after {detail['duration_seconds']:.1f} s"
    return f"  {detail['environment']['name']:8} {said:28} {detail['dag_id']:8} {view.paint(detail['run_id'], DIM)}"

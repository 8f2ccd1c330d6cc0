"""From request to run row, on real Airflow: ours against the sample Lambda of the MWAA guide (L11289-11513).

Both are invoked in this process, behind the same front door, so that what counts is the door, Airflow, and the code.
"""

import base64
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

from bench.results import Figure, NotMeasured, figure
from localcloud.airflow.installed import NotInstalled
from localcloud.airflow.postgres import query
from localcloud.airflow.running import AirflowFailed, RunningAirflow
from localcloud.backend import Door
from localcloud.model.environment import Environment
from runs.handler import handler as worker
from runs.order import REQUESTED, STARTED
from runs.router import handler as router
from tests.support.context import Context
from tests.support.queues import queue_arn
from tests.support.runs.hub import ORDERS_QUEUE, REQUESTS_QUEUE, deployed
from tests.support.stage import HUB, REGION, Stage, open_stage

VERSIONS = ("2.10.3", "3.3.1")
PAIRS = 5
BAR = 1.0
"""Ours is not slower."""

DAG = "paused"
"""Its runs stay in the queue, so that none of their tasks is in the way of the next measurement."""

SILENT = mock.Mock(metric_set={})
"""Metrics that nobody sees: they would be printed."""

WITNESS = """
create table bench_row (at timestamptz);
create function bench_row() returns trigger language plpgsql as
    'begin insert into bench_row values (clock_timestamp()); return null; end';
create constraint trigger bench_row after insert on dag_run
    deferrable initially deferred for each row execute function bench_row();
"""
"""When the transaction with a run's row is committed, PostgreSQL writes down the time."""


@dataclass(frozen=True)
class Pair:
    """An Airflow, and the environment it is in."""

    airflow: RunningAirflow
    environment: Environment
    stage: Stage

    def guide(self) -> Callable[[], object]:
        """The guide's sample: its client is made when it is imported."""
        client = boto3.client("mwaa", region_name=REGION)

        def invoke() -> bytes:
            token = client.create_cli_token(Name=self.environment.name)
            request = AWSRequest(
                method="POST",
                url=f"https://{token['WebServerHostname']}/aws_mwaa/cli",
                headers={"Authorization": f"Bearer {token['CliToken']}", "Content-Type": "text/plain"},
                data=f"dags trigger {DAG}",
            )
            answer = URLLib3Session().send(request.prepare())
            return base64.b64decode(json.loads(answer.content)["stdout"])

        return invoke

    def ours(self, number: int) -> Callable[[], object]:
        """Router and worker, one after the other."""
        now = datetime.fromtimestamp(self.stage.aws.clock.now(), UTC)
        request = {
            "version": "0",
            "id": f"event-{number}",
            "source": "groundcrew.request",
            "detail-type": REQUESTED,
            "account": HUB,
            "region": REGION,
            "time": now.isoformat(),
            "resources": [],
            "detail": {"environments": [self.environment.name], "dag_id": DAG, "if_paused": "queue"},
        }
        sent = self.stage.aws.small.messages

        def invoke() -> None:
            router(_batch(json.dumps(request), queue_arn(REQUESTS_QUEUE)), Context())
            worker(_batch(sent.pop()["MessageBody"], queue_arn(ORDERS_QUEUE)), Context())

        return invoke

    def seconds_to_row(self, invoke: Callable[[], object]) -> float:
        """Until the row of its run is committed.

        Raises:
            NotMeasured: there is not one row more.
        """
        began = time.time()
        invoke()
        rows = self.airflow.sql("select extract(epoch from at) as at from bench_row")
        if len(rows) != 1:
            raise NotMeasured(f"Airflow {self.airflow.version}: {len(rows)} new runs")
        query(self.airflow.database, "delete from bench_row")
        self.stage.pass_time(1)  # for the front door's limit, which goes by the stage's clock
        return float(rows[0]["at"]) - began


@contextmanager
def starting() -> Iterator[list[RunningAirflow]]:
    """Airflows that start side by side; they stop with the block.

    One that does not run on this machine's Python (2.10.3 from 3.13 on) is left out.
    """
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="groundcrew-bench-")))
        airflows = []
        for version in VERSIONS:
            airflow = RunningAirflow(version, folder / version)
            undo.callback(airflow.stop)
            try:
                airflow.begin()
            except NotInstalled as error:
                print(f"left out: {error}", file=sys.stderr)
            else:
                airflows.append(airflow)
        yield airflows


def measure(airflows: list[RunningAirflow], pairs: int) -> list[Figure]:
    """All figures; raises NotMeasured."""
    figures = []
    for airflow in airflows:
        try:
            airflow.wait()
        except AirflowFailed as error:
            raise NotMeasured(str(error)) from error
    for airflow in airflows:
        query(airflow.database, WITNESS)
        with open_stage() as stage, deployed(stage), mock.patch("groundcrew.observability.metrics", SILENT):
            figures += _measure(Pair(airflow, _environment(stage, airflow), stage), pairs)
    return figures


def _measure(pair: Pair, pairs: int) -> list[Figure]:
    """The two take turns, so that whatever else the machine does meets both."""
    guide = pair.guide()
    pair.seconds_to_row(pair.ours(0))  # the first of all is not like the others
    times = [(pair.seconds_to_row(pair.ours(number)), pair.seconds_to_row(guide)) for number in range(1, 1 + pairs)]
    started = [one["detail"]["way"] for one in pair.stage.facts() if one["detail-type"] == STARTED]
    if started != ["rest"] * (1 + pairs):
        raise NotMeasured(f"Airflow {pair.airflow.version}: started by {started}")
    version = pair.airflow.version.replace(".", "_")
    against = f"the guide's sample Lambda, on the same Airflow {pair.airflow.version}"
    return [
        figure(
            f"runs.request_to_row_ratio_{version}", [mine / theirs for mine, theirs in times], "ratio", against, BAR
        ),
        figure(f"runs.request_to_row_seconds_{version}", [mine for mine, _ in times], "s", "router and worker, warm"),
        figure(
            f"runs.request_to_row_guide_seconds_{version}", [theirs for _, theirs in times], "s", "with the real CLI"
        ),
    ]


def _environment(stage: Stage, airflow: RunningAirflow) -> Environment:
    """In the hub's account, where the sample runs, too."""
    _, subnets = stage.vpc()
    aws = stage.aws
    made = aws.create_environment(HUB, REGION, "data", subnets, management="SERVICE", version=airflow.version)
    stage.pass_time(60)
    aws.front_door.attach(made, Door(airflow.cold_door))
    return made


def _batch(body: str, queue_arn: str) -> dict[str, Any]:
    record = {
        "messageId": "message-1",
        "receiptHandle": "handle-1",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(time.time() * 1000))},
        "eventSourceARN": queue_arn,
    }
    return {"Records": [record]}

"""The whole part on the in-process cloud: events come in, and its two functions work until nothing is left to do.

The queue is played as SQS does it, the state machine by the states of ``statemachines/cleanup.asl.yaml``.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

from cleanup.handler import handler as worker
from cleanup.step import handler as step
from groundcrew.aws.objects import Bucket
from groundcrew.events import schema_error, schema_name
from groundcrew.settings import MetadataSettings, Settings
from localcloud.model.airflow import Airflow
from localcloud.model.environment import Environment
from tests.support.asl import Machine
from tests.support.queues import Queue
from tests.support.stage import HUB, REGION, SETTINGS, SPOKE, Stage, open_stage

MACHINE = f"arn:aws:states:{REGION}:{HUB}:stateMachine:groundcrew-cleanup"
BUCKET = f"groundcrew-exports-{HUB}-{REGION}"
MORE = MetadataSettings(bucket=BUCKET, machine=MACHINE, locks_table="groundcrew-locks", in_vpc=False)
POLICY: dict[str, Any] = {
    "mode": "delete",
    "days": {"default": 30},
    "confirm": 1,
    "expendable": [
        "asset_partition_dag_run", "dag_run_note", "dagrun_asset_event", "deadline", "hitl_detail",
        "hitl_detail_history", "rendered_task_instance_fields", "task_instance_history", "task_instance_note",
        "task_map", "task_reschedule", "task_state_store", "xcom",
    ],
}  # fmt: skip


@dataclass
class Hub:
    """One cloud with the part deployed on it."""

    stage: Stage
    revive: Callable[[], None] = lambda: None
    """Told when somebody else goes on after a step that failed."""
    _said: int = 0
    _ended: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.queue = Queue(self.stage.aws, "groundcrew-cleanup", worker, 1800, max_receives=20)
        self.machine = Machine(
            "cleanup.asl.yaml",
            {"${StepFunctionArn}": step},
            self.now,
            self.stage.pass_time,
            failed=lambda _error: self.revive(),
        )

    # ------------------------------------------------------------------ what there is
    def environment(
        self,
        version: str = "3.3.1",
        tag: str | None = "careful",
        name: str = "data",
        dags: Sequence[dict[str, Any]] = (),
    ) -> Environment:
        """An environment that runs, with a double of Airflow in it."""
        aws = self.stage.aws
        subnets = aws.network.private_subnets(aws.network.vpc(owner=SPOKE))
        tags = {"groundcrew:cleanup": tag} if tag else {}
        made = aws.create_environment(
            SPOKE, REGION, name, subnets, "PUBLIC_ONLY", tags=tags, management="SERVICE", version=version
        )
        aws.airflow(made, [{"dag_id": "load", "seconds": 10}, *dags])
        self.stage.pass_time(1800)
        made.created -= timedelta(
            days=400
        ).total_seconds()  # what is exported of it is not of one that was there before
        assert made.status == "AVAILABLE"
        return made

    def policy(self, name: str = "careful", **changes: Any) -> None:
        self.stage.aws.parameters[f"/groundcrew/cleanup/{name}"] = json.dumps(POLICY | changes)

    def airflow(self, environment: Environment) -> Airflow:
        found = self.stage.aws.airflow(environment)
        assert isinstance(found, Airflow)
        return found

    def rows(self, environment: Environment, table: str, *days: float) -> None:
        """The table's rows, each so many days old."""
        ages = [self.now() - timedelta(days=age) for age in days]
        self.airflow(environment).state.rows.tables[table] = ages

    def left(self, environment: Environment, table: str) -> int:
        return len(self.airflow(environment).state.rows.tables.get(table, []))

    def exported(self, environment: Environment, ago: timedelta = timedelta(hours=1), **columns: str) -> None:
        """A verified export of that age, which covers these tables."""
        caller, at = environment.caller, self.now() - ago
        usual = {"dag_run": "updated_at", "task_instance": "updated_at", "log": "dttm", "job": "latest_heartbeat"}
        tables = {table: {"column": column, "until": at.isoformat()} for table, column in (columns or usual).items()}
        key = f"manifests/{caller.account}/{caller.region}/{environment.name}/{at:%Y%m%dT%H%M%SZ}-00000000.json"
        export_id = f"{at:%Y%m%dT%H%M%SZ}-00000000"
        self.put(key, {"verified": True, "export_id": export_id, "snapshot_at": at.isoformat(), "covered": tables})

    def put(self, key: str, content: Any) -> None:
        Bucket.own(BUCKET, HUB, REGION).put(key, json.dumps(content).encode())

    def object(self, key: str) -> Any:
        return json.loads(Bucket.own(BUCKET, HUB, REGION).get(key)[1])

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.stage.aws.clock.now(), UTC)

    # ------------------------------------------------------------------ what happens
    def observed(self, environment: Environment) -> dict[str, Any]:
        return self._event(environment, "groundcrew", "Environment Observed", HUB, {"status": environment.status})

    def request(self, environment: Environment, sender: str = SPOKE, **detail: Any) -> dict[str, Any]:
        return self._event(environment, "groundcrew.request", "Metadata Cleanup Requested", sender, detail)

    def _event(
        self, environment: Environment, source: str, detail_type: str, account: str, detail: dict[str, Any]
    ) -> dict[str, Any]:
        caller = environment.caller
        about = {"account": caller.account, "region": caller.region, "name": environment.name}
        return {
            "version": "0",
            "id": f"event-{self.stage.aws.small.ids.new('', 8)}",
            "source": source,
            "detail-type": detail_type,
            "account": account,
            "time": self.now().isoformat(),
            "region": REGION,
            "resources": [],
            "detail": {"environment": about} | detail,
        }

    def deliver(self, event: dict[str, Any]) -> bool:
        """Give the worker a message; True if it may leave the queue."""
        return self.queue.receive(json.dumps(event)) is None

    def orders(self) -> list[dict[str, Any]]:
        """What executions were started with."""
        return [json.loads(one["input"]) for one in self.stage.aws.small.executions.values()]

    def play(self, until: Callable[[dict[str, Any]], bool] | None = None) -> list[str]:
        """Every execution to its end; how each ended. Steps that raise are tried again, as often as ``Retry`` says."""
        ends = []
        for arn, execution in list(self.stage.aws.small.executions.items()):
            if arn not in self._ended:
                self._ended.add(arn)
                data = json.loads(execution["input"])
                ends.append(self.machine.run(data, until=until or (lambda _data: False)).kind)
                execution["status"] = ends[-1]
        return ends

    def clean(self, environment: Environment, **detail: Any) -> dict[str, Any]:
        """Ask for a clean-up and follow it to its end; the one fact about it."""
        self.deliver(self.request(environment, **detail))
        self.play()
        ((said, found),) = self.facts()
        return {"said": said} | found

    def facts(self) -> list[tuple[str, dict[str, Any]]]:
        """What was announced of clean-ups since the last look, each as its schema says."""
        announced = self.stage.facts(self._said)
        self._said += len(announced)
        found = [fact for fact in announced if fact["detail-type"].startswith(("Metadata Cleanup", "Request Denied"))]
        for fact in found:
            assert schema_error(fact["detail"], schema_name(fact["detail-type"])) is None, (
                schema_error(fact["detail"], schema_name(fact["detail-type"])),
                fact,
            )
        return [(fact["detail-type"].removeprefix("Metadata Cleanup "), fact["detail"]) for fact in found]

    def commands(self) -> list[str]:
        """The commands that were sent."""
        return [str(entry.attempt.params["Command"]) for entry in self.stage.aws.calls("airflow-cli*")]


@contextmanager
def open_hub(settings: Settings = SETTINGS) -> Iterator[Hub]:
    """A hub, until the block ends."""
    with open_stage(settings) as stage, ExitStack() as undo:
        clock = stage.aws.clock
        for module in ("handler", "step"):
            undo.enter_context(mock.patch(f"cleanup.{module}.settings", return_value=settings))
            undo.enter_context(mock.patch(f"cleanup.{module}.metadata_settings", return_value=MORE))
        undo.enter_context(mock.patch("groundcrew.aws.locks.time", SimpleNamespace(time=clock.now)))
        stage.aws.switches["mwaa.rest_per_second"] = 0  # time stands still during a step
        stage.aws.objects.bucket(BUCKET, HUB)
        hub = Hub(stage)
        hub.policy()
        yield hub

"""The whole part on the in-process cloud: events come in, and its three functions work until nothing is left to do.

The queue is played as SQS does it, the state machine by the states of ``statemachines/exports.asl.yaml``, the DAG in
the environment by ``Engine``: what a real one writes is tested in ``tests/airflow``.
"""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import duckdb

from exports.handler import handler as worker
from exports.inside import DAG
from exports.step import handler as step
from exports.verify import handler as verify
from groundcrew.events import schema_error, schema_name
from groundcrew.settings import MetadataSettings, Settings
from groundcrew_metadata import declared
from localcloud.model.airflow import Airflow
from localcloud.model.caller import Caller
from localcloud.model.environment import Environment
from tests.support.asl import Machine
from tests.support.queues import Queue
from tests.support.stage import HUB, REGION, SETTINGS, SPOKE, Stage, open_stage

MACHINE = f"arn:aws:states:{REGION}:{HUB}:stateMachine:groundcrew-exports"
BUCKET = f"groundcrew-exports-{HUB}-{REGION}"
MORE = MetadataSettings(bucket=BUCKET, machine=MACHINE, locks_table="groundcrew-locks", in_vpc=False)
FUNCTIONS = {"${StepFunctionArn}": step, "${VerifyFunctionArn}": verify}
VERSION = "2.10.3"
POLICY: dict[str, Any] = {"tables": ["dag_run_note", "slot_pool"]}


@dataclass
class Note:
    """A row of ``dag_run_note``."""

    run: int
    content: str
    at: datetime


@dataclass
class Engine:
    """The environment's database, and the DAG that exports it: as the order says, into the hub's bucket."""

    notes: list[Note] = field(default_factory=list)
    pools: list[str] = field(default_factory=lambda: ["default_pool"])
    spoil: Callable[[dict[str, Any], dict[str, bytes]], None] = lambda _receipt, _parts: None
    """Changes what is about to be written: the receipt, and the parts by key."""

    done: set[str] = field(default_factory=set)

    def export(self, hub: "Hub", run_id: str, conf: dict[str, Any], environment: Environment) -> None:
        caller, export_id = environment.caller, conf["export_id"]
        prefix = f"extracts/{caller.account}/{caller.region}/{environment.name}/{export_id}"
        parts: dict[str, bytes] = {}
        tables = {}
        for name, window in conf["tables"].items():
            table = declared.TABLES[name]
            columns = [column.name for column in table.columns_of(VERSION)]
            lines = list(self._lines(name, window))
            body = gzip.compress(("\n".join([",".join(columns), *lines]) + "\n").encode(), 1)
            key = f"{prefix}/{name}/part-00001.csv.gz"
            parts[key] = body
            part = {"key": key, "rows": len(lines), "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            tables[name] = {
                "columns": columns,
                "window": {"column": table.time, **window},
                "rows": len(lines),
                "parts": [part],
                "undecoded": {},
            }
        receipt = {
            "export_id": export_id,
            "engine": "inside",
            "airflow_version": VERSION,
            "environment": {"account": caller.account, "region": caller.region, "name": environment.name},
            "snapshot_at": hub.now().isoformat(),
            "tables": tables,
        }
        self.spoil(receipt, parts)
        for key, body in parts.items():
            hub.put(key, body)
        hub.put(f"{prefix}/receipt.json", json.dumps(receipt).encode())
        self.done.add(run_id)

    def _lines(self, name: str, window: dict[str, Any]) -> Iterator[str]:
        if name == "slot_pool":
            for number, pool in enumerate(self.pools, 1):
                values = {"id": number, "pool": pool, "slots": 128, "description": "", "include_deferred": "f"}
                columns = [column.name for column in declared.TABLES[name].columns_of(VERSION)]
                yield ",".join(str(values.get(column, "")) for column in columns)
            return
        assert name == "dag_run_note", name
        since, until = (datetime.fromisoformat(window[end]) if window[end] else None for end in ("from", "until"))
        for note in self.notes:
            if (since is None or note.at >= since) and (until is None or note.at < until):
                quoted = '"' + note.content.replace('"', '""') + '"'
                at = f"{note.at:%Y-%m-%d %H:%M:%S.%f}+00"
                yield f"{note.run},{quoted},{at},{at}"


@dataclass
class Hub:
    """One cloud with the part deployed on it."""

    stage: Stage
    engine: Engine = field(default_factory=Engine)
    made: list[Environment] = field(default_factory=list)
    events: int = 0
    _said: int = 0
    _ended: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue = Queue(self.stage.aws, "groundcrew-exports", worker, 1800, max_receives=20)
        self.machine = Machine(
            "exports.asl.yaml", FUNCTIONS, self.now, self.stage.pass_time, self._work_inside, self._note_failure
        )

    # ------------------------------------------------------------------ what there is
    def environment(self, tag: str | None = "daily", *, version: str = VERSION, known: bool = True) -> Environment:
        """An environment that runs; ``known``: its scheduler knows the DAG as soon as it is shipped."""
        aws = self.stage.aws
        subnets = aws.network.private_subnets(aws.network.vpc(owner=SPOKE))
        tags = {"groundcrew:exports": tag} if tag else {}
        made = aws.create_environment(
            SPOKE, REGION, "data", subnets, "PUBLIC_ONLY", tags=tags, management="SERVICE", version=version
        )
        aws.airflow(made, [{"dag_id": DAG, "seconds": 20}] if known else [])
        self.stage.pass_time(1800)
        assert made.status == "AVAILABLE"
        self.made.append(made)
        return made

    def policy(self, name: str = "daily", **changes: Any) -> None:
        self.stage.aws.parameters[f"/groundcrew/exports/{name}"] = json.dumps(POLICY | changes)

    def note(self, run: int, content: str) -> None:
        """A note is written now, in place of an older one of that run."""
        self.engine.notes = [one for one in self.engine.notes if one.run != run]
        self.engine.notes.append(Note(run, content, self.now()))
        self.stage.pass_time(1)

    def put(self, key: str, content: bytes) -> None:
        """As somebody in the bucket's account; no fault strikes that."""
        params = {"Bucket": BUCKET, "Key": key, "Body": content}
        self.stage.aws.objects.call("PutObject", Caller(HUB, REGION), params)

    def keys(self, prefix: str = "") -> list[str]:
        bucket = self.stage.aws.objects.buckets[BUCKET]
        return sorted(key for key in bucket.keys if key.startswith(prefix) and bucket.current(key))

    def content(self, key: str) -> bytes:
        found = self.stage.aws.objects.buckets[BUCKET].content(key)
        assert found is not None, key
        return found

    def manifests(self) -> list[dict[str, Any]]:
        return [json.loads(self.content(key)) for key in self.keys("manifests/")]

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.stage.aws.clock.now(), UTC)

    def exported(self, table: str, folder: Path) -> list[dict[str, Any]]:
        """All rows of a table's Parquet."""
        files = []
        for number, key in enumerate(self.keys(f"tables/{table}/")):
            files.append(str(folder / f"{table}-{number}.parquet"))
            Path(files[-1]).write_bytes(self.content(key))
        if not files:
            return []
        with duckdb.connect() as connection:
            connection.execute("set TimeZone = 'UTC'")
            found = connection.execute(f"select * from read_parquet({files!r}, union_by_name = true)")
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def view(self, folder: Path) -> dict[int, str]:
        """The newest content of each note."""
        rows = sorted(self.exported("dag_run_note", folder), key=lambda row: row["updated_at"])
        return {row["dag_run_id"]: row["content"] for row in rows}

    # ------------------------------------------------------------------ what happens
    def observed(self, environment: Environment) -> dict[str, Any]:
        detail = {"status": environment.status, "airflow_version": VERSION, "endpoint_management": "SERVICE"}
        return self._event(environment, "groundcrew", "Environment Observed", HUB, detail | {"tags": {}})

    def request(self, environment: Environment, sender: str = SPOKE, **detail: Any) -> dict[str, Any]:
        return self._event(environment, "groundcrew.request", "Metadata Export Requested", sender, detail)

    def _event(
        self, environment: Environment, source: str, detail_type: str, account: str, detail: dict[str, Any]
    ) -> dict[str, Any]:
        caller = environment.caller
        self.events += 1
        return {
            "version": "0",
            "id": f"event-{self.events}",
            "source": source,
            "detail-type": detail_type,
            "account": account,
            "time": self.now().isoformat(),
            "region": REGION,
            "resources": [],
            "detail": {
                "environment": {"account": caller.account, "region": caller.region, "name": environment.name},
                **detail,
            },
        }

    def deliver(self, event: dict[str, Any]) -> bool:
        """Give the worker a message; True if it may leave the queue."""
        return self.queue.receive(json.dumps(event)) is None

    def export(self, environment: Environment, **detail: Any) -> list[str]:
        """Ask for an export and follow it to its end."""
        assert self.deliver(self.request(environment, **detail))
        return self.play()

    def play(self) -> list[str]:
        """Every execution to its end; how each ended."""
        ends = []
        for arn, execution in list(self.stage.aws.small.executions.items()):
            if arn not in self._ended:
                self._ended.add(arn)
                ends.append(self.run(json.loads(execution["input"])))
        return ends

    def run(self, data: dict[str, Any], at: str = "", redrives: int = 0) -> str:
        """An execution, from a state on; ``Succeed``, or the state in which it has failed, for a redrive."""
        end = self.machine.run(data, at, redrives)
        if end.kind == "failed":
            self.failed = (end.state, end.data)
            return end.state
        return end.kind

    def redrive(self, redrives: int = 1) -> str:
        """Go on with the last execution that failed."""
        at, data = self.failed
        return self.run(data, at, redrives)

    def _note_failure(self, error: BaseException) -> None:
        self.failures.append(f"{type(error).__name__}: {error}")

    def _work_inside(self) -> None:
        """Each run of the DAG that has begun does its work."""
        for environment in self.made:
            airflow = self.stage.aws.airflow(environment)
            assert isinstance(airflow, Airflow)
            for run in list(airflow.state.runs):
                if run.dag_id == DAG and run.run_id not in self.engine.done:
                    self.engine.export(self, run.run_id, run.conf, environment)

    def facts(self) -> list[tuple[str, dict[str, Any]]]:
        """What was announced of exports since the last look, each as its schema says."""
        announced = self.stage.facts(self._said)
        self._said += len(announced)
        found = [fact for fact in announced if fact["detail-type"].startswith(("Metadata Export", "Request Denied"))]
        for fact in found:
            assert schema_error(fact["detail"], schema_name(fact["detail-type"])) is None, fact
        return [(fact["detail-type"].removeprefix("Metadata Export "), fact["detail"]) for fact in found]


@contextmanager
def open_hub(settings: Settings = SETTINGS) -> Iterator[Hub]:
    """A hub, until the block ends."""
    with open_stage(settings) as stage, ExitStack() as undo:
        for module in ("handler", "step", "verify"):
            undo.enter_context(mock.patch(f"exports.{module}.settings", return_value=settings))
            undo.enter_context(mock.patch(f"exports.{module}.metadata_settings", return_value=MORE))
        clock = stage.aws.clock
        undo.enter_context(mock.patch("groundcrew.aws.locks.time", SimpleNamespace(time=clock.now)))
        paced = SimpleNamespace(monotonic=clock.now, sleep=stage.pass_time)
        undo.enter_context(mock.patch("exports.step.time", paced))
        stage.aws.objects.bucket(BUCKET, HUB)
        hub = Hub(stage)
        hub.policy()
        yield hub

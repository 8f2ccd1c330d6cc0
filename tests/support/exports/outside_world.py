"""An Airflow 3 that writes while it is read, and the outside engine that reads it.

The world is judged by one question: after exports under any writing, and a last one in peace, is the newest version of
every key what Airflow holds?
"""

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from exports import outside, outside_columns
from exports.outside import extract
from exports.outside_pace import Pace
from groundcrew.errors import TransientError
from localcloud.model.airflow import Airflow
from localcloud.model.airflow_state import Listed
from tests.support.airflow.exporting import parsed

INSTANCES = "/dags/~/dagRuns/~/taskInstances"
LOGS = "/eventLogs"
POOLS = "/pools"
EXPORT_ID = "20261127T043000Z-0a1b2c3d"
PREFIX = f"extracts/222222222222/us-east-1/data/{EXPORT_ID}"
BEGIN = datetime(2026, 11, 27, tzinfo=UTC)
MOST_BYTES = 6 << 20

Ask = Callable[[str, Mapping[str, str]], tuple[int, Any]]


@dataclass
class World:
    """One Airflow, by a clock of its own that each call moves on."""

    version: str = "3.3.1"
    seconds: float = 3600.0
    call_seconds: float = 0.05
    calls: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    before_call: Callable[[int], None] = lambda _number: None
    most_bytes: int = MOST_BYTES
    slept: float = 0.0

    def __post_init__(self) -> None:
        self.airflow = Airflow(self.version, lambda: BEGIN.timestamp() + self.seconds)
        self.lists = self.airflow.state.lists
        for path in (INSTANCES, LOGS, POOLS):
            self.lists[path] = []
        self._made = 0

    # ------------------------------------------------------------------ what is written
    @property
    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds)

    def instance(self, text: str = "", note: str | None = None, *, timed: bool = True) -> Listed:
        """A new task instance."""
        number = self._next()
        shown = {"id": f"{number:032x}", "dag_id": "d", "task_id": f"t{number}", "dag_run_id": "r", "map_index": -1}
        shown |= {"state": "running", "try_number": 1, "hostname": text, "note": note, "rendered_fields": {}}
        return self._add(INSTANCES, Listed(str(shown["id"]), shown, self._stamp() if timed else None))

    def write(self, entry: Listed, **changes: Any) -> None:
        """Write an entry again."""
        entry.shown, entry.time = {**entry.shown, **changes}, self._stamp()

    def log(self) -> Listed:
        number = self._next()
        at = self._stamp()
        return self._add(LOGS, Listed(number, {"event_log_id": number, "when": at.isoformat(), "event": "done"}, at))

    def pool(self, name: str) -> Listed:
        return self._add(POOLS, Listed(self._next(), {"name": name, "slots": 1, "include_deferred": False}))

    def remove(self, path: str, entry: Listed) -> None:
        self.lists[path].remove(entry)

    def _add(self, path: str, entry: Listed) -> Listed:
        self.lists[path].append(entry)
        return entry

    def _next(self) -> int:
        self._made += 1
        return self._made

    def _stamp(self) -> datetime:
        self.seconds += 1e-6  # never the same twice
        return self.now

    # ------------------------------------------------------------------ how it is read
    def ask(self, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        """As MWAA's front door: an answer that is too large is none."""
        self.before_call(len(self.calls))
        self.calls.append((path, dict(query)))
        self.seconds += self.call_seconds
        status, body = self.airflow.rest("GET", path, query, None)
        if len(json.dumps(body)) > self.most_bytes:
            raise TransientError("The answer is larger than 6 MB", cause="InternalServerException")
        return status, body

    def export(
        self,
        tables: Mapping[str, str | None],
        ask: Ask | None = None,
        has_time: Callable[[], bool] = lambda: True,
    ) -> dict[str, Any]:
        """One export of these tables, each from a time on: the receipt."""
        asked: dict[str, Any] = {
            "export_id": EXPORT_ID,
            "environment": {"account": "222222222222", "region": "us-east-1", "name": "data"},
            "airflow_version": self.version,
            "tables": {name: {"from": since, "until": None} for name, since in tables.items()},
        }
        while not asked.get("done"):
            pace = Pace(lambda: self.seconds, self._sleep, jitter=lambda: 0.0)
            answer = extract(asked, ask or self.ask, self.objects.__setitem__, pace, has_time, self.now)
            asked = json.loads(json.dumps(answer))
        return dict(json.loads(self.objects[f"{PREFIX}/receipt.json"]))

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.slept += seconds

    def rows(self, table: str) -> list[dict[str, str | None]]:
        """The rows of a table in the last export's parts."""
        said = json.loads(self.objects[f"{PREFIX}/receipt.json"])["tables"][table]
        lines = []
        for part in said["parts"]:
            header, *rows = parsed(gzip.decompress(self.objects[part["key"]]).decode())
            assert header == said["columns"]
            assert len(rows) == part["rows"]
            lines += rows
        assert len(lines) == said["rows"]
        return [dict(zip(said["columns"], line, strict=True)) for line in lines]


class View:
    """The newest version of every key, over any number of exports of one world."""

    def __init__(self, world: World, since: str | None = None) -> None:
        self._world = world
        self._since: dict[str, str | None] = {"task_instance": since, "log": since}
        self._rows: dict[str, dict[tuple[str | None, ...], dict[str, str | None]]] = {"task_instance": {}, "log": {}}

    def export(self) -> None:
        """One more, from where the last one ended."""
        receipt = self._world.export(self._since)
        for name, view in self._rows.items():
            key = outside_columns.key(name, self._world.version)
            view |= {tuple(row[column] for column in key): row for row in self._world.rows(name)}
            self._since[name] = receipt["tables"][name]["window"]["until"]

    def differences(self) -> list[str]:
        """What Airflow holds and the view does not, or otherwise; what was deleted in between is not looked for."""
        self._world.seconds += outside.SETTLED.total_seconds() + 1
        self.export()
        found = []
        instances = {row["task_id"]: row["hostname"] for row in self._rows["task_instance"].values()}
        for entry in self._world.lists[INSTANCES]:
            shown = entry.shown
            if shown["task_id"] not in instances or (instances[shown["task_id"]] or "") != shown["hostname"]:
                found.append(f"{shown['task_id']}: {instances.get(shown['task_id'], 'lost')!r}, {shown['hostname']!r}")
        logs = {row["id"] for row in self._rows["log"].values()}
        found += [f"log {entry.id}: lost" for entry in self._world.lists[LOGS] if str(entry.id) not in logs]
        return found

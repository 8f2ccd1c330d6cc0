"""The outside engine in one piece, its bucket a dictionary; what it has written, and what it should have."""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from analytics.generate import HERE
from exports import outside, outside_columns, parquet
from exports.outside import Ask, extract
from exports.outside_pace import Pace
from groundcrew_metadata import declared
from groundcrew_metadata.declaration import Kind
from tests.support.airflow import database
from tests.support.airflow.exporting import parsed

Row = dict[str, str | None]

ENVIRONMENT = {"account": "222222222222", "region": "us-east-1", "name": "data"}
EXPORT_ID = "20261127T043000Z-0a1b2c3d"
PREFIX = f"extracts/222222222222/us-east-1/data/{EXPORT_ID}"


def everything(version: str) -> dict[str, dict[str, None]]:
    """All tables that can be had, from the beginning."""
    names = [name for name in declared.TABLES if outside_columns.is_said(name, version)]
    return {name: {"from": None, "until": None} for name in names}


@dataclass
class Outside:
    """Exports from one Airflow, as fast as it answers."""

    version: str
    ask: Ask
    objects: dict[str, bytes] = field(default_factory=dict)
    calls: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def run(
        self,
        tables: Mapping[str, Mapping[str, str | None]] | None = None,
        now: datetime | None = None,
        stops: Iterable[bool] = (),
        again: Callable[[dict[str, Any]], None] = lambda _answer: None,
    ) -> dict[str, Any]:
        """Until it is done: the receipt. ``stops``: whether there is no time any more, one for each question of it;
        ``again`` is called with each answer that is not the last.
        """
        asked: dict[str, Any] = {
            "export_id": EXPORT_ID,
            "environment": ENVIRONMENT,
            "airflow_version": self.version,
            "tables": tables or everything(self.version),
            "progress": None,
        }
        ends = iter(stops)
        moment = now or datetime.now(UTC) + outside.SETTLED + timedelta(seconds=5)
        while True:
            pace = Pace(lambda: 0.0, lambda _seconds: None)
            answer = extract(asked, self._asked, self._put, pace, lambda: not next(ends, False), moment)
            asked = json.loads(json.dumps(answer))
            if answer["done"]:
                return dict(json.loads(self.objects[f"{PREFIX}/receipt.json"]))
            again(asked)

    def rows(self, table: str) -> list[Row]:
        """The rows of a table in its parts, which must be as the receipt says."""
        said = json.loads(self.objects[f"{PREFIX}/receipt.json"])["tables"][table]
        found: list[Row] = []
        for part in said["parts"]:
            body = self.objects[part["key"]]
            assert (len(body), hashlib.sha256(body).hexdigest()) == (part["bytes"], part["sha256"])
            lines = list(parsed(gzip.decompress(body).decode()))
            assert lines[0] == said["columns"]
            assert len(lines) - 1 == part["rows"]
            found += (dict(zip(said["columns"], line, strict=True)) for line in lines[1:])
        assert len(found) == said["rows"]
        return found

    def publish(self, table: str, exports: Path, export_id: str = EXPORT_ID) -> None:
        """Its parts become Parquet, where those of other exports are."""
        receipt = json.loads(self.objects[f"{PREFIX}/receipt.json"])
        folder = exports / f"tables/{table}/date=2026-11-27"
        folder.mkdir(parents=True, exist_ok=True)
        about = {"account": "222222222222", "region": "us-east-1", "environment": "data", "export_id": export_id}
        at = datetime.fromisoformat(receipt["snapshot_at"])
        manifest = exports / f"manifests/{ENVIRONMENT['account']}/{ENVIRONMENT['region']}/{ENVIRONMENT['name']}"
        manifest.mkdir(parents=True, exist_ok=True)
        said = {"export_id": export_id, "environment": ENVIRONMENT, "snapshot_at": receipt["snapshot_at"]}
        (manifest / f"{export_id}.json").write_text(json.dumps(said | {"tables": receipt["tables"]}))
        with parquet.Writer(folder) as writer:
            for number, part in enumerate(receipt["tables"][table]["parts"]):
                source = folder / "part.csv.gz"
                source.write_bytes(self.objects[part["key"]])
                columns = outside_columns.columns(table, self.version)
                writer.write(source, columns, about, at, None, f"{export_id}-{number}.parquet")

    def current(self, table: str, exports: Path) -> list[Row]:
        """What the view that is shipped shows of it, each value cast to text."""
        columns = outside_columns.columns(table, self.version)
        texts = ", ".join(f'cast("{column.name}" as varchar)' for column in columns)
        with duckdb.connect() as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.execute((HERE / "duckdb.sql").read_text())
            found = connection.execute(f"select {texts} from current_{table}('{exports}')").fetchall()
        return [dict(zip((column.name for column in columns), row, strict=True)) for row in found]

    def _asked(self, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        assert len(path) <= 64
        self.calls.append((path, dict(query)))
        return self.ask(path, query)

    def _put(self, key: str, body: bytes) -> None:
        self.objects[key] = body


LEFT_OUT = {
    "task_instance_note": "content is not null",
    "rendered_task_instance_fields": "rendered_fields::text <> '{}'",
    "log": "dag_id is null or dag_id in (select dag_id from dag)",
}
OF_3_0 = {**LEFT_OUT, "log": "true", "job": "state = 'running'"}
"""What ``outside_columns.LEFT_OUT`` leaves, in SQL."""


def differences(name: str, version: str, here: list[Row], conninfo: str) -> list[str]:
    """Where rows that were exported differ from the database's, as far as these rows and columns are given."""
    table = declared.TABLES[name]
    table = replace(table, columns=tuple(replace(column, held=None) for column in table.columns))  # not on Airflow 3
    columns = outside_columns.columns(name, version)
    where = (OF_3_0 if version.startswith("3.0.") else LEFT_OUT).get(name, "true")
    there = [
        {column.name: _said(name, column.name, row) for column in columns}
        for row in database.rows(conninfo, table, version, where)
    ]
    kinds = {column.name: column.kind for column in columns}
    key = outside_columns.key(name, version)
    return database.differences([_plain(row, kinds) for row in here], [_plain(row, kinds) for row in there], key)


def _plain(row: Mapping[str, str | None], kinds: Mapping[str, Kind]) -> Row:
    """Values that compare: JSON without its layout, numbers without theirs."""
    forms: dict[Kind, Callable[[str], str]] = {
        Kind.JSON: lambda text: json.dumps(json.loads(text), sort_keys=True),
        Kind.DOUBLE: lambda text: repr(float(text)),
        Kind.BOOLEAN: lambda text: text[0],
    }
    return {name: value if value is None else forms.get(kinds[name], str)(value) for name, value in row.items()}


def _said(table: str, column: str, row: Mapping[str, str | None]) -> str | None:
    """What ``outside_columns.DIFFERS`` describes, done to the database's value."""
    value = row[column]
    match f"{table}.{column}":
        case "task_instance.custom_operator_name":
            return value or row["operator"]
        case "task_instance.task_display_name":
            return value or row["task_id"]
        case "task_instance.rendered_map_index":
            index = row["map_index"]
            return value if value is not None or index is None or int(index) < 0 else index
        case "dag.dag_display_name":
            return value or row["dag_id"]
        case "dag.owners":
            return None if value is None else ", ".join(owner.strip() for owner in value.split(","))
        case "dag.timetable_summary":
            return None if value == "None" else value
        case _:
            return value

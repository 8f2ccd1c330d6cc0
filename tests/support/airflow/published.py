"""The whole part around a real inside engine: its own plan, verify and publish on the in-process cloud, to Parquet.

What is read of the Parquet has the form of ``tests.support.airflow.database``, which reads PostgreSQL another way.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from analytics.generate import HERE
from groundcrew_metadata.declaration import Kind, Table
from localcloud.inprocess.aws import EPOCH
from localcloud.model.environment import Environment
from tests.support.airflow.database import Row
from tests.support.exports.hub import Engine, Hub

POLICY = {"opt_in": ["rendered_task_instance_fields", "xcom"], "overlap_minutes": 5}
"""Everything that is declared."""

Extract = Callable[[dict[str, Any]], Mapping[str, bytes]]
"""Has a conf exported; the objects that this has left in the bucket."""


@dataclass
class Real(Engine):
    """An inside engine that is one, in place of the hub's double."""

    extract: Extract = lambda _conf: {}

    def export(self, hub: Hub, run_id: str, conf: dict[str, Any], environment: Environment) -> None:  # noqa: ARG002
        for key, body in self.extract(conf).items():
            hub.put(key, body)
        self.done.add(run_id)


@dataclass
class Published:
    """What a hub has published, read by DuckDB from a folder."""

    hub: Hub
    folder: Path
    version: str

    @classmethod
    def by(cls, hub: Hub, extract: Extract, folder: Path, version: str) -> "Published":
        hub.engine = Real(extract=extract)
        hub.stage.aws.parameters["/groundcrew/exports/daily"] = json.dumps(POLICY)
        return cls(hub, folder, version)

    def export(self, environment: Environment, **detail: Any) -> dict[str, Any]:
        """One export, now by the real clock, which is the engine's; its manifest."""
        self.hub.stage.aws.clock.offset = time.time() - EPOCH
        assert self.hub.export(environment, **detail) == ["Succeed"], self.hub.facts()
        (manifest,) = (one for one in self.hub.manifests() if one["export_id"] not in self._known)
        self._known.add(manifest["export_id"])
        for key in self.hub.keys("tables/") + self.hub.keys("manifests/"):
            file = self.folder / key
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self.hub.content(key))
        return dict(manifest)

    def __post_init__(self) -> None:
        self._known: set[str] = set()

    def current(self, table: Table, where: str = "true") -> list[Row]:
        """What the view that is shipped shows."""
        with duckdb.connect() as connection:
            connection.execute((HERE / "duckdb.sql").read_text())
            return self._rows(connection, table, f"current_{table.name}('{self.folder}')", where)

    def parquet(self, table: Table, where: str = "true") -> list[Row]:
        """Every row of its files."""
        with duckdb.connect() as connection:
            source = f"read_parquet('{self.folder}/tables/{table.name}/*/*.parquet', hive_partitioning = false)"
            return self._rows(connection, table, source, where)

    def _rows(self, connection: duckdb.DuckDBPyConnection, table: Table, source: str, where: str) -> list[Row]:
        columns = table.columns_of(self.version)
        connection.execute("set TimeZone = 'UTC'")
        texts = ", ".join(f'cast("{column.name}" as varchar)' for column in columns)
        found = connection.execute(f"select {texts} from {source} where {where}").fetchall()
        return [
            {column.name: _as_postgresql(column.kind, value) for column, value in zip(columns, row, strict=True)}
            for row in found
        ]


def _as_postgresql(kind: Kind, text: str | None) -> str | None:
    """A value as PostgreSQL prints it, of how DuckDB does."""
    if text is None:
        return None
    match kind:
        case Kind.BOOLEAN:
            return text[0]
        case Kind.DOUBLE:
            return plain(text)
        case Kind.TIMESTAMP if "(BC)" in text:
            return text.replace(" (BC)", "") + " BC"
        case _:
            return text


def plain(number: str) -> str:
    """Of the ways to print one and the same double, Python's."""
    return repr(float(number))


def comparable(table: Table, version: str, rows: list[Row]) -> list[Row]:
    """Rows of the database, their doubles printed as those of Parquet are."""
    doubles = {column.name for column in table.columns_of(version) if column.kind is Kind.DOUBLE}
    return [
        {name: plain(value) if name in doubles and value is not None else value for name, value in row.items()}
        for row in rows
    ]

"""A mapped task's instance before it was expanded is not current afterwards."""

import json
from pathlib import Path

import duckdb

from analytics.generate import HERE

Instance = tuple[str, int, str | None]

BEFORE: list[Instance] = [("mapped", -1, None), ("empty", -1, None), ("plain", -1, "running")]
AFTER: list[Instance] = [
    ("mapped", 0, "success"),
    ("mapped", 1, "success"),
    ("empty", -1, "skipped"),
    ("plain", -1, "success"),
]


def quoted(state: str | None) -> str:
    return f"'{state}'" if state else "null"


def test_it_is_an_instance_with_a_number_now(tmp_path: Path) -> None:
    folder = tmp_path / "tables/task_instance/date=2026-11-27"
    folder.mkdir(parents=True)
    manifests = tmp_path / "manifests/a/r/e"
    manifests.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute((HERE / "duckdb.sql").read_text())
        for number, instances in enumerate((BEFORE, AFTER), start=1):
            said = {"export_id": str(number), "snapshot_at": f"2026-11-2{number}T00:00:00+00:00"}
            about = {"account": "a", "region": "r", "name": "e"}
            manifest = said | {"environment": about, "tables": {"task_instance": {}}}
            (manifests / f"{number}.json").write_text(json.dumps(manifest))
            values = ", ".join(
                f"('d', '{task}', 'r', {index}, {quoted(state)}, 'a', 'r', 'e', '{number}',"
                f" timestamptz '2026-11-2{number} 00:00:00+00')"
                for task, index, state in instances
            )
            names = "dag_id, task_id, run_id, map_index, state, account, region, environment, export_id, exported_at"
            connection.execute(
                f"copy (select * from (values {values}) t ({names})) to '{folder}/{number}.parquet' (format parquet)"
            )
        found = connection.execute(
            f"select task_id, map_index, state from current_task_instance('{tmp_path}')"
        ).fetchall()
    assert sorted(found) == sorted(AFTER)

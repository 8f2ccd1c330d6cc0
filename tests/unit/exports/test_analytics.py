"""The files in ``analytics`` are what the declaration says, and their views show what is newest."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from analytics.generate import FILES, HERE, QUESTIONS
from groundcrew_metadata import declared
from tests.unit.exports.hub import Hub


@pytest.mark.parametrize("name", FILES)
def test_what_is_shipped_is_what_the_declaration_says(name: str) -> None:
    assert (HERE / name).read_text() == FILES[name](), "run python -m analytics.generate"


@pytest.fixture
def exported(hub: Hub, tmp_path: Path) -> Any:
    """DuckDB over what two exports have left."""
    environment = hub.environment()
    hub.note(1, "one")
    hub.note(2, "two")
    hub.engine.pools = ["default_pool", "gone"]
    hub.export(environment)
    hub.stage.pass_time(2 * 3600)
    hub.note(2, "changed")
    hub.engine.pools = ["default_pool"]
    hub.export(environment)
    for key in hub.keys("tables/"):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(hub.content(key))
    with duckdb.connect() as connection:
        connection.execute((HERE / "duckdb.sql").read_text())
        yield connection


def test_the_newest_version_of_each_row_is_current(exported: Any, tmp_path: Path) -> None:
    where = [str(tmp_path)]
    notes = exported.execute("select dag_run_id, content from current_dag_run_note(?) order by 1", where).fetchall()
    assert notes == [(1, "one"), (2, "changed")]
    # Of a table that is exported whole, what is gone in Airflow is gone.
    assert exported.execute("select pool, team_name from current_slot_pool(?)", where).fetchall() == [
        ("default_pool", None)
    ]


def test_there_is_a_view_of_every_table_and_questions_ask_no_other(exported: Any) -> None:
    made = {row[0] for row in exported.execute("select function_name from duckdb_functions()").fetchall()}
    assert {f"current_{name}" for name in declared.TABLES} <= made
    for text in QUESTIONS.values():
        assert "current_task_instance" in text

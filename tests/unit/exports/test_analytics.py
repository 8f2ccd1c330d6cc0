"""The files in ``analytics`` are what the declaration says, and their views show what is newest, and published."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analytics.generate import FILES, HERE, QUESTIONS, template
from groundcrew_metadata import declared
from localcloud.inprocess.faults import Kind
from localcloud.model.environment import Environment
from tests.support.exports.hub import Hub

RESOURCES = template()["Resources"].values()


@pytest.mark.parametrize("name", FILES)
def test_what_is_shipped_is_what_the_declaration_says(name: str) -> None:
    assert (HERE / name).read_text() == FILES[name](), "run python -m analytics.generate"


@dataclass
class Reader:
    """DuckDB over what exports have left, with both kinds of views: its own, and those of Athena."""

    hub: Hub
    folder: Path

    def rows(self, columns: str, table: str) -> list[tuple[Any, ...]]:
        """What ``current_<table>`` shows, in order: the same in both."""
        for key in self.hub.keys("tables/") + self.hub.keys("manifests/"):
            (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / key).write_bytes(self.hub.content(key))
        with duckdb.connect() as connection:
            connection.execute((HERE / "duckdb.sql").read_text())
            of_duckdb = f"select {columns} from current_{table}(?) order by all"
            found = connection.execute(of_duckdb, [str(self.folder)]).fetchall()
            connection.execute("create macro from_iso8601_timestamp(text) as cast(text as timestamptz)")
            connection.execute(self._glue("exports", "read_json", ", format = 'newline_delimited'"))
            connection.execute(self._glue(table, "read_parquet", ", union_by_name = true"))
            connection.execute(_view(table))
            assert connection.execute(f"select {columns} from current_{table} order by all").fetchall() == found
        return found

    def _glue(self, name: str, read: str, how: str) -> str:
        """A table of the template as a view: all files below its location; a column that a file has not is null."""
        (table,) = (
            one["Properties"]["TableInput"]
            for one in RESOURCES
            if one["Type"] == "AWS::Glue::Table" and one["Properties"]["TableInput"]["Name"] == name
        )
        descriptor = table["StorageDescriptor"]
        place = descriptor["Location"]["Fn::Sub"].replace("s3://${ExportsBucket}", str(self.folder))
        kinds = {column["Name"]: _kind(column["Type"]) for column in descriptor["Columns"]}
        nulls = ", ".join(f'cast(null as {kind}) as "{column}"' for column, kind in kinds.items())
        if read == "read_json":
            how += f", columns = {{{', '.join(f'{column}: $${kind}$$' for column, kind in kinds.items())}}}"
        source = f"{read}('{place}**/*.*'{how}, hive_partitioning = false)"
        return f'create view "{name}" as select {nulls} where false union all by name select * from {source}'


def _kind(glue: str) -> str:
    """The DuckDB type of a Glue type."""
    names = {"string": "varchar", "int": "integer", "timestamp": "timestamptz", "<": "(", ">": ")", ":": " "}
    return re.sub(r"\w+|[<>:]", lambda found: names.get(found[0], found[0]), glue)


def _view(table: str) -> str:
    (text,) = (
        str(one["Properties"]["QueryString"])
        for one in RESOURCES
        if one["Type"] == "AWS::Athena::NamedQuery" and one["Properties"]["Name"] == f"groundcrew view current_{table}"
    )
    return text


@pytest.fixture
def environment(hub: Hub) -> Environment:
    """One that has been exported twice."""
    made = hub.environment()
    hub.note(1, "one")
    hub.note(2, "two")
    hub.engine.pools = ["default_pool", "gone"]
    hub.export(made)
    hub.stage.pass_time(2 * 3600)
    hub.note(2, "changed")
    hub.engine.pools = ["default_pool"]
    hub.export(made)
    return made


@pytest.fixture
def reader(hub: Hub, tmp_path: Path) -> Reader:
    return Reader(hub, tmp_path)


@pytest.mark.usefixtures("environment")
def test_the_newest_version_of_each_row_is_current(reader: Reader) -> None:
    assert reader.rows("dag_run_id, content", "dag_run_note") == [(1, "one"), (2, "changed")]
    # Of a table that is exported whole, what is gone in Airflow is gone.
    assert reader.rows("pool, team_name", "slot_pool") == [("default_pool", None)]


def test_a_table_that_is_exported_whole_and_has_become_empty_is_empty(environment: Environment, reader: Reader) -> None:
    reader.hub.stage.pass_time(3600)
    reader.hub.engine.pools = []
    reader.hub.export(environment)
    assert reader.rows("pool", "slot_pool") == []
    # An export without the table says nothing of it.
    reader.hub.stage.pass_time(3600)
    reader.hub.engine.pools = ["new"]
    reader.hub.export(environment)
    reader.hub.stage.pass_time(3600)
    reader.hub.export(environment, tables=["dag_run_note"])
    assert reader.rows("pool", "slot_pool") == [("new",)]


def test_a_table_that_never_had_a_row_has_a_view_without_one(reader: Reader) -> None:
    reader.hub.engine.pools = []
    assert reader.hub.export(reader.hub.environment()) == ["Succeed"]
    assert reader.rows("pool", "slot_pool") == reader.rows("content", "dag_run_note") == []


def test_of_an_environment_that_was_made_anew_nothing_older_is_current(
    environment: Environment, reader: Reader
) -> None:
    hub = reader.hub
    hub.stage.delete(environment)
    hub.engine.notes.clear()
    anew = hub.environment()  # of the same name, and its ids begin again
    hub.note(1, "anew")
    assert hub.export(anew) == ["Succeed"]
    assert reader.rows("dag_run_id, content", "dag_run_note") == [(1, "anew")]
    # Nor what an older one has that the new one's exports do not have.
    hub.stage.delete(anew)
    assert hub.export(hub.environment(), tables=["slot_pool"]) == ["Succeed"]
    assert reader.rows("dag_run_id, content", "dag_run_note") == []
    assert reader.rows("pool", "slot_pool") == [("default_pool",)]


def test_what_was_never_published_is_not_shown(environment: Environment, reader: Reader) -> None:
    hub = reader.hub
    hub.stage.pass_time(3600)
    hub.note(2, "in no manifest")
    hub.note(3, "neither")
    hub.engine.pools = ["neither"]
    hub.stage.aws.faults.add(Kind.DENIED, "s3:HeadObject", nth=None)
    assert hub.export(environment) == ["Publish"]
    assert len(hub.keys("tables/slot_pool/")) == 3, "its Parquet is there"
    assert reader.rows("dag_run_id, content", "dag_run_note") == [(1, "one"), (2, "changed")]
    assert reader.rows("pool", "slot_pool") == [("default_pool",)]
    hub.stage.aws.faults.clear()
    assert hub.redrive() == "Succeed"
    assert reader.rows("dag_run_id, content", "dag_run_note") == [(1, "one"), (2, "in no manifest"), (3, "neither")]
    assert reader.rows("pool", "slot_pool") == [("neither",)]


def test_there_is_a_view_of_every_table_and_questions_ask_no_other() -> None:
    with duckdb.connect() as connection:
        connection.execute((HERE / "duckdb.sql").read_text())
        made = {row[0] for row in connection.execute("select function_name from duckdb_functions()").fetchall()}
    assert {f"current_{name}" for name in declared.TABLES} <= made
    assert all(_view(name) for name in declared.TABLES)
    for text in QUESTIONS.values():
        assert "current_task_instance" in text

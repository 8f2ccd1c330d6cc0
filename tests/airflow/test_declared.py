"""The declared tables and columns against the schemas of every supported Airflow version."""

from dataclasses import replace

import pytest

from groundcrew_metadata import declared
from groundcrew_metadata.declaration import As, Kind, Table
from localcloud.airflow import installed, schemas
from localcloud.testing.airflows import LIVE, require

VERSIONS = schemas.versions()

_HELD = {
    Kind.TEXT: {"character varying", "text"},
    Kind.INTEGER: {"integer"},
    Kind.BIGINT: {"integer", "bigint"},
    Kind.DOUBLE: {"double precision"},
    Kind.BOOLEAN: {"boolean"},
    Kind.TIMESTAMP: {"timestamp with time zone"},
    Kind.JSON: {"json", "jsonb"},
    Kind.UUID: {"uuid"},
}
_HELD_AS = {
    As.LOCAL: "timestamp without time zone",
    As.PICKLE: "bytea",
    As.ENCODED: "bytea",
}


def faults(table: Table, version: str, real: schemas.Table | None) -> list[str]:
    """In what a declared table is not what a version has."""
    if real is None or not table.exists(version):
        return [] if (real is None) is not table.exists(version) else [f"{table.name} exists only here or only there"]
    found = []
    columns = {column.name: column for column in table.columns_of(version)}
    for name in real.columns:
        if name not in columns and f"{table.name}.{name}" not in declared.WITHHELD:
            found.append(f"{table.name}.{name} is neither declared nor withheld")
    for name, column in columns.items():
        if name not in real.columns:
            found.append(f"{table.name}.{name} does not exist")
        elif real.columns[name].kind not in _kinds(column.kind, column.held, version):
            found.append(f"{table.name}.{name} is {real.columns[name].kind}")
    if set(table.key_of(version)) != set(real.key):
        found.append(f"{table.name} has the key {real.key}")
    if table.time and not table.through and table.time not in columns:
        found.append(f"{table.name} has no {table.time}")
    return found


def _kinds(kind: Kind, held: As | None, version: str) -> set[str]:
    if held and version.startswith("2."):
        return {_HELD_AS[held]}
    return _HELD[kind] | ({_HELD_AS[held]} if held is As.LOCAL else set())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_declared_table_is_as_the_version_has_it(version: str) -> None:
    real = schemas.read(version)
    assert [fault for table in declared.TABLES.values() for fault in faults(table, version, real.get(table.name))] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_way_to_a_table_that_knows_the_time_leads_to_one_row(version: str) -> None:
    real = schemas.read(version)
    for table in declared.TABLES.values():
        if table.through and table.exists(version):
            other = real[table.through.table]
            assert table.time in other.columns
            assert {mine for mine, _ in table.through.on} <= set(real[table.name].columns)
            its = {column for _, column in table.through.on}
            # Airflow 3 keeps the old key of a task instance as a unique constraint.
            assert its == set(other.key if version.startswith("2.") else declared.TABLES[table.through.table].key)


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (replace(declared.JOB, columns=declared.JOB.columns[1:]), "job.id is neither declared nor withheld"),
        (replace(declared.JOB, key=("dag_id",)), "job has the key ('id',)"),
        (replace(declared.JOB, since="3.0.0"), "job exists only here or only there"),
        (replace(declared.JOB, time="updated_at"), "job has no updated_at"),
        (
            replace(declared.DAG_TAG, columns=(*declared.DAG_TAG.columns, replace(declared.JOB.columns[0], name="no"))),
            "dag_tag.no does not exist",
        ),
        (
            replace(declared.DAG_TAG, columns=tuple(replace(one, kind=Kind.UUID) for one in declared.DAG_TAG.columns)),
            "dag_tag.dag_id is character varying",
        ),
    ],
)
def test_a_wrong_declaration_is_found(broken: Table, fault: str) -> None:
    assert fault in faults(broken, "2.10.3", schemas.read("2.10.3")[broken.name])


def test_what_is_withheld_exists_somewhere() -> None:
    there = {
        f"{table}.{column}"
        for version in VERSIONS
        for table, real in schemas.read(version).items()
        for column in real.columns
    }
    assert set(declared.WITHHELD) <= there


def test_nothing_of_users_secrets_or_code_is_declared() -> None:
    assert not set(declared.TABLES) & {"connection", "variable", "session", "dag_code", "serialized_dag", "dag_pickle"}
    assert not [name for name in declared.TABLES if name.startswith("ab_")]
    assert "executor_config" not in {column.name for table in declared.TABLES.values() for column in table.columns}


@pytest.mark.parametrize("version", LIVE)
@pytest.mark.xdist_group("exports-inside")
def test_the_schema_on_file_is_the_live_one(version: str) -> None:
    require(version)
    assert installed.is_installed(version)
    with schemas.migrated(version) as server:
        assert schemas.of(server.conninfo) == (schemas.FOLDER / f"{version}.txt").read_text()

"""The outside engine on real Airflow 3 and real databases, against a specification that shares nothing with it."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanup import outside, outside_airflow, outside_plan, outside_slices
from cleanup.outside_plan import Target
from cleanup.outside_slices import Command
from cleanup.outside_versions import Capability, Cleanable, capability
from cleanup.policy import Policy
from groundcrew.manifests import Covered
from localcloud.airflow import installed
from localcloud.airflow.postgres import PostgresFailed
from localcloud.model.airflow import Airflow
from localcloud.testing.airflows import LIVE, live
from tests.support.airflow.cleaning import bulk
from tests.support.airflow.cleaning.history import NOW, ORDER, Run, fill, history
from tests.support.airflow.cleaning.specification import Reference, Rows, Specification
from tests.support.airflow.cleaning.stage import Database, clean, open_database

pytestmark = pytest.mark.xdist_group("airflow")

VERSIONS = [version for version in LIVE if version.startswith("3.") and installed.is_installed(version)]
BOUND = frozenset(
    {
        "asset_partition_dag_run", "dag_run_note", "dagrun_asset_event", "deadline", "hitl_detail",
        "hitl_detail_history", "rendered_task_instance_fields", "task_instance_history", "task_instance_note",
        "task_map", "task_reschedule", "task_state_store", "xcom",
    }
)  # fmt: skip
EXPORTED = {
    "dag_run": "updated_at", "task_instance": "updated_at", "log": "dttm", "job": "latest_heartbeat",
    "xcom": "timestamp",
}  # fmt: skip


@pytest.fixture(scope="module", params=VERSIONS or live("3."))
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with open_database(request.param, tmp_path_factory.mktemp(f"cleanup-{request.param}-")) as found:
        yield found


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """3.3.1 on a database that 2.7.2 has made: it has other columns and left-over tables."""
    old, new = "2.7.2", "3.3.1"
    if not (new in VERSIONS and installed.is_installed(old)):
        pytest.skip(f"Airflow {old} and {new} are needed: make .tools/airflow-{old}/.ready")
    directory = tmp_path_factory.mktemp("cleanup-upgraded-")
    with open_database(new, directory, installed.cluster(old), migrates=True) as found:
        yield found


def references(database: Database) -> list[Reference]:
    """The foreign keys that delete, as this database has them."""
    found = database.sql(
        """
        select json_agg(json_build_array(
            c.conrelid::regclass::text, child.names, c.confrelid::regclass::text, parent.names))
        from pg_constraint c,
        lateral (select array_agg(a.attname order by k.i) names from unnest(c.conkey) with ordinality k(n, i)
                 join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.n) child,
        lateral (select array_agg(a.attname order by k.i) names from unnest(c.confkey) with ordinality k(n, i)
                 join pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.n) parent
        where c.contype = 'f' and c.confdeltype = 'c'
        """
    )
    return [(child, columns, parent, keys) for child, columns, parent, keys in json.loads(found)]


def rows_of(database: Database) -> Rows:
    """Of all tables that a run may hang on; of ``log`` without what the commands themselves write."""
    there = set(database.tables())
    rows = {table: database.rows(table) for table in ORDER if table in there}
    return rows | {"log": [row for row in rows["log"] if row["event"] == "success"]}


def whole(rows: Rows) -> dict[str, set[str]]:
    return {table: {json.dumps(row, sort_keys=True) for row in found} for table, found in rows.items()}


def policy(**more: Any) -> Policy:
    document = {"mode": "delete", "confirm": 1, "days": {"default": 30}, "expendable": sorted(BOUND)}
    return Policy.read(document | more, "oracle")


ages = st.integers(0, 120).map(float)
runs = st.builds(
    lambda age, late, short, **more: Run(
        due=age,
        started=None if late is None else age - late,
        tasks=[None if begun is None else age - begun for begun in short],
        **more,
    ),
    age=ages,
    late=st.sampled_from([0.01, 0.01, 0.01, 2.0, None]),
    short=st.lists(st.sampled_from([0.01, 0.02, 2.0, None]), max_size=3),
    dag=st.integers(0, 2),
    state=st.sampled_from(["success"] * 8 + ["failed", "running", "queued"]),
    run_type=st.sampled_from(["scheduled", "scheduled", "manual"]),
    changed=st.sampled_from([None] * 9 + [0.02]),
    extras=st.sets(st.sampled_from(sorted(BOUND)), max_size=6).map(frozenset),
)
retentions = st.dictionaries(
    st.sampled_from(["log", "dag_run", "task_instance", "xcom"]), st.integers(5, 90), max_size=2
)


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    made=st.lists(runs, min_size=4, max_size=25),
    days=retentions,
    spared=st.sampled_from([frozenset[str]()] * 4 + [frozenset({"xcom"}), frozenset({"task_reschedule"})]),
    exported_days_ago=st.sampled_from([0.04, 0.04, 40.0, None]),
)
def test_rows_after_are_rows_before_less_what_the_specification_takes(
    database: Database,
    made: list[Run],
    days: dict[str, int],
    spared: frozenset[str],
    exported_days_ago: float | None,
) -> None:
    fill(database, history(made))
    check(database, days, BOUND - spared, exported_days_ago)


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=st.lists(runs, min_size=4, max_size=25), days=retentions)
def test_so_they_are_on_a_database_that_was_upgraded(upgraded: Database, made: list[Run], days: dict[str, int]) -> None:
    assert upgraded.has("sla_miss"), "a fresh one has none"
    fill(upgraded, history(made))
    check(upgraded, days, BOUND, 0.04)


def check(
    database: Database,
    days: dict[str, int],
    expendable: frozenset[str],
    exported_days_ago: float | None,
    can: Capability | None = None,
) -> None:
    """Clean, and compare."""
    before = rows_of(database)
    until = None if exported_days_ago is None else NOW - timedelta(days=exported_days_ago)
    covered = {table: Covered(column, until) for table, column in EXPORTED.items()} if until else {}
    specification = Specification(
        rows=before,
        references=references(database),
        days=days,
        default_days=30,
        expendable=expendable,
        exported=frozenset(EXPORTED),
        until=until,
        now=NOW,
    )
    expected = whole(specification.after())
    wanted = policy(days={"default": 30, "tables": days}, expendable=sorted(expendable))
    work = clean(database, wanted, covered, NOW, can=can or few(database.version))
    after = whole(rows_of(database))
    for table, rows in whole(before).items():
        taken = rows - after[table]
        assert taken == rows - expected[table], f"{table}: what was deleted is not what is specified"
        assert after[table] - rows == set(), f"{table}: rows have changed"
        vouched = until is not None and table in EXPORTED
        assert table in expendable or vouched or not taken, f"{table}: rows went that are nowhere else"
    reported = sum(result.get("deleted", {}).get("dag_run", 0) for result in work.results)
    assert reported == len(whole(before)["dag_run"] - after["dag_run"])
    assert not any(result.get("failed") for result in work.results)


def few(version: str) -> Capability:
    """The tables that have rows here: each other one costs a command that finds none."""
    can = capability(version)
    return replace(can, tables={table: can.tables[table] for table in can.tables if table in ORDER})


# ------------------------------------------------------------------ negative controls
OLD = [
    Run(dag, due, due - 0.01, tasks=[due - 0.02], extras=BOUND) for dag in (0, 1) for due in (100.0, 80.0, 60.0, 2.0)
]


def test_the_specification_catches_an_engine_that_deletes_everything(database: Database) -> None:
    fill(database, history(OLD))
    told = outside_airflow.words
    everything = mock.patch.object(
        outside_airflow, "words", side_effect=lambda command, can: told(replace(command, before=NOW), can)
    )
    with everything, pytest.raises(AssertionError, match="not what is specified"):
        check(database, {}, BOUND, 0.04)


def test_it_catches_one_that_goes_on_below_a_run_that_is_not_finished(database: Database) -> None:
    fill(database, history([*OLD, Run(2, 90.0, 89.9, state="running", tasks=[89.8])]))
    blind = mock.patch.object(outside_plan, "bound", side_effect=lambda target, *_: target)
    blind_again = mock.patch.object(outside, "bound", side_effect=lambda target, *_: target)
    with blind, blind_again, pytest.raises(AssertionError, match="not what is specified"):
        check(database, {}, BOUND, 0.04)


def test_it_catches_one_that_forgets_a_child_table(database: Database) -> None:
    fill(database, history(OLD))
    can = few(database.version)
    forgetful = {
        table: replace(cleanable, cascades=cleanable.cascades - {"task_reschedule"})
        for table, cleanable in can.tables.items()
        if table != "task_reschedule"
    }
    with pytest.raises(AssertionError, match=r"not what is specified|nowhere else"):
        check(database, {}, BOUND - {"task_reschedule"}, 0.04, can=replace(can, tables=forgetful))


# ------------------------------------------------------------------ what is known of each version
def test_the_table_of_capabilities_knows_every_foreign_key(database: Database) -> None:
    """What goes with a table's rows by this database's own foreign keys is what the engine reckons with."""
    keys = references(database)
    for table, cleanable in capability(database.version).tables.items():
        going = {table, *cleanable.also}
        while more := {child for child, _, parent, _ in keys if parent in going} - going:
            going |= more
        assert going == {table, *cleanable.with_it}, table


def test_each_name_stands_for_the_tables_that_the_engine_reckons_with(database: Database) -> None:
    there = cleanable(database)
    for table, can in capability(database.version).tables.items():
        words = outside_airflow.words(Command(table, NOW, look=True), capability(database.version))
        output = database.cli(" ".join(words))
        checked = {line.split()[-1] for line in output.stdout.splitlines() if line.startswith("Checking table")}
        assert checked == ({table, *can.also} if table in there else set()), table


def test_the_ages_are_those_that_airflow_goes_by(database: Database) -> None:
    output = database.cli("db clean --clean-before-timestamp 2020-01-01 --dry-run")
    ages = dict(
        line.split("|")[1].strip().split(".")
        for line in output.stdout.splitlines()
        if line.count("|") > 2 and "." in line
    )
    for table, cleanable in capability(database.version).tables.items():
        if table in ages:  # `session` is there with the FAB auth manager only
            assert ages[table] == cleanable.age, table


def cleanable(database: Database) -> set[str]:
    """The tables that are there; `session` is cleaned with the FAB auth manager only."""
    return set(database.tables()) - {"session"}


# ------------------------------------------------------------------ much
@pytest.mark.path
def test_a_long_history_goes_in_slices_without_a_failed_command(database: Database) -> None:
    """A fiftieth of the size that the bench measures; the first slices are made as small."""
    bulk.fill(database, 400, NOW)
    document = {"mode": "delete", "confirm": 0.95, "days": {"default": 30}, "export_required": False}
    with mock.patch.multiple(outside_slices, FEWEST_ROWS=100, MOST_ROWS=1_500), first_slice(300):
        work = clean(database, Policy.read(document, "bulk"), {}, NOW, can=few(database.version))
    assert not [result for result in work.results if result.get("failed") or result.get("left")], work.results
    counts = database.counts()
    assert (counts["dag_run"], counts["task_instance"], counts["rendered_task_instance_fields"]) == (200, 300, 300)
    sliced = [result for result in work.results if result["commands"] > 3]
    assert {"xcom", "log"} <= {result["table"] for result in sliced}


@contextlib.contextmanager
def first_slice(rows: int) -> Iterator[None]:
    """Clean-ups begin with slices of so many rows."""
    began = outside.begin

    def begin(*arguments: Any) -> outside.Work:
        return replace(began(*arguments), limit=rows)

    with mock.patch.object(outside, "begin", begin), mock.patch.object(outside, "FIRST_ROWS", rows):
        yield


# ------------------------------------------------------------------ the double
@pytest.mark.parametrize(
    "command",
    [
        "--tables xcom --dry-run",
        "--tables dag_run --dry-run",
        "--tables xcom --skip-archive --yes",
        "--tables task_instance --skip-archive --yes",
        "--tables celery_taskmeta --skip-archive --yes",
        "--tables callback_request --skip-archive --yes",
        "--tables no_such_table --skip-archive --yes",
        "--tables no_such_table,log --dry-run",
    ],
)
def test_the_double_prints_what_airflow_prints(database: Database, command: str) -> None:
    """Table by table; what it says before, and in which order it goes on, is not compared."""
    fill(database, history(OLD))
    clock = NOW.timestamp()
    double = Airflow(database.version, lambda: clock)
    for table, cleaned in {"xcom": "timestamp", "task_instance": "start_date", "dag_run": "start_date"}.items():
        double.state.rows.tables[table] = [datetime.fromisoformat(row[cleaned]) for row in database.rows(table)]
    double.state.rows.tables["task_instance_history"] = double.state.rows.tables["task_instance"].copy()
    for table, age in (("deadline", "deadline_time"), ("task_state_store", "expires_at"), ("log", "dttm")):
        if database.has(table):
            rows = database.rows(table)
            column = age if rows and age in rows[0] else "deadline"
            ages = [datetime.fromisoformat(row[column]) for row in rows if row.get("event", "success") == "success"]
            double.state.rows.tables[table] = [one if one.tzinfo else one.replace(tzinfo=UTC) for one in ages]
    before = (NOW - timedelta(days=90)).isoformat()
    asked = f"db clean --clean-before-timestamp {before} {command}"
    real, made_up = database.cli(asked), double.cli(asked)
    assert said(made_up[1].decode(), made_up[2].decode()) == said(real.stdout, real.stderr)


def said(stdout: str, stderr: str) -> set[str]:
    """Each table's lines, and warnings and refusals, without times and places."""
    parts = re.split(r"\n(?=Performing dry run for table|Checking table)", "\n" + stdout)
    kept = {re.sub(r"__\d{14}", "__", part).strip() for part in parts if part.startswith(("Performing", "Checking"))}
    kept = {"\n".join(line for line in part.splitlines() if line and not WARNING.search(line)) for part in kept}
    warnings = {match[1] for match in WARNING.finditer(stdout)}
    refusals = {line for line in stderr.splitlines() if "command error" in line or "No tables selected" in line}
    return {part for part in kept if "following config" not in part} | warnings | refusals


WARNING = re.compile(r"(Table \w+ not found\.  Skipping\.|The following table\(s\) are not valid choices[^\]]*\])")


# ------------------------------------------------------------------ traps
def young_version(database: Database) -> tuple[int, int]:
    """Task instances and DAG versions that are left after `db clean` of old DAG versions, whose runs are all young."""
    fill(database, history([Run(0, due, due - 0.01, tasks=[due - 0.02]) for due in (3.0, 2.0, 1.0)]))
    before = (NOW - timedelta(days=30)).isoformat()
    database.cli(f"db clean --clean-before-timestamp {before} --tables dag_version --skip-archive --yes")
    return len(database.rows("task_instance")), len(database.rows("dag_version"))


def test_the_trap_of_dag_versions_is_there_and_is_avoided(database: Database) -> None:
    """On 3.0 young task instances go with an old version of their DAG. From 3.1 on the database forbids it."""
    left = young_version(database)
    if database.version.startswith("3.0."):
        assert left == (0, 0), "Airflow has mended it: look at NEVER again"
    else:
        assert left[0] == 3
        with pytest.raises(PostgresFailed, match=r"violates (RESTRICT setting of )?foreign key constraint"):
            database.sql("delete from dag_version")
    fill(database, history([Run(0, due, due - 0.01, tasks=[due - 0.02]) for due in (3.0, 2.0, 1.0)]))
    clean(database, policy(export_required=False), {}, NOW)
    assert (len(database.rows("task_instance")), len(database.rows("dag_version"))) == (3, 1)


def test_the_restrict_trap_fails_as_an_error_that_is_seen(database: Database) -> None:
    """`db clean` of ``dag``: what it says when a foreign key forbids it, the engine takes for a failure."""
    fill(database, history([Run(0, due, due - 0.01, tasks=[due - 0.02]) for due in (3.0, 2.0, 1.0)]))
    database.sql("update dag set last_parsed_time = '2020-01-01'")
    named = Target("dag", NOW - timedelta(days=30), "a mistake")
    can = Capability({"dag": Cleanable("last_parsed_time")}, tells_failure=capability(database.version).tells_failure)
    with mock.patch.object(outside, "targets", return_value=[named]):
        work = clean(database, policy(export_required=False), {}, NOW, can=can)
    [result] = work.results
    if database.version.startswith("3.0."):
        assert result["deleted"]["dag"] == 1
        assert database.rows("task_instance") == []
    else:
        assert result["failed"], result
        assert "ForeignKeyViolation" in result["kept"] or "RestrictViolation" in result["kept"], result
        assert len(database.rows("task_instance")) == 3


def test_a_table_of_another_version_is_no_failure(database: Database) -> None:
    fill(database, history(OLD))
    work = clean(database, policy(export_required=False), {}, NOW)
    absent = {result["table"] for result in work.results if result.get("kept") == "it is not in this database"}
    assert absent
    assert not absent & cleanable(database)
    assert not any(result.get("failed") for result in work.results)

"""The inside engine on the real schemas of 2.10.3 and 2.7.2: what is left is what a plain specification leaves."""

import contextlib
import json
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from localcloud.airflow import installed
from localcloud.airflow.postgres import PostgresFailed, query
from tests.airflow import generator, schemas
from tests.airflow.cleaning.inside_past import CELERY, NOW, Past
from tests.airflow.cleaning.inside_past import fill as fill_with
from tests.airflow.cleaning.inside_specification import AGE, OF_RUNS, Rows, Specification
from tests.airflow.conftest import LIVE, require
from tests.conftest import Figure

pytestmark = pytest.mark.xdist_group("cleanup-inside")

REAL = "2.10.3"
VERSIONS = (REAL, "2.7.2")
SOURCE = installed.ROOT / "layers/airflow/dags/groundcrew"
TABLES = ("dag_run", "dag", *OF_RUNS, *AGE, "dataset_alias_dataset_event")
ALL = {"export_required": False, "keep_newest": 1, "protected_dags": [], "confirm": 1}
"""A policy's part that lets everything go that is old."""

ORDINARY = """
select 'create role ordinary login' where not exists (select from pg_roles where rolname = 'ordinary') \\gexec
grant create, usage on schema public to ordinary;
select format('alter table %I owner to ordinary', tablename) from pg_tables where schemaname = 'public' \\gexec
"""


@pytest.fixture(scope="module")
def databases() -> Iterator[dict[str, str]]:
    """Of 2.10.3 the database that it has migrated itself; of 2.7.2 its tables and keys, which are less forgiving, or
    the one that it has migrated, where that is one of the versions that are tested.

    Both belong to somebody who may not tell PostgreSQL to look away, as ``postgres`` may.
    """
    require(REAL)
    with contextlib.ExitStack() as last:
        real = last.enter_context(schemas.migrated(REAL)).conninfo
        if "2.7.2" in LIVE:
            old = last.enter_context(schemas.migrated("2.7.2")).conninfo
        else:
            old = real.replace("dbname=airflow", "dbname=old")
            query(real, "create database old")
            schemas.create(old, "2.7.2")
            query(old, "insert into alembic_version values ('405de8318b3a')")
        found = {REAL: real, "2.7.2": old}
        for one in found.values():
            query(one, CELERY)
            query(one, ORDINARY)
        yield found


@pytest.fixture
def conninfo(databases: dict[str, str]) -> str:
    return databases[REAL]


def fill(conninfo: str, seed: int, version: str = REAL) -> None:
    fill_with(conninfo, schemas.read(version), Past.of(seed))


def fill_hostile(conninfo: str, seed: int, version: str) -> None:
    """One row of each table for each run, with every value that is easily spoilt."""
    dice = random.Random(seed)

    def adjust(table: str, number: int, row: dict[str, str | None]) -> None:
        ended = (NOW - timedelta(days=dice.randrange(1, 200), hours=5)).isoformat()
        if table == "dag_run":
            row |= {
                "dag_id": f"dag{number % 5}",
                "run_id": f"run{number}",
                "end_date": dice.choice((ended, ended, None)),
            }
            row["run_type"] = dice.choice(("manual", "scheduled"))
            row["state"] = dice.choice(("success", "success", "failed", "running"))
            row |= {"start_date": ended, "execution_date": (NOW - timedelta(hours=number)).isoformat()}
        if table == "task_instance":
            row["state"] = dice.choice((*("success",) * 9, "running"))
        if "updated_at" in row:
            row["updated_at"] = ended if dice.random() < 0.97 else NOW.isoformat()

    generator.fill(conninfo, schemas.read(version), 60, seed, adjust)


def rows(conninfo: str) -> Rows:
    """By table; those that this version does not have are left out."""
    there = query(conninfo, "select tablename from pg_tables where schemaname = 'public'").split()
    found = [table for table in TABLES if table in there]
    asked = [f"select coalesce(json_agg(t)::text, '[]') from \"{table}\" t" for table in found]
    # One line each: JSON has its line ends escaped, and json_agg puts one between any two rows.
    lines = query(conninfo, ";".join(f"select replace(({one}), E'\\n', '')" for one in asked)).split("\n")[:-1]
    return {table: json.loads(line) for table, line in zip(found, lines, strict=True)}


def clean(
    conninfo: str, policy: object, covered: object = None, mode: str = "delete", source: Path = SOURCE, **asked: Any
) -> Any:
    done = process(conninfo, policy, covered, mode, source, **asked)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def process(
    conninfo: str, policy: object, covered: object, mode: str, source: Path, user: str = "", **asked: Any
) -> "subprocess.CompletedProcess[str]":
    if user:
        conninfo = conninfo.replace("user=postgres", f"user={user}")
    said = {"conninfo": conninfo, "policy": policy, "covered": covered or {}, "seconds": 60, "mode": mode, **asked}
    return subprocess.run(
        [str(installed.environment(REAL) / "bin/python"), str(Path(__file__).parent / "cleaning/inside.py")],
        input=json.dumps(said, default=str),
        env={"PYTHONPATH": str(source), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def orphans(conninfo: str) -> list[str]:
    """Foreign keys that do not hold."""
    keys = query(
        conninfo,
        """select format('select %L where exists (select from %s c where (%s) is not null and not exists'
                         ' (select from %s p where (%s) = (%s)))', conname, conrelid::regclass,
                  string_agg(format('c.%I', a.attname), ', ' order by n), confrelid::regclass,
                  string_agg(format('c.%I', a.attname), ', ' order by n),
                  string_agg(format('p.%I', b.attname), ', ' order by n))
             from pg_constraint, unnest(conkey, confkey) with ordinality k(mine, its, n)
             join pg_attribute a on true join pg_attribute b on true
            where contype = 'f' and a.attrelid = conrelid and a.attnum = mine and b.attrelid = confrelid
              and b.attnum = its group by conname, conrelid, confrelid""",
    )
    return query(conninfo, ";".join(keys.splitlines())).split()


def policy(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    dice = random.Random(seed)
    until = NOW - timedelta(days=dice.choice((0, 0, 20)), hours=1)
    columns = dict.fromkeys(("dag_run", "task_instance", "task_instance_history", "task_instance_note"), "updated_at")
    columns |= dict.fromkeys(("dag_run_note", "dagrun_dataset_event"), "updated_at")
    columns |= dict.fromkeys(("task_fail", "task_reschedule"), "end_date")
    columns |= {table: AGE[table] for table in ("log", "job", "dataset_event", "sla_miss", "import_error")}
    expendable = ["xcom", "rendered_task_instance_fields", "task_map", "session", "celery_taskmeta", "callback_request"]
    others = ["trigger", "dataset_alias_dataset_event", "task_instance_history", "sla_miss", "task_instance"]
    expendable += dice.sample(others, 3)
    if dice.random() < 0.2:
        expendable.remove("rendered_task_instance_fields")
        columns["rendered_task_instance_fields"] = "updated_at"
    covered = {
        table: {"column": column, "until": until} for table, column in columns.items() if table not in expendable
    }
    if dice.random() < 0.3:
        covered.pop(dice.choice(sorted(covered)))
    named = {"xcom": 7, "log": 100, "job": 3, "task_instance": 30, "trigger": None, "session": 20, "task_fail": 150}
    named |= {"task_reschedule": 5, "dag_run": 60}
    return {
        "days": {
            "default": dice.randrange(1, 60),
            "tables": {table: named[table] for table in dice.sample(sorted(named), dice.choice((0, 0, 1, 3)))},
            "dags": {"dag1*": 90, "dag2": 2},
            "run_types": {"manual": dice.randrange(1, 90)},
        },
        "keep_newest": dice.randrange(1, 4),
        "protected_dags": ["dag4"],
        "expendable": expendable,
        "rows_per_transaction": dice.choice((5, 50_000)),
    }, covered


def is_so(conninfo: str, before: Rows, after: Rows, said: Any) -> None:
    """The report says what has happened, and every foreign key holds."""
    deleted = {table: about["deleted"] for table, about in said["tables"].items()}
    assert {table: number for table, number in deleted.items() if number} == {
        table: len(before[table]) - len(after[table]) for table in before if len(after[table]) < len(before[table])
    }
    assert orphans(conninfo) == []


CASES = [
    (version, seed, filled)
    for filled, seeds in ((fill, 12), (fill_hostile, 2))
    for version in VERSIONS
    for seed in range(seeds)
]


@pytest.mark.parametrize(("version", "seed", "filled"), CASES)
def test_what_is_left_is_what_the_specification_leaves(
    databases: dict[str, str], version: str, seed: int, filled: Callable[..., None], figure: Figure
) -> None:
    conninfo = databases[version]
    filled(conninfo, seed, version)
    kept, covered = policy(seed)
    before = rows(conninfo)
    said = clean(conninfo, kept, covered, "report")
    assert not any(about["deleted"] for about in said["tables"].values())
    assert rows(conninfo) == before
    wanted = Specification(before, kept, covered, NOW).after()
    said = clean(conninfo, kept, covered, connections=1 + seed // 2 % 2, user="ordinary" if seed % 2 else "postgres")
    after = rows(conninfo)
    assert after == wanted
    is_so(conninfo, before, after, said)
    assert said["converged"] == (wanted == Specification(after, kept, covered, NOW, strict=False).after())
    figure("rows deleted", sum(len(before[table]) - len(after[table]) for table in before))
    again = clean(conninfo, kept, covered)
    assert not any(about["deleted"] for about in again["tables"].values())
    assert again["converged"] == said["converged"]


BROKEN = {
    "deletes everything": ("run.ended < now - timedelta", "run.ended > run.ended - timedelta", "plan.py"),
    "deletes the newest": ("execution_date desc, id desc", "execution_date, id", "runs.py"),
    "forgets a child table": ("- set(found))", '- {*found, "task_instance_note"})', "references.py"),
    "ignores what is not exported": ('"true", ()', '"false", ()', "tables.py"),
    "takes the time of the row itself": ('"p" if table in THROUGH else "t"', '"t"', "tables.py"),
    "takes what is still at work": ('("t.state not in %s", (OVER,))', '("false", ())', "tree.py"),
    "takes triggers that are in use": ('referrers=("task_instance",)', "", "tables.py"),
    "takes jobs that run": ('f"t.state in {FINISHED}"', '"true"', "tables.py"),
    "stops after a slice": ("end[0] if chosen == most else None", "None", "slices.py"),
    "forgets half of a large run": ("gone.more = self._cut", "self._cut", "tree.py"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_engine_is_found(databases: dict[str, str], tmp_path: Path, name: str) -> None:
    right, wrong, file = BROKEN[name]
    folder = tmp_path / "groundcrew_cleaning"
    folder.mkdir()
    for one in (SOURCE / "groundcrew_cleaning").glob("*.py"):
        text = one.read_text()
        (folder / one.name).write_text(text.replace(right, wrong) if one.name == file else text)
        assert one.name != file or right in text
    assert any(is_wrong(databases[VERSIONS[seed % 2]], VERSIONS[seed % 2], seed, tmp_path) for seed in range(12))


def is_wrong(conninfo: str, version: str, seed: int, source: Path) -> bool:
    fill(conninfo, seed, version)
    kept, covered = policy(seed)
    before = rows(conninfo)
    done = process(conninfo, kept, covered, "delete", source)
    return done.returncode != 0 or rows(conninfo) != Specification(before, kept, covered, NOW).after()


@pytest.mark.parametrize("days", [0, -1, 100_000, True, "30"])
def test_absurd_days_delete_nothing(conninfo: str, days: object) -> None:
    fill(conninfo, 1)
    before = rows(conninfo)
    for said in ({"default": days}, {"default": 1, "tables": {"log": days}}, {"default": 1, "tables": {"xcom": days}}):
        with pytest.raises(AssertionError, match="ValueError"):
            clean(conninfo, {**ALL, "days": said})
        assert rows(conninfo)["dag_run"] == before["dag_run"]
    assert rows(conninfo) == before


def test_an_unknown_schema_is_refused(conninfo: str) -> None:
    fill(conninfo, 1)
    head = query(conninfo, "select version_num from alembic_version").strip()
    query(conninfo, "update alembic_version set version_num = 'aaaaaaaaaaaa'")
    try:
        before = rows(conninfo)
        with pytest.raises(AssertionError, match="RefusedError"):
            clean(conninfo, {**ALL, "days": {"default": 1}})
        assert rows(conninfo) == before
    finally:
        query(conninfo, f"update alembic_version set version_num = '{head}'")


@contextlib.contextmanager
def held(conninfo: str, sql: str) -> Iterator[None]:
    """Somebody else's transaction, which stays open."""
    with subprocess.Popen(
        [str(installed.psql()), "-qAtX", conninfo], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(f"{sql};\n\\echo held\n")
        other.stdin.flush()
        while other.stdout.readline().strip() != "held":
            assert other.poll() is None
        yield
        other.stdin.close()


def fill_settled(conninfo: str, seed: int) -> None:
    """Without anything at work that hangs on a run which is over, so that all can go that is old."""
    fill(conninfo, seed)
    query(conninfo, "update task_instance set state = 'success'")


def test_a_table_that_somebody_else_has_for_himself_stops_all(conninfo: str) -> None:
    fill(conninfo, 1)
    before = rows(conninfo)
    with (
        held(conninfo, "begin; lock table log in access exclusive mode"),
        pytest.raises(AssertionError, match="RefusedError"),
    ):
        clean(conninfo, {**ALL, "days": {"default": 1}, "lock_timeout_seconds": 1})
    assert rows(conninfo) == before


def test_two_at_once_are_one_too_many(conninfo: str) -> None:
    fill_settled(conninfo, 1)
    before = rows(conninfo)
    with held(conninfo, "select pg_advisory_lock(4077211907)"):
        with pytest.raises(AssertionError, match="RefusedError"):
            clean(conninfo, {**ALL, "days": {"default": 1}})
        assert rows(conninfo) == before
    assert clean(conninfo, {**ALL, "days": {"default": 1}})["converged"]


@pytest.mark.parametrize(
    ("sql", "stays"),
    [
        ("begin; select id from dag_run for update", "dag_run"),
        ("begin; select dag_id from task_instance for update", "task_instance"),
        ("begin; select id from log for update", "log"),
        (
            "begin; insert into task_fail select 9999 + row_number() over (), task_id, dag_id, run_id, map_index"
            " from task_instance",
            "task_instance",
        ),
    ],
)
def test_what_somebody_else_holds_is_left_and_the_rest_goes(conninfo: str, sql: str, stays: str) -> None:
    kept = {**ALL, "days": {"default": 1}, "lock_timeout_seconds": 1}
    fill_settled(conninfo, 3)
    before = rows(conninfo)
    with held(conninfo, sql):
        said = clean(conninfo, kept)
        assert not said["converged"]
        assert "locked by somebody else" in said["tables"]["log" if stays == "log" else "dag_run"]["kept"]
    after = rows(conninfo)
    assert after[stays] == before[stays]
    assert len(after["job"]) < len(before["job"])
    assert clean(conninfo, kept)["converged"]
    assert len(rows(conninfo)[stays]) < len(before[stays])


@pytest.mark.parametrize(("when", "connections"), [("dies_after", 1), ("dies_before", 2)])
def test_killed_between_any_two_commits_the_next_one_finishes(conninfo: str, when: str, connections: int) -> None:
    kept, covered = policy(5)
    kept["rows_per_transaction"] = 20
    fill(conninfo, 5)
    before = rows(conninfo)
    wanted = Specification(before, kept, covered, NOW).after()
    commits = clean(conninfo, kept, covered, connections=connections)["commits"]
    halves = 0
    for commit in range(1, commits - 2, 6):
        fill(conninfo, 5)
        killed: dict[str, Any] = {when: commit}
        done = process(conninfo, kept, covered, "delete", SOURCE, connections=connections, **killed)
        assert done.returncode == -signal.SIGKILL
        assert orphans(conninfo) == []
        halves += rows(conninfo) not in (before, wanted)
        clean(conninfo, kept, covered)
        assert rows(conninfo) == wanted
    assert halves


@pytest.mark.parametrize("connections", [1, 2])
def test_a_connection_is_lost_and_the_report_says_what_is_so(conninfo: str, connections: int) -> None:
    kept, covered = policy(5)
    kept["rows_per_transaction"] = 20
    fill(conninfo, 5)
    commits = clean(conninfo, kept, covered, connections=connections)["commits"]
    failures = 0
    for lost in range(8, commits, 7):
        fill(conninfo, 5)
        before = rows(conninfo)
        said = clean(conninfo, kept, covered, connections=connections, loses_after=lost)
        failures += bool(said["failure"])  # the second one may have had nothing more to do
        is_so(conninfo, before, rows(conninfo), said)
        clean(conninfo, kept, covered)
        assert rows(conninfo) == Specification(before, kept, covered, NOW).after()
    assert failures


@pytest.mark.parametrize("user", ["postgres", "ordinary"])
@pytest.mark.parametrize("version", VERSIONS)
def test_rows_that_come_meanwhile_are_no_orphans(databases: dict[str, str], version: str, user: str) -> None:
    conninfo = databases[version]
    fill(conninfo, 7, version)
    before, done = rows(conninfo), threading.Event()
    refused: list[str] = []

    def write() -> None:
        while not done.is_set():
            try:
                query(
                    conninfo,
                    "insert into xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, timestamp) select r.id,"
                    " task_id, map_index, random()::text, t.dag_id, t.run_id, now() from task_instance t join dag_run r"
                    " using (dag_id, run_id) order by random() limit 3",
                )
            except PostgresFailed as error:
                refused.append(str(error))

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    clean(conninfo, {**ALL, "days": {"default": 1}, "rows_per_transaction": 3}, connections=2, user=user)
    done.set()
    for writer in writers:
        writer.join()
    assert len(rows(conninfo)["task_instance"]) < len(before["task_instance"])
    assert all("violates foreign key" in one or "deadlock" in one for one in refused), refused
    assert orphans(conninfo) == []


def fill_log(conninfo: str) -> None:
    fill(conninfo, 1)
    query(
        conninfo,
        "insert into log (id, dttm, extra) select 1000 + n, now() - interval '40 days', repeat('x', 500)"
        " from generate_series(1, 20000) n; analyze log",
    )


def test_large_tables_in_small_transactions_once_it_is_confirmed(conninfo: str) -> None:
    fill_log(conninfo)
    kept = {"days": {"default": 30}, "export_required": False, "keep_newest": 100, "rows_per_transaction": 1000}
    said = clean(conninfo, kept)
    assert not said["converged"]
    assert "confirmed share" in said["tables"]["log"]["kept"]
    assert said["tables"]["log"]["deleted"] == 0
    assert said["tables"]["log"]["left"] == said["tables"]["log"]["examined"] >= 20000
    done = clean(conninfo, {**kept, "confirm": 1}, user="ordinary")
    assert done["converged"]
    assert done["tables"]["log"]["deleted"] == said["tables"]["log"]["examined"]
    assert done["tables"]["log"]["bytes_after"] < done["tables"]["log"]["bytes_before"] / 4
    assert done["commits"] - clean(conninfo, {**kept, "confirm": 1})["commits"] >= 20


def test_who_does_not_own_a_table_leaves_its_room_as_it_is(conninfo: str) -> None:
    fill_log(conninfo)
    query(conninfo, "create role guest login; grant all on all tables in schema public to guest")
    try:
        kept = {**ALL, "days": {"default": 30}, "keep_newest": 100}
        done = clean(conninfo, kept, user="guest")
        assert done["converged"]
        assert done["tables"]["log"]["deleted"] >= 20000
        assert done["tables"]["log"]["bytes_after"] == done["tables"]["log"]["bytes_before"]
    finally:
        query(conninfo, "drop owned by guest; drop role guest")


def test_no_time_deletes_nothing_and_says_so(conninfo: str) -> None:
    fill(conninfo, 1)
    before = rows(conninfo)
    said = clean(conninfo, {**ALL, "days": {"default": 1}}, seconds=0)
    assert not said["converged"]
    assert rows(conninfo) == before


_MANY = """
insert into dag_run
    (id, dag_id, run_id, run_type, state, execution_date, start_date, end_date, updated_at, external_trigger)
select 100000 + n, 'many', 'run' || n, 'manual', 'success', moment, moment, moment, moment, false
from generate_series(1, 1000) n
     cross join lateral (select now() - interval '1 second' * n - interval '90 days' * (n > 900)::int as moment) a;
insert into task_instance (task_id, dag_id, run_id, state, start_date, end_date, updated_at, pool, pool_slots)
select 'work', dag_id, run_id, 'success', start_date, end_date, end_date, 'default_pool', 1
from dag_run where dag_id = 'many';
insert into xcom (dag_run_id, task_id, key, dag_id, run_id, value, timestamp)
select id, 'work', 'key' || k, dag_id, run_id, '1', end_date from dag_run, generate_series(1, 20) k
where dag_id = 'many' and end_date < now() - interval '80 days'
"""


def test_what_hangs_on_runs_is_confirmed_too(conninfo: str) -> None:
    fill(conninfo, 1)
    query(conninfo, _MANY)
    kept = {"days": {"default": 60}, "export_required": False}
    said = clean(conninfo, kept)
    assert "confirmed share" in said["tables"]["xcom"]["kept"]
    assert "too much of xcom" in said["tables"]["dag_run"]["kept"]
    assert said["tables"]["xcom"]["deleted"] == said["tables"]["dag_run"]["deleted"] == 0
    assert not said["converged"]
    done = clean(conninfo, {**kept, "confirm": 1})
    assert done["tables"]["xcom"]["deleted"] >= 2000


def test_a_run_that_was_cleared_and_ended_again_stays(conninfo: str, tmp_path: Path) -> None:
    fill(conninfo, 1)
    query(conninfo, _MANY)
    # It is chosen before, and ends again before it is locked: as if all runs had been looked at much earlier.
    source = tmp_path / "source"
    shutil.copytree(SOURCE, source)
    file = source / "groundcrew_cleaning/runs.py"
    text = file.read_text()
    looked = "        total = len(decided.going)"
    again = (
        "        database.do(\"update dag_run set end_date = now() where dag_id = 'many' and run_id = 'run950'\")\n"
        "        database.connection.commit()\n"
    )
    assert looked in text
    file.write_text(text.replace(looked, again + looked))
    clean(conninfo, {**ALL, "days": {"default": 60}}, source=source)
    left = {one["run_id"] for one in rows(conninfo)["dag_run"] if one["dag_id"] == "many"}
    assert left == {f"run{number}" for number in (*range(1, 901), 950)}

"""The inside engine among others, in bad hands, killed and cut off: what it leaves is whole, and its report says so."""

import contextlib
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.airflow import installed
from localcloud.airflow.postgres import PostgresFailed, query
from localcloud.testing.waiting import eventually
from tests.support.airflow.cleaning.databases import (
    ALL,
    REAL,
    SOURCE,
    VERSIONS,
    clean,
    fill,
    is_so,
    opened,
    orphans,
    policy,
    process,
    rows,
)
from tests.support.airflow.cleaning.inside_past import NOW
from tests.support.airflow.cleaning.inside_specification import Specification

pytestmark = pytest.mark.xdist_group("cleanup-inside")


@pytest.fixture(scope="module")
def databases() -> Iterator[dict[str, str]]:
    with opened() as found:
        yield found


@pytest.fixture
def conninfo(databases: dict[str, str]) -> str:
    return databases[REAL]


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
        eventually(lambda: not query(conninfo, "select 1 from pg_locks where locktype = 'advisory'").strip())
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
    with pytest.raises(AssertionError, match=r"RefusedError: .*there was no time to look at all of it"):
        clean(conninfo, {**ALL, "days": {"default": 1}}, seconds=0)
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

"""The inside engine on real PostgreSQL with Airflow's own interpreter: what it writes is what the database holds."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from groundcrew_metadata import declared
from groundcrew_metadata.declaration import Table
from localcloud.airflow import schemas
from localcloud.airflow.postgres import Postgres, query
from localcloud.testing import generator
from localcloud.testing.airflows import require
from localcloud.testing.waiting import eventually
from tests.support.airflow import database, exporting
from tests.support.airflow.bucket import Bucket
from tests.support.airflow.exporting import EXPORT_ID, PREFIX, SECRET, WHOLE, Engine, conf, receipt
from tests.support.figures import Figure

pytestmark = pytest.mark.xdist_group("exports-inside")

REAL = "2.10.3"
OF_2 = [version for version in schemas.versions() if version.startswith("2.")]
ROWS = 120


@dataclass(frozen=True)
class Server:
    """A PostgreSQL with a database for each version of Airflow 2: the real one's own, the others made from files."""

    postgres: Postgres
    made: set[str]

    def conninfo(self, version: str) -> str:
        """Of a version's database, filled anew."""
        found = self.postgres.conninfo
        if version != REAL:
            name = f"airflow_{version.replace('.', '_')}"
            found = found.replace("dbname=airflow", f"dbname={name}")
            if version not in self.made:
                query(self.postgres.conninfo, f"create database {name}")
                schemas.create(found, version)
                self.made.add(version)
        generator.fill(found, schemas.read(version), ROWS, seed=OF_2.index(version))
        return found

    def url(self, version: str) -> str:
        """The same for SQLAlchemy."""
        name = "airflow" if version == REAL else f"airflow_{version.replace('.', '_')}"
        return self.postgres.url.replace("/airflow?", f"/{name}?")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    require(REAL)
    with schemas.migrated(REAL) as postgres:
        yield Server(postgres, set())


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    with Bucket(tmp_path / "bucket") as running:
        yield running


@pytest.fixture
def engine(tmp_path: Path, bucket: Bucket) -> Engine:
    return Engine(tmp_path / "airflow", bucket)


def tables(version: str) -> list[Table]:
    return [table for table in declared.TABLES.values() if table.exists(version)]


def whole(version: str = REAL) -> dict[str, Any]:
    return conf({table.name: WHOLE for table in tables(version)})


def differences(bucket: Bucket, conninfo: str, version: str) -> dict[str, list[str]]:
    """Tables whose parts and rows in the database differ, and in what."""
    found = {
        table.name: database.differences(
            exporting.rows(bucket, table.name), database.rows(conninfo, table, version), table.key_of(version)
        )
        for table in tables(version)
    }
    return {name: differing for name, differing in found.items() if differing}


@pytest.mark.parametrize("version", OF_2)
def test_every_value_of_every_declared_table(
    server: Server, engine: Engine, bucket: Bucket, version: str, figure: Figure
) -> None:
    conninfo = server.conninfo(version)
    said = engine.run(server.url(version), whole(version), version)
    assert SECRET not in said
    assert differences(bucket, conninfo, version) == {}
    written = receipt(bucket)
    assert {name: one["rows"] for name, one in written["tables"].items()} == {one.name: ROWS for one in tables(version)}
    assert (written["export_id"], written["engine"], written["airflow_version"]) == (EXPORT_ID, "inside", version)
    nothing = [row for row in database.rows(conninfo, declared.DAG_RUN, version, "conf is not null") if not row["conf"]]
    assert written["tables"]["dag_run"]["undecoded"] == {"conf": len(nothing)}
    assert nothing
    figure("values compared", sum(len(table.columns_of(version)) * ROWS for table in tables(version)))


def test_one_changed_value_and_one_lost_row_are_found(server: Server, engine: Engine, bucket: Bucket) -> None:
    conninfo = server.conninfo(REAL)
    engine.run(server.url(REAL), whole())
    assert differences(bucket, conninfo, REAL) == {}
    moment = "id = (select min(id) from dag_run where isfinite(start_date))"
    changes = {
        "task_instance": "update task_instance set hostname = '' where hostname is null",
        "log": "update log set extra = extra || ' ' where id = 1",
        "dag_run": f"update dag_run set start_date = start_date + interval '1 microsecond' where {moment}",
        "slot_pool": "delete from slot_pool where id = 9",
    }
    for number, change in enumerate(changes.values(), start=1):
        query(conninfo, change)
        assert sorted(differences(bucket, conninfo, REAL)) == sorted(list(changes)[:number])


def test_windows_side_by_side_carry_every_row_once(server: Server, engine: Engine, bucket: Bucket) -> None:
    conninfo = server.conninfo(REAL)
    ends = [None, "2026-03-01T00:00:00+00:00", "2026-06-01T02:00:00+02:00", None]
    timed = [table for table in tables(REAL) if table.time]
    found: dict[str, list[database.Row]] = {table.name: [] for table in timed}
    for since, until in pairwise(ends):
        engine.run(server.url(REAL), conf({table.name: {"from": since, "until": until} for table in timed}))
        for table in timed:
            found[table.name] += exporting.rows(bucket, table.name)
            assert receipt(bucket)["tables"][table.name]["window"]["column"] == table.time
    for table in timed:
        rows = database.rows(conninfo, table, REAL)
        via = "via" if table.through else "t"
        undated = _undated(conninfo, table, via)
        assert len(found[table.name]) == len(rows) + 2 * undated  # they are in all three
        once = {tuple(row[column] for column in table.key): row for row in found[table.name]}
        assert database.differences(list(once.values()), rows, table.key) == []


def _undated(conninfo: str, table: Table, via: str) -> int:
    join = ""
    if table.through:
        ways = " and ".join(f't."{mine}" = via."{its}"' for mine, its in table.through.on)
        join = f"join {table.through.table} via on {ways}"
    return int(query(conninfo, f'select count(*) from "{table.name}" t {join} where {via}."{table.time}" is null'))


def test_a_try_that_is_put_away_later_is_in_the_window_of_its_instance(
    server: Server, engine: Engine, bucket: Bucket
) -> None:
    conninfo = server.conninfo(REAL)
    query(conninfo, "update task_instance set updated_at = '2026-01-01'")
    query(conninfo, "update task_instance_history set updated_at = '2026-01-01'")
    query(conninfo, "update task_instance t set updated_at = '2026-09-09' from task_instance_history h "
                    "where h.id = 5 and (h.dag_id, h.task_id, h.run_id) = (t.dag_id, t.task_id, t.run_id)")  # fmt: skip
    engine.run(server.url(REAL), conf({"task_instance_history": {"from": "2026-09-09T00:00:00Z", "until": None}}))
    assert [row["id"] for row in exporting.rows(bucket, "task_instance_history")] == ["5"]


def test_no_rows_are_a_fact(server: Server, engine: Engine, bucket: Bucket) -> None:
    server.conninfo(REAL)
    window = {"from": "1999-01-01T00:00:00Z", "until": "1999-01-02T00:00:00Z"}
    engine.run(server.url(REAL), conf({"dataset_event": window}))
    assert exporting.rows(bucket, "dataset_event") == []
    assert len(receipt(bucket)["tables"]["dataset_event"]["parts"]) == 1


def test_all_tables_are_of_one_moment_and_nobody_waits_for_it(server: Server, engine: Engine, bucket: Bucket) -> None:
    conninfo = server.conninfo(REAL)
    before = {table.name: database.rows(conninfo, table, REAL) for table in tables(REAL)}
    held, go_on = _hold(bucket, "dag_run/part-00001.csv.gz")
    process = engine.start(server.url(REAL), whole())
    assert held.wait(30)
    for change in (
        "update task_instance set state = 'changed'",
        "delete from slot_pool",
        "insert into dag_tag (name, dag_id) select 'late', dag_id from dag",
    ):
        query(conninfo, f"set statement_timeout = '5s'; {change}")
    go_on.set()
    said, _ = process.communicate()
    assert process.returncode == 0, said
    for table in tables(REAL):
        assert database.differences(exporting.rows(bucket, table.name), before[table.name], table.key_of(REAL)) == []


def test_killed_in_the_middle_it_leaves_no_receipt_and_may_be_done_again(
    server: Server, engine: Engine, bucket: Bucket
) -> None:
    conninfo = server.conninfo(REAL)
    held, go_on = _hold(bucket, "log/part-00001.csv.gz")
    process = engine.start(server.url(REAL), whole())
    assert held.wait(30)
    process.kill()
    process.communicate()
    go_on.set()
    assert f"{PREFIX}/dag_run/part-00001.csv.gz" in bucket.objects()
    assert f"{PREFIX}/receipt.json" not in bucket.objects()
    eventually(lambda: query(conninfo, _OTHERS) == "0\n")  # nothing of it is left in the database
    engine.run(server.url(REAL), whole())
    assert differences(bucket, conninfo, REAL) == {}


@pytest.mark.parametrize("key", ["dag_run/part-00001.csv.gz", "xcom/part-00001.csv.gz", "receipt.json"])
def test_denied_it_says_so_and_leaves_no_receipt(server: Server, engine: Engine, bucket: Bucket, key: str) -> None:
    server.conninfo(REAL)
    bucket.refuse = lambda asked: "AccessDenied" if asked == f"{PREFIX}/{key}" else ""
    process = engine.start(server.url(REAL), whole())
    said, _ = process.communicate()
    assert process.returncode != 0
    assert "AccessDenied" in said
    assert SECRET not in said
    assert f"{PREFIX}/receipt.json" not in bucket.objects()


def test_what_s3_refuses_for_a_moment_is_tried_again(server: Server, engine: Engine, bucket: Bucket) -> None:
    conninfo = server.conninfo(REAL)
    bucket.refuse = lambda key: "SlowDown" if bucket.calls[key] < 3 else ""
    engine.run(server.url(REAL), conf({"dag": WHOLE, "job": WHOLE}))
    for table in (declared.DAG, declared.JOB):
        assert bucket.calls[f"{PREFIX}/{table.name}/part-00001.csv.gz"] == 3
        rows = database.rows(conninfo, table, REAL)
        assert database.differences(exporting.rows(bucket, table.name), rows, table.key) == []


def test_the_bucket_of_somebody_else_gets_nothing(server: Server, engine: Engine, bucket: Bucket) -> None:
    server.conninfo(REAL)
    folder = exporting.ship(engine.home / "dags")
    place = folder / "place.json"
    place.write_text(place.read_text().replace('"owner": "111111111111"', '"owner": "999999999999"'))
    (engine.home / "tmp").mkdir()
    process = engine.start(server.url(REAL), whole())
    process.communicate()
    assert process.returncode != 0
    assert bucket.objects() == {}


def _hold(bucket: Bucket, key: str) -> tuple[threading.Event, threading.Event]:
    """Whether an upload has come, and what lets it go on."""
    held, go_on = threading.Event(), threading.Event()

    def hold(asked: str) -> None:
        if asked == f"{PREFIX}/{key}":
            held.set()
            go_on.wait(60)

    bucket.hold = hold
    return held, go_on


_OTHERS = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"

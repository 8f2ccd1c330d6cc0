"""From the real database of an Airflow 2 to the Parquet that is published, and to the views: every value stays."""

import uuid
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from groundcrew_metadata import declared
from groundcrew_metadata.declaration import Table
from localcloud.airflow import schemas
from localcloud.airflow.postgres import query
from localcloud.testing import generator
from localcloud.testing.airflows import live, require
from localcloud.testing.waiting import eventually
from tests.support.airflow import database, exporting
from tests.support.airflow.bucket import Bucket
from tests.support.airflow.exporting import Engine
from tests.support.airflow.exporting_dag import DEADLINE, STABLE, running, stable
from tests.support.airflow.here import Here
from tests.support.airflow.published import Published, comparable
from tests.support.exports.hub import open_hub
from tests.support.figures import Figure
from tests.support.tiers import Times

pytestmark = pytest.mark.xdist_group("exports-inside")

OF_2 = live("2.")
ROWS = 120
EXPORTS = 10
WHOLE = {"from": None, "until": None}


def tables(version: str) -> list[Table]:
    return [table for table in declared.TABLES.values() if table.exists(version)]


def differences(published: Published, conninfo: str) -> dict[str, list[str]]:
    """Tables whose Parquet is not what the database holds, and in what."""
    found = {}
    for table in tables(published.version):
        rows = comparable(table, published.version, database.rows(conninfo, table, published.version))
        found[table.name] = database.differences(published.parquet(table), rows, table.key_of(published.version))
    return {name: some for name, some in found.items() if some}


# ---------------------------------------------------------------------- rows that were made
@pytest.mark.parametrize("version", OF_2)
def test_every_value_of_every_declared_table_is_the_same_in_parquet(
    version: str, tmp_path: Path, figure: Figure
) -> None:
    require(version)
    with schemas.migrated(version) as postgres, Bucket(tmp_path / "bucket") as bucket, open_hub() as hub:
        conninfo = postgres.conninfo
        generator.fill(conninfo, schemas.read(version), ROWS, seed=7)
        engine = Engine(tmp_path / "airflow", bucket, version)

        def extract(conf: dict[str, Any]) -> Mapping[str, bytes]:
            engine.run(postgres.url, conf)
            return bucket.objects("extracts/")

        published = Published.by(hub, extract, tmp_path / "published", version)
        manifest = published.export(hub.environment(version=version), window=WHOLE)
        assert {name: one["rows"] for name, one in manifest["tables"].items()} == {
            table.name: ROWS for table in tables(version)
        }
        assert differences(published, conninfo) == {}
        figure("values compared in Parquet", sum(len(table.columns_of(version)) * ROWS for table in tables(version)))
        # The comparison finds one lost row of any table, and one changed value of any column.
        for table in tables(version):
            rows = comparable(table, version, database.rows(conninfo, table, version))
            here, key = published.parquet(table), table.key_of(version)
            assert len(database.differences(here[1:], rows, key)) == 1
            for column in table.columns_of(version):
                changed = [{**here[0], column.name: f"{here[0][column.name]}?"}, *here[1:]]
                assert database.differences(changed, rows, key) != []
        moment = "id = (select min(id) from dag_run where isfinite(start_date))"
        changes = {
            "task_instance": "update task_instance set hostname = '' where hostname is null",
            "log": "update log set extra = extra || ' ' where id = 1",
            "dag_run": f"update dag_run set start_date = start_date + interval '1 microsecond' where {moment}",
            "slot_pool": "delete from slot_pool where id = 9",
        }
        for number, change in enumerate(changes.values(), start=1):
            query(conninfo, change)
            assert sorted(differences(published, conninfo)) == sorted(list(changes)[:number])


# ---------------------------------------------------------------------- a scheduler at work
@pytest.fixture(scope="module", params=OF_2)
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    with running(request.param, tmp_path_factory.mktemp("published")) as started:
        yield started


def inside(here: Here, conf: dict[str, Any]) -> Mapping[str, bytes]:
    """The shipped DAG, run by the scheduler."""
    run_id = start(here, "groundcrew_export", f"groundcrew__{conf['export_id']}", conf)
    assert eventually(lambda: here.ended("groundcrew_export", run_id), DEADLINE) == "success"
    account, region, name = (exporting.PLACE[key] for key in ("account", "region", "environment"))
    return here.bucket.objects(f"extracts/{account}/{region}/{name}/{conf['export_id']}/")


CONF = {"text": 'a "b"\nc', "n": [1, 2.5, None]}


def start(here: Here, dag_id: str, run_id: str = "", conf: Mapping[str, Any] = CONF) -> str:
    """A run, which is not waited for; its id."""
    run_id = run_id or uuid.uuid4().hex
    body = {"dag_run_id": run_id, "conf": conf}
    status, answer = here.airflow.backend.rest("POST", f"/dags/{dag_id}/dagRuns", {}, body)
    assert status == 200, answer
    return run_id


def note(here: Here, run_id: str) -> None:
    """A note of a run of ``rich``."""
    status, _ = here.airflow.backend.rest("PATCH", f"/dags/rich/dagRuns/{run_id}/setNote", {}, {"note": "why,\nthough"})
    assert status == 200


def quiet(here: Here) -> bool:
    """Whether nothing runs any more, nor will because of what has."""
    runs = here.airflow.sql("select count(*) as n from dag_run where state in ('queued', 'running')")
    waiting = here.airflow.sql("select count(*) as n from dataset_dag_run_queue")
    return runs == waiting == [{"n": 0}]


def unlike(published: Published, here: Here, table: Table, less: int = 0) -> list[str]:
    """Where the view and the database differ, ``less`` rows of the view left out."""
    where = STABLE[table.name]
    rows = database.rows(here.airflow.database, table, published.version, where)
    current = published.current(table, where)[less:]
    return database.differences(current, comparable(table, published.version, rows), table.key_of(published.version))


LONG_AGO = """
update dag_run set updated_at = updated_at - interval '2 hours';
update task_instance set updated_at = updated_at - interval '2 hours';
update log set dttm = dttm - interval '2 hours';
"""


def test_exports_while_a_scheduler_runs_dags(here: Here, tmp_path: Path, figure: Figure, times: Times) -> None:
    version, started, exports = here.airflow.version, 0, times(EXPORTS)
    old = start(here, "rich")
    assert eventually(lambda: here.ended("rich", old), DEADLINE) == "success"
    note(here, old)
    eventually(lambda: quiet(here), DEADLINE)
    query(here.airflow.database, LONG_AGO)
    with open_hub() as hub:
        published = Published.by(hub, lambda conf: inside(here, conf), tmp_path, version)
        environment, manifests = hub.environment(version=version), []
        for number in range(exports):
            if number < exports - 1:
                for dag_id in ("hello", "fails", "echo", "rich")[: 4 if number % 4 == 0 else 1 + number % 2]:
                    start(here, dag_id)
                    started += 1
            else:
                eventually(lambda: quiet(here), DEADLINE)
            manifests.append(published.export(environment))
        for before, after in pairwise(manifests):
            for name, covered in before["covered"].items():
                window = after["tables"][name]["window"]
                assert window["from"] < covered["until"] <= window["until"], "there is no gap"
        for table in stable(version):
            assert unlike(published, here, table) == []
            assert unlike(published, here, table, less=1) != []
        # What is old was read once, what changed was read again, and is shown once.
        runs = declared.DAG_RUN
        assert len([row for row in published.parquet(runs) if row["run_id"] == old]) == 1
        again = len(published.parquet(runs)) - len(published.current(runs))
        assert again > 0
    figure("runs started under exports, inside", started)
    figure("runs read again under exports, inside", again)


def test_what_real_runs_have_left_is_the_same_in_parquet(here: Here, tmp_path: Path) -> None:
    version = here.airflow.version
    run_id = start(here, "rich")
    assert eventually(lambda: here.ended("rich", run_id), DEADLINE) == "success"
    eventually(lambda: quiet(here), DEADLINE)
    note(here, run_id)
    with open_hub() as hub:
        published = Published.by(hub, lambda conf: inside(here, conf), tmp_path, version)
        published.export(hub.environment(version=version), window=WHOLE)
        for table in stable(version):
            where = STABLE[table.name]
            rows = comparable(table, version, database.rows(here.airflow.database, table, version, where))
            parquet = published.parquet(table, where)
            assert rows
            assert database.differences(parquet, rows, table.key_of(version)) == []
            assert len(database.differences(parquet[1:], rows, table.key_of(version))) == 1

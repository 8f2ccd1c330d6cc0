"""The DAG as it is shipped, on a real Airflow 2 whose scheduler runs it, over what real runs have left."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from groundcrew_metadata import declared
from localcloud.airflow.settings import Place
from localcloud.testing.airflows import live, require
from localcloud.testing.waiting import eventually
from tests.support.airflow import database, exporting
from tests.support.airflow.exporting import PREFIX, SECRET, WHOLE, conf, receipt
from tests.support.airflow.exporting_dag import STABLE, running, stable
from tests.support.airflow.here import Here

pytestmark = pytest.mark.xdist_group("exports-inside")

OF_2 = live("2.")


@pytest.fixture(scope="module", params=OF_2)
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    with running(request.param, tmp_path_factory.mktemp("exports")) as started:
        yield started


def test_what_real_runs_have_left_is_exported_value_by_value(here: Here) -> None:
    version = here.airflow.version
    assert here.run("rich", "first", {"text": 'a "quoted"\nline, ünï 🙂', "n": [1, 2.5, None]}) == "success"
    assert here.run("fails", "second", {}) == "failed"
    eventually(lambda: here.airflow.sql("select 1 as n from dag_run where dag_id = 'taken' and state = 'success'"))
    status, _ = here.airflow.backend.rest("PATCH", "/dags/rich/dagRuns/first/setNote", {}, {"note": "why,\nthough"})
    assert status == 200
    order = conf({name: WHOLE for name, table in declared.TABLES.items() if table.exists(version)})
    assert here.run("groundcrew_export", f"groundcrew__{exporting.EXPORT_ID}", order) == "success"
    assert receipt(here.bucket)["airflow_version"] == version
    filled = set()
    for table in stable(version):
        rows = database.rows(here.airflow.database, table, version, STABLE[table.name])
        keys = {tuple(row[column] for column in table.key) for row in rows}
        exported = [
            row for row in exporting.rows(here.bucket, table.name) if tuple(row[column] for column in table.key) in keys
        ]
        assert database.differences(exported, rows, table.key) == []
        filled |= {table.name} if rows else set()
    assert {table.name for table in stable(version)} == filled
    assert receipt(here.bucket)["tables"]["dag_run"]["undecoded"] == {"conf": 0}
    logs = here.logs()
    assert "exported export_id=" in logs
    assert SECRET not in logs


@pytest.mark.parametrize(
    "order", [{}, conf({"connection": WHOLE}), {**conf({"dag": WHOLE}), "bucket": "somebody-elses"}], ids=str
)
def test_whoever_starts_it_gets_nothing_that_is_not_declared(here: Here, order: dict[str, Any]) -> None:
    before = here.bucket.objects()
    assert here.run("groundcrew_export", uuid.uuid4().hex, order) == "failed"
    assert here.bucket.objects() == before


def test_it_can_be_started_at_once_and_nothing_beside_it_is_taken_for_a_dag(here: Here) -> None:
    assert here.airflow.sql("select is_paused from dag where dag_id = 'groundcrew_export'") == [{"is_paused": False}]
    assert here.airflow.sql("select filename from import_error where filename like '%groundcrew%'") == []
    here.bucket.objects(PREFIX)


@pytest.mark.parametrize("version", OF_2)
def test_parsing_imports_nothing_that_only_a_run_needs(version: str, tmp_path: Path) -> None:
    require(version)
    folder = exporting.ship(tmp_path / "dags")
    (tmp_path / "tmp").mkdir()
    place = Place(version, tmp_path, f"sqlite:///{tmp_path}/airflow.db", port=0, dags=folder)
    code = (
        "import json, sys; from airflow.models.dagbag import DagBag; before = set(sys.modules);"
        "bag = DagBag(sys.argv[1], include_examples=False);"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "ours = sorted(new & {'botocore', 'boto3', 'groundcrew_cleaning', 'groundcrew_metadata'});"
        "print(json.dumps([sorted(bag.dags), bag.import_errors, ours]))"
    )
    done = subprocess.run(
        [str(place.airflow.with_name("python")), "-c", code, str(folder)],
        env=place.variables(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [["groundcrew_cleanup", "groundcrew_export"], {}, []]

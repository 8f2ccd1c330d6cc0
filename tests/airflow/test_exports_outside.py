"""The outside engine against real API servers: what it writes is what their databases hold."""

import shutil
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exports import outside, outside_columns
from groundcrew.errors import PermanentError
from groundcrew_metadata import declared
from localcloud.airflow import schemas
from localcloud.airflow.postgres import query
from localcloud.airflow.running import SAMPLES, RunningAirflow
from localcloud.testing.airflows import live, processes_of, require
from localcloud.testing.api_server import Served, serving
from localcloud.testing.tame import fill_served
from localcloud.testing.waiting import eventually
from tests.support.airflow.exporting_dag import DAGS
from tests.support.airflow.outside import Outside, differences, everything
from tests.support.figures import Figure
from tests.support.tiers import Times

pytestmark = pytest.mark.xdist_group("airflow")

OF_3 = live("3.")
ALL_OF_3 = [version for version in schemas.versions() if version.startswith("3.")]
ROWS = 250
WINDOWED = ("dag_run", "task_instance", "log", "asset_event")
EXPORTS = 10
AGAIN = 2
"""The export that reads the window of the one before it once more."""


# ---------------------------------------------------------------------- what is declared
@pytest.mark.parametrize("version", ALL_OF_3)
def test_each_declared_column_is_said_or_there_is_a_reason(version: str) -> None:
    reasons = {(table, column): why for table, column, why in outside_columns.unsaid(version)}
    assert all(reasons.values())
    for name in outside_columns.SAID:
        if outside_columns.is_said(name, version):
            columns = {column.name for column in outside_columns.columns(name, version)}
            assert set(outside_columns.key(name, version)) <= columns


def test_nothing_is_both_said_and_unsaid_or_unknown() -> None:
    last = ALL_OF_3[-1]
    known = {f"{table.name}.{column.name}" for table in declared.TABLES.values() for column in table.columns}
    said = {f"{name}.{column.name}" for name in outside_columns.SAID for column in outside_columns.columns(name, last)}
    assert set(outside_columns.UNSAID_COLUMNS) <= known
    assert set(outside_columns.DIFFERS) <= said
    assert set(outside_columns.LEFT_OUT) <= set(outside_columns.SAID)
    assert {name for names in outside_columns.SAID for name in outside_columns.SAID[names]} <= {
        column.name for table in declared.TABLES.values() for column in table.columns
    }


# ---------------------------------------------------------------------- rows that were made
@pytest.fixture(scope="module", params=OF_3)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, Served]]:
    with serving(request.param) as server:
        yield request.param, server


def found(exported: Outside, database: str) -> dict[str, list[str]]:
    """Tables that differ, and in what."""
    every = {
        name: differences(name, exported.version, exported.rows(name), database)
        for name in everything(exported.version)
    }
    return {name: some for name, some in every.items() if some}


@pytest.mark.path
def test_every_value_of_every_table(served: tuple[str, Served], figure: Figure) -> None:
    version, server = served
    fill_served(server.database, version, ROWS)
    exported = Outside(version, server.get)
    receipt = exported.run()
    assert found(exported, server.database) == {}
    assert min(one["rows"] for one in receipt["tables"].values()) > ROWS / 3
    rows = [(name, one["rows"]) for name, one in receipt["tables"].items()]
    figure("values compared", sum(len(outside_columns.columns(name, version)) * count for name, count in rows))
    figure("calls for them", len(exported.calls))


def test_every_value_is_the_same_in_parquet(served: tuple[str, Served], tmp_path: Path) -> None:
    version, server = served
    fill_served(server.database, version, ROWS)
    exported = Outside(version, server.get)
    exported.run()
    for name in everything(version):
        exported.publish(name, tmp_path)
        assert differences(name, version, exported.current(name, tmp_path), server.database) == []


def test_one_changed_value_and_one_lost_row_are_found(served: tuple[str, Served]) -> None:
    version, server = served
    fill_served(server.database, version, 20)
    exported = Outside(version, server.get)
    exported.run()
    assert found(exported, server.database) == {}
    query(server.database, "update task_instance set hostname = 'another' where task_id = 'plain'")
    query(server.database, "update log set extra = coalesce(extra, '') || ' ' where id = 2")
    query(server.database, "delete from slot_pool where id = 9")
    one = "id = (select min(id) from dag_run where isfinite(start_date))"
    query(server.database, f"update dag_run set start_date = start_date + interval '1 microsecond' where {one}")
    assert set(found(exported, server.database)) == {"task_instance", "log", "slot_pool", "dag_run"}


def test_broken_off_after_every_question(served: tuple[str, Served]) -> None:
    version, server = served
    fill_served(server.database, version, 120)
    whole = Outside(version, server.get)
    whole.run()
    broken = Outside(version, server.get)
    broken.run(stops=(step % 2 == 1 for step in range(10_000)))
    for name in everything(version):
        assert sorted(map(repr, broken.rows(name))) == sorted(map(repr, whole.rows(name)))
    assert found(broken, server.database) == {}


def test_a_window_has_its_beginning_and_not_its_end(served: tuple[str, Served]) -> None:
    version, server = served
    fill_served(server.database, version, 60)
    for name in WINDOWED:
        time = declared.TABLES[name].time
        query(server.database, f"update \"{name}\" set {time} = timestamptz '2026-02-01 00:00:00+00' + interval '1 us'")
        if name == "log":
            query(server.database, "update log set dag_id = null")
    at = datetime(2026, 2, 1, 0, 0, 0, 1, tzinfo=UTC)
    tick = timedelta(microseconds=1)
    for since, until, expected in ((at, at + tick, 60), (at - tick, at, 0), (at + tick, None, 0), (None, at, 0)):
        window: dict[str, str | None] = {
            "from": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
        }
        exported = Outside(version, server.get)
        receipt = exported.run(dict.fromkeys(WINDOWED, window))
        assert [receipt["tables"][name]["rows"] for name in WINDOWED] == [expected] * len(WINDOWED)


def test_a_time_that_airflow_cannot_show_is_said(served: tuple[str, Served]) -> None:
    version, server = served
    fill_served(server.database, version, 20)
    query(server.database, "update job set end_date = '0044-03-15 BC' where id = 12")
    query(server.database, "update job set state = 'running'")
    with pytest.raises(PermanentError) as refused:
        Outside(version, server.get).run()
    assert refused.value.cause == "BrokenEntry"


# ---------------------------------------------------------------------- a scheduler at work
class Working:
    """A running Airflow and what was started in it."""

    def __init__(self, airflow: RunningAirflow) -> None:
        self.airflow = airflow
        self.started = 0

    def get(self, path: str, asked: Mapping[str, str]) -> tuple[int, Any]:
        return self.airflow.backend.rest("GET", path, asked, None)

    def start(self, dag_id: str) -> None:
        body = {"dag_run_id": uuid.uuid4().hex, "logical_date": None, "conf": {"text": 'a "b"\nc', "n": [1, 2.5, None]}}
        status, answer = self.airflow.backend.rest("POST", f"/dags/{dag_id}/dagRuns", {}, body)
        assert status == 200, answer
        self.started += 1

    def quiet(self) -> bool:
        """No run is active, and none is about to come from an asset; one statement, so all of it at one moment."""
        return self.airflow.sql(
            "select not exists (select 1 from dag_run where state in ('queued', 'running')) "
            "and not exists (select 1 from asset_dag_run_queue) "
            "and exists (select 1 from asset_event) "
            "and exists (select 1 from dag_run where dag_id = 'taken') as done"
        ) == [{"done": True}]

    def has_old_rows(self) -> bool:
        """A task began so long ago that the next export is sure to read it."""
        old = "select 1 as n from task_instance where start_date < now() - interval '6 seconds' limit 1"
        return bool(self.airflow.sql(old))


@pytest.fixture(scope="module", params=OF_3)
def working(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Working]:
    require(request.param)
    folder = tmp_path_factory.mktemp("outside")
    shutil.copytree(SAMPLES, folder / "dags", ignore=shutil.ignore_patterns("__pycache__", "broken.py"))
    shutil.copy(DAGS / "rich_3.py", folder / "dags")
    with RunningAirflow(request.param, folder / "airflow", dags=folder / "dags") as airflow:
        yield Working(airflow)
    assert processes_of(folder) == []


def test_exports_while_a_scheduler_runs_dags(working: Working, tmp_path: Path, figure: Figure, times: Times) -> None:
    version, exports = working.airflow.version, max(AGAIN + 2, times(EXPORTS))
    since: dict[str, str | None] = dict.fromkeys(WINDOWED)
    before = since
    exported, read = Outside(version, working.get), dict.fromkeys(WINDOWED, 0)
    for number in range(exports):
        if number < exports - 1:
            for dag_id in ("hello", "fails", "echo", "rich")[: 4 if number % 4 == 0 else 1 + number % 2]:
                working.start(dag_id)
        else:
            eventually(working.quiet)
        if number == AGAIN - 1:
            eventually(working.has_old_rows)
        # The clocks are one: what is left of the minute is what a busy scheduler needs from a row to its commit.
        now = datetime.now(UTC) + outside.SETTLED - timedelta(seconds=0 if number == exports - 1 else 5)
        exported = Outside(version, working.get)
        windows = before if number == AGAIN else since
        receipt = exported.run({name: {"from": windows[name], "until": None} for name in WINDOWED}, now)
        before = dict(since)
        for name in WINDOWED:
            exported.publish(name, tmp_path, f"export-{number}")
            read[name] += receipt["tables"][name]["rows"]
            until = datetime.fromisoformat(receipt["tables"][name]["window"]["until"])
            since[name] = (until - timedelta(seconds=1)).isoformat()
    current = {name: exported.current(name, tmp_path) for name in WINDOWED}
    for name, rows in current.items():
        assert differences(name, version, rows, working.airflow.database) == []
        assert differences(name, version, rows[1:], working.airflow.database) != []
    again = sum(read.values()) - sum(map(len, current.values()))
    assert again > 0, "every row was read once only, so nothing was shown"
    figure("runs started under ten exports", working.started)
    figure("rows read again under ten exports", again)


def test_what_real_runs_have_left_is_exported_value_by_value(working: Working) -> None:
    version = working.airflow.version
    working.start("rich")
    eventually(working.quiet)
    instances = working.get("/dags/~/dagRuns/~/taskInstances", {"limit": "1", "state": "success"})[1]
    one = instances["task_instances"][0]
    path = f"/dags/{one['dag_id']}/dagRuns/{one['dag_run_id']}/taskInstances/{one['task_id']}"
    status, answer = working.airflow.backend.rest(
        "PATCH", path, {"map_index": one["map_index"], "update_mask": "note"}, {"note": "why,\nthough"}
    )
    assert status == 200, answer
    exported = Outside(version, working.get)
    receipt = exported.run(now=datetime.now(UTC) + outside.SETTLED)
    moving = {"job", "dag"}  # heartbeats, and what the DAG processor writes again and again
    for name in everything(version).keys() - moving:
        assert differences(name, version, exported.rows(name), working.airflow.database) == []
    empty = {name for name, table in receipt["tables"].items() if not table["rows"]}
    assert empty <= {"import_error"}

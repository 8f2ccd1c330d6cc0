from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.airflow.postgres import Postgres, PostgresFailed, query
from localcloud.testing.airflows import processes_of

pytestmark = pytest.mark.xdist_group("airflow")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres") / "log")
    server.make_cluster()
    server.start()
    query(server.conninfo.replace("dbname=airflow", "dbname=postgres"), "create database airflow")
    yield server
    server.stop()
    assert not server.folder.exists()
    assert processes_of(server.folder) == []


def test_a_value_stays_a_value(server: Postgres) -> None:
    assert query(server.conninfo, "select :'it'", {"it": "'; drop table dag_run; --"}) == "'; drop table dag_run; --\n"


def test_a_refused_query_says_why(server: Postgres) -> None:
    with pytest.raises(PostgresFailed, match='relation "dag_run" does not exist'):
        query(server.conninfo, "select 1 from dag_run")


def test_it_never_runs_as_root(server: Postgres) -> None:
    pid = int((server.data / "postmaster.pid").read_text().splitlines()[0])
    assert Path(f"/proc/{pid}").stat().st_uid != 0


def test_it_listens_on_its_socket_only(server: Postgres) -> None:
    assert query(server.conninfo, "show listen_addresses") == "\n"

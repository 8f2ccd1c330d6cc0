"""While the database is cleaned, a real scheduler goes on with DAGs of every type of schedule."""

from collections.abc import Iterator

import pytest

from tests.airflow.cleaning import schedules
from tests.airflow.cleaning.shipped import OF_2, POLICY, clean, ordered, report, running
from tests.airflow.conftest import eventually
from tests.airflow.here import Here

pytestmark = pytest.mark.xdist_group("cleanup-dag")

ROUNDS = 4
PATIENCE = 240.0


@pytest.fixture(scope="module", params=OF_2)
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    with running(request.param, tmp_path_factory.mktemp("schedules"), schedules.put) as found:
        yield found


def test_no_run_is_lost_doubled_or_skipped(here: Here) -> None:
    airflow = here.airflow
    eventually(lambda: all(schedules.succeeded(airflow).values()), PATIENCE)
    before = schedules.succeeded(airflow)
    for batch in range(ROUNDS):
        schedules.age(airflow, batch)
        conf = ordered(here, policy={**POLICY, "confirm": 1, "connections": 1 + batch % 2})
        assert clean(here, conf) == "success"
        assert report(here, conf)["tables"]["dag_run"]["deleted"] >= 200 * len(schedules.DAGS) - len(schedules.DAGS)
        # Of each DAG the newest run of each kind stays; here that is one of the scheduler's own.
        assert schedules.old(airflow) == 0
    goes_on = [dag for dag in schedules.DAGS if dag != "once"]
    eventually(lambda: all(schedules.succeeded(airflow)[dag] > before[dag] + 1 for dag in goes_on), PATIENCE)
    assert schedules.faults(airflow) == []
    assert "deadlock" not in here.logs()


def test_what_a_clean_up_must_not_do_would_be_seen(here: Here) -> None:
    airflow = here.airflow
    eventually(lambda: schedules.succeeded(airflow)["by_delta"] >= 3, PATIENCE)
    airflow.sql(
        "delete from dag_run where id = (select id from dag_run where dag_id = 'by_delta' order by execution_date"
        " offset 1 limit 1) returning id"
    )
    assert any(said.startswith("by_delta: ") for said in schedules.faults(airflow))

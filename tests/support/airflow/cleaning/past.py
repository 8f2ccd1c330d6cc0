"""A past for a real Airflow 2, a run of two DAGs for each day; and one of the two, which is scheduled."""

from datetime import UTC, datetime
from pathlib import Path

from localcloud.airflow.postgres import query
from localcloud.airflow.running import RunningAirflow

_ROWS = """
delete from dag_run where run_id like 'scheduled\\_\\_past-%';
insert into dag_run
    (dag_id, run_id, run_type, state, execution_date, start_date, end_date, updated_at, external_trigger)
select dag, 'scheduled__past-' || n, 'scheduled', 'success', moment, moment, moment, moment, false
from generate_series(1, :'days'::int) n
     cross join lateral (select now() - interval '1 day' * n - interval '1 hour' as moment) a
     cross join (values ('hello'), ('ticks')) d (dag);
insert into task_instance (task_id, dag_id, run_id, state, start_date, end_date, updated_at, pool, pool_slots)
select 'hello', dag_id, run_id, 'success', start_date, end_date, end_date, 'default_pool', 1
from dag_run where run_id like 'scheduled\\_\\_past-%';
insert into xcom (dag_run_id, task_id, key, dag_id, run_id, value, timestamp)
select id, 'hello', 'return_value', dag_id, run_id, '"hello"', end_date
from dag_run where run_id like 'scheduled\\_\\_past-%';
"""
_TICKS = """
from datetime import datetime, timedelta

from airflow import DAG
from airflow.operators.empty import EmptyOperator

with DAG(
    "ticks",
    schedule=timedelta(seconds=10),
    start_date=datetime.fromisoformat("{}"),
    catchup=True,
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="tick")
"""
LEFT = "select count(*) n from {} where run_id like 'scheduled\\_\\_past-%'"


def scheduled(dags: Path) -> None:
    """Put a DAG there that runs every ten seconds from now on, and not once less."""
    (dags / "ticks.py").write_text(_TICKS.format(datetime.now(UTC).replace(microsecond=0).isoformat()))


def fill(airflow: RunningAirflow, days: int) -> None:
    """A run of ``hello`` and one of ``ticks`` for each of so many days, each with a task instance and its XCom."""
    query(airflow.database, _ROWS, {"days": days})


def left(airflow: RunningAirflow) -> dict[str, int]:
    """Rows of that past."""
    return {table: int(airflow.sql(LEFT.format(table))[0]["n"]) for table in ("dag_run", "task_instance", "xcom")}


def ticks(airflow: RunningAirflow) -> list[str]:
    """What is wrong with the scheduled runs since the beginning; there are some, or it says so."""
    rows = airflow.sql(
        "select data_interval_start::text since, data_interval_end::text until from dag_run"
        " where dag_id = 'ticks' and run_id not like 'scheduled\\_\\_past-%' order by data_interval_start"
    )
    ends = [one["until"] for one in rows[:-1]]
    starts = [one["since"] for one in rows[1:]]
    return [f"{one} is followed by {two}" for one, two in zip(ends, starts, strict=True) if one != two]


def ticked(airflow: RunningAirflow) -> int:
    """How many scheduled runs have succeeded since the beginning."""
    rows = airflow.sql(
        "select count(*) n from dag_run where dag_id = 'ticks' and state = 'success'"
        " and run_id not like 'scheduled\\_\\_past-%'"
    )
    return int(rows[0]["n"])

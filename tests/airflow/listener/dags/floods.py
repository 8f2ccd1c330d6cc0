"""Many short runs, for each situation of the bus: the scheduler itself works through all of them."""

from datetime import UTC, datetime, timedelta

try:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.operators.empty import EmptyOperator

START = datetime(2024, 1, 1, tzinfo=UTC)
RUNS = 10

for situation in ("reached", "slow", "unreachable", "faults"):
    for number in range(10):
        with DAG(
            f"{situation}_{number}",
            start_date=START,
            end_date=START + timedelta(days=RUNS - 1),
            schedule=timedelta(days=1),
            catchup=True,
            max_active_runs=RUNS,
            is_paused_upon_creation=True,
        ):
            EmptyOperator(task_id="nothing")

with DAG("told", schedule=None, start_date=START, catchup=False, is_paused_upon_creation=False):
    EmptyOperator(task_id="nothing")

with DAG("paused", schedule=None, start_date=START, catchup=False, is_paused_upon_creation=True):
    EmptyOperator(task_id="nothing")

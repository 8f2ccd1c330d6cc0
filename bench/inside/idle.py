"""A task that does nothing, to compare with."""

from datetime import UTC, datetime

from airflow import DAG
from airflow.operators.python import PythonOperator

with DAG("idle", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False):
    PythonOperator(task_id="idle", python_callable=lambda: None)

"""The DAG ``groundcrew_cleanup``: deletes from this environment's database what a policy wants gone.

Groundcrew ships it, with an order for each clean-up, and starts it. Started by anybody else it can do no more than what
the order says that lies beside it now, and that once (``groundcrew_cleaning/order.py``).
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow import DAG
from airflow.operators.python import PythonOperator

HOURS = 25
"""How long a run may take at most: longer than any policy allows, for it stops by itself."""


def clean(**context: Any) -> None:
    """Everything is imported here, so that parsing this file costs the scheduler nothing."""
    here = str(Path(__file__).resolve().parent)
    if here not in sys.path:
        sys.path.insert(0, here)
    from groundcrew_cleaning import task  # noqa: PLC0415

    run = context["dag_run"]
    task.run(run.conf, run.run_id, context["ti"].try_number)


with DAG(
    "groundcrew_cleanup",
    description="What a policy wants gone, out of the metadata database",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["groundcrew"],
):
    PythonOperator(
        task_id="clean",
        python_callable=clean,
        retries=0,  # the next clean-up goes on
        execution_timeout=timedelta(hours=HOURS),
        do_xcom_push=False,
    )

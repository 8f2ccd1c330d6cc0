"""The DAG ``groundcrew_export``: writes declared metadata of this environment into Groundcrew's bucket.

Groundcrew ships it and starts it. Started by anybody else it can do no more than that: what may be exported is declared
(``groundcrew_metadata/declared.py``), and where to is shipped (``place.json``).
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow import DAG
from airflow.operators.python import PythonOperator

HOURS = 4
"""How long an export may take; one that takes longer is to be asked for in slices."""


def export(**context: Any) -> None:
    """Everything is imported here, so that parsing this file costs the scheduler nothing."""
    here = str(Path(__file__).resolve().parent)
    if here not in sys.path:
        sys.path.insert(0, here)
    from groundcrew_metadata import extract  # noqa: PLC0415

    extract.run(context["dag_run"].conf)


with DAG(
    "groundcrew_export",
    description="Declared metadata, to Groundcrew's bucket",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["groundcrew"],
):
    PythonOperator(
        task_id="export",
        python_callable=export,
        retries=0,  # whoever asked sees it fail and asks again
        execution_timeout=timedelta(hours=HOURS),
        do_xcom_push=False,
    )

"""A real Airflow 2 whose scheduler runs the DAG as it is shipped, and DAGs that leave rows in many tables."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from groundcrew_metadata import declared
from groundcrew_metadata.declaration import Table
from localcloud.airflow.running import SAMPLES, RunningAirflow
from localcloud.testing.airflows import processes_of, require
from tests.support.airflow import exporting
from tests.support.airflow.bucket import Bucket
from tests.support.airflow.exporting import credentials
from tests.support.airflow.here import Here

DAGS = Path(__file__).with_name("dags")
"""Samples that only tests need: runs of ``rich`` leave rows in many tables."""
OURS = "dag_id <> 'groundcrew_export'"
# Rows of the export's own run, and of what goes on while it runs, change after it.
STABLE = {
    **dict.fromkeys(
        ("dag_run", "task_instance", "task_instance_history", "task_reschedule", "task_fail", "xcom"), OURS
    ),
    **dict.fromkeys(("rendered_task_instance_fields", "dag_tag"), OURS),
    "log": f"{OURS} and dag_id is not null",
    "job": f"job_type = 'LocalTaskJob' and {OURS}",
    **dict.fromkeys(("dag_run_note", "dataset", "dataset_event", "dagrun_dataset_event", "slot_pool"), "true"),
}


DEADLINE = 240.0
"""Seconds for a run that waits for others, on a busy machine."""


@contextmanager
def running(version: str, folder: Path) -> Iterator[Here]:
    """Both, until the block ends."""
    require(version)
    shutil.copytree(SAMPLES, folder / "dags", ignore=shutil.ignore_patterns("__pycache__", "broken.py"))
    shutil.copy(DAGS / "rich.py", folder / "dags")
    exporting.ship(folder / "dags")
    with ExitStack() as last:
        bucket = last.enter_context(Bucket(folder / "bucket"))
        environment = {
            "AIRFLOW_ENV_NAME": "data",
            # A file that is parsed again touches its datasets, which would differ from what was exported just before.
            "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "3600",
            **credentials(bucket.url),
        }
        airflow = RunningAirflow(version, folder / "airflow", dags=folder / "dags", environment=environment)
        yield Here(last.enter_context(airflow), bucket)
    assert processes_of(folder) == []


def stable(version: str) -> list[Table]:
    return [table for name, table in declared.TABLES.items() if name in STABLE and table.exists(version)]

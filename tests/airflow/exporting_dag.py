"""A real Airflow 2 whose scheduler runs the DAG as it is shipped, and DAGs that leave rows in many tables."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from groundcrew_metadata import declared
from groundcrew_metadata.declaration import Table
from localcloud.airflow.running import SAMPLES, RunningAirflow
from tests.airflow import exporting
from tests.airflow.bucket import Bucket
from tests.airflow.conftest import eventually, processes_of, require
from tests.airflow.exporting import credentials

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


class Here:
    """A running Airflow with the DAG and a bucket."""

    def __init__(self, airflow: RunningAirflow, bucket: Bucket) -> None:
        self.airflow = airflow
        self.bucket = bucket

    def run(self, dag_id: str, run_id: str, conf: object) -> str:
        """Start a run; its state when it has ended."""
        body = {"dag_run_id": run_id, "conf": conf}
        status, answer = self.airflow.backend.rest("POST", f"/dags/{dag_id}/dagRuns", {}, body)
        assert status == 200, answer
        return str(eventually(lambda: self.ended(dag_id, run_id), DEADLINE))

    def ended(self, dag_id: str, run_id: str) -> str | None:
        select = (
            "select state from dag_run where dag_id = :'dag' and run_id = :'run' and state in ('success', 'failed')"
        )
        states = self.airflow.sql(select, dag=dag_id, run=run_id)
        return str(states[0]["state"]) if states else None

    def logs(self) -> str:
        """All that Airflow has written, the tasks' logs included."""
        return "".join(file.read_text(errors="replace") for file in self.airflow.directory.rglob("*.log"))


@contextmanager
def running(version: str, folder: Path) -> Iterator[Here]:
    """Both, until the block ends."""
    require(version)
    shutil.copytree(SAMPLES, folder / "dags", ignore=shutil.ignore_patterns("__pycache__", "broken.py"))
    shutil.copy(Path(__file__).with_name("dags") / "rich.py", folder / "dags")
    exporting.ship(folder / "dags")
    with ExitStack() as last:
        bucket = last.enter_context(Bucket(folder / "bucket"))
        environment = {"AIRFLOW_ENV_NAME": "data", **credentials(bucket.url)}
        airflow = RunningAirflow(version, folder / "airflow", dags=folder / "dags", environment=environment)
        yield Here(last.enter_context(airflow), bucket)
    assert processes_of(folder) == []


def stable(version: str) -> list[Table]:
    return [table for name, table in declared.TABLES.items() if name in STABLE and table.exists(version)]

"""A DAG of Airflow 2 whose runs leave rows in as many tables as they can."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow import DAG
from airflow.datasets import Dataset
from airflow.decorators import task
from airflow.exceptions import AirflowRescheduleException

MADE = Dataset("s3://acme/made")
COMMON: dict[str, Any] = {
    "start_date": datetime(2024, 1, 1, tzinfo=UTC),
    "catchup": False,
    "is_paused_upon_creation": False,
    "tags": ["rich", 'ünï, "quoted"'],
}

with DAG("rich", schedule=None, **COMMON):

    @task  # type: ignore[untyped-decorator, unused-ignore]
    def numbers() -> list[int]:
        return [1, 2, 3]

    @task  # type: ignore[untyped-decorator, unused-ignore]
    def mapped(number: int) -> dict[str, Any]:
        return {"number": number, "text": 'a "quoted"\nline, ünï'}

    @task(retries=1, retry_delay=timedelta(0))  # type: ignore[untyped-decorator, unused-ignore]
    def second_try(task_instance: Any = None) -> None:
        if task_instance.try_number == 1:
            raise RuntimeError("as it should")

    @task(outlets=[MADE])  # type: ignore[untyped-decorator, unused-ignore]
    def make() -> None:
        """Nothing but an event."""

    @task  # type: ignore[untyped-decorator, unused-ignore]
    def again(run_id: Any = None) -> None:
        before = Path(tempfile.gettempdir(), f"again-{run_id}")
        if not before.exists():
            before.touch()
            raise AirflowRescheduleException(datetime.now(UTC))

    mapped.expand(number=numbers()) >> [second_try(), again()] >> make()

with DAG("taken", schedule=[MADE], **COMMON):

    @task  # type: ignore[untyped-decorator, unused-ignore]
    def take() -> None:
        """Runs because there was an event."""

    take()

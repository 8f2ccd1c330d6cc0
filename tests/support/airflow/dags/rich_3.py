"""A DAG of Airflow 3 whose runs leave rows in as many tables as they can."""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, task

MADE = Asset("made", uri="s3://acme/made", extra={"text": 'a "quoted"\nline, ünï'})
COMMON: dict[str, Any] = {
    "start_date": datetime(2024, 1, 1, tzinfo=UTC),
    "catchup": False,
    "is_paused_upon_creation": False,
    "tags": ["rich", 'ünï, "quoted"'],
}

with DAG("rich", schedule=None, dag_display_name="Rich, as it were", **COMMON):

    @task  # type: ignore[untyped-decorator, unused-ignore]
    def numbers() -> list[int]:
        return [1, 2, 3]

    @task  # type: ignore[untyped-decorator, unused-ignore]
    def mapped(number: int) -> int:
        return number

    @task(retries=1, retry_delay=timedelta(0))  # type: ignore[untyped-decorator, unused-ignore]
    def second_try(task_instance: Any = None) -> None:
        if task_instance.try_number == 1:
            raise RuntimeError("as it should")

    @task(outlets=[MADE])  # type: ignore[untyped-decorator, unused-ignore]
    def make() -> None:
        """Nothing but an event."""

    mapped.expand(number=numbers()) >> second_try() >> make()

with DAG("taken", schedule=[MADE], **COMMON):

    @task  # type: ignore[untyped-decorator, unused-ignore]
    def take() -> None:
        """Runs because there was an event."""

    take()

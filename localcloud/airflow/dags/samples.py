"""Small DAGs for tests and the demonstration, valid in every version."""

from datetime import UTC, datetime
from typing import Any

try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task

UNPAUSED = {
    "start_date": datetime(2024, 1, 1, tzinfo=UTC),
    "schedule": None,
    "catchup": False,
    "is_paused_upon_creation": False,
}


def _say_hello() -> str:
    return "hello"


def _echo(**context: Any) -> dict[str, Any]:
    return dict(context["dag_run"].conf or {})


def _fail() -> None:
    raise RuntimeError("as it should")


with DAG("hello", **UNPAUSED):
    task(task_id="hello")(_say_hello)()

with DAG("echo", **UNPAUSED, params={"greeting": "hello"}):
    task(task_id="echo")(_echo)()

with DAG("fails", **UNPAUSED):
    task(task_id="fail")(_fail)()

with DAG("paused", **{**UNPAUSED, "is_paused_upon_creation": True}):
    task(task_id="hello")(_say_hello)()

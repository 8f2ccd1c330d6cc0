"""What is known of Airflow 2's tables: how old a row is, which ones are in use, and what must be exported first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXPENDABLE = ("celery_taskmeta", "celery_tasksetmeta", "rendered_task_instance_fields", "session", "task_map", "xcom")

FINISHED = ("success", "failed")
"""States of runs that nothing works on any more,"""

OVER = ("success", "failed", "skipped", "upstream_failed", "removed")
"""and of task instances; one without a state was never begun."""

THROUGH = frozenset({"dagrun_dataset_event", "rendered_task_instance_fields", "task_instance_history"})
"""Their exports' windows are over the column of the row that they hang on (``groundcrew_metadata.declared``)."""


@dataclass(frozen=True)
class Aged:
    """A table whose rows go by their own age. ``only``: those of ``t`` that nothing works on.

    A row that one of ``referrers`` refers to stays, because that row would go with it.
    """

    name: str
    age: str
    only: str = "true"
    referrers: tuple[str, ...] = ()


AGED = (
    Aged("log", "dttm"),
    # An executor or a worker that died leaves its job running for ever; who says so is not asked.
    Aged("job", "latest_heartbeat", f"t.state in {FINISHED}"),
    Aged("callback_request", "created_at"),
    Aged("celery_taskmeta", "date_done"),
    Aged("celery_tasksetmeta", "date_done"),
    Aged("import_error", "timestamp"),
    Aged("session", "expiry"),
    Aged("sla_miss", "timestamp"),
)

REFERRED = (
    Aged("dataset_event", "timestamp", referrers=("dagrun_dataset_event",)),
    Aged("trigger", "created_date", referrers=("task_instance",)),
)
"""These can only go after the runs."""


@dataclass(frozen=True)
class Exports:
    """What is in verified exports, as SQL asks for it. ``columns`` by table."""

    policy: Mapping[str, Any]
    covered: Mapping[str, Mapping[str, str]]
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def frees(self, table: str) -> bool:
        """Whether rows of a table may go unexported."""
        return table in self.policy.get("expendable", EXPENDABLE) or not self.policy.get("export_required", True)

    def lacks(self, table: str) -> tuple[str, tuple[str, ...]]:
        """The condition, and its values, that a row ``t`` is in no verified export; ``p`` is what it hangs on.

        Tables that are exported whole have no window, because nothing says which rows an export had.
        """
        if self.frees(table):
            return "false", ()
        window = self.covered.get(table)
        if not window or (table not in THROUGH and window["column"] not in self.columns[table]):
            return "true", ()
        alias = "p" if table in THROUGH else "t"
        return f'coalesce({alias}."{window["column"]}" >= %s::timestamptz, true)', (window["until"],)


def confirms_all(policy: Mapping[str, Any]) -> bool:
    """Whether whole tables may go, so that nobody need count."""
    return float(policy.get("confirm", 0.5)) >= 1


def is_too_much(policy: Mapping[str, Any], going: int, total: int) -> bool:
    """Whether more of a table's rows would go than the policy confirms."""
    return total >= 1000 and going > total * float(policy.get("confirm", 0.5))

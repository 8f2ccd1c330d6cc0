"""What ``airflow db clean`` can do in each Airflow 3 that MWAA offers, and which rows go with the rows it deletes.

Read in Airflow's ``utils/db_cleanup.py`` and in the foreign keys of each version's schema;
``tests/airflow/test_cleanup_outside_versions.py`` holds this table against both.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from groundcrew.errors import PermanentError

NEVER = frozenset({"dag", "dag_version", "trigger", "asset_event", "deadline", "task_state_store"})
"""Tables that are never named to ``db clean``.

``dag`` and ``dag_version``: their names stand for task instances and runs as well; in 3.0 a version's task instances go
with it however young they are, from 3.1 on they forbid it and the command fails. ``trigger``: a task instance that
waits goes with its trigger, and so does an asset's watcher. ``asset_event``: runs yet to come may wait for it.
Deadlines and task states go with their runs.
"""


@dataclass(frozen=True, slots=True)
class Cleanable:
    """A table that ``db clean`` can be told to clean.

    ``also`` are the tables that its name stands for as well, each cleaned by its own age up to the same time;
    ``cascades`` are those whose rows go with the deleted ones, whatever their age.
    """

    age: str
    also: frozenset[str] = frozenset()
    cascades: frozenset[str] = frozenset()
    of_runs: bool = False

    @property
    def with_it(self) -> frozenset[str]:
        """All other tables that may lose rows."""
        return self.also | self.cascades


@dataclass(frozen=True, slots=True)
class Capability:
    """What one version's ``db clean`` can do; ``tables`` are in the order in which they are best cleaned."""

    tables: Mapping[str, Cleanable]
    tells_failure: bool = False
    """It has ``--error-on-cleanup-failure``."""


def capability(airflow_version: str) -> Capability:
    """What ``db clean`` can do there.

    Raises:
        PermanentError: it is not known what that version's would delete.
    """
    found = _VERSIONS.get(airflow_version)
    if found is None:
        known = ", ".join(sorted(_VERSIONS))
        raise PermanentError(
            f"what `db clean` of Airflow {airflow_version or '?'} deletes is not known",
            cause="UnknownVersion",
            remedy=f"Update Groundcrew; it knows {known}.",
        )
    return found


_OF_INSTANCE = frozenset(
    {
        "rendered_task_instance_fields",
        "task_instance_history",
        "task_instance_note",
        "task_map",
        "task_reschedule",
        "xcom",
    }
)
_OF_RUN = _OF_INSTANCE | {"dag_run_note", "dagrun_asset_event", "deadline", "task_instance"}
_BY_THEMSELVES = {
    "job": Cleanable("latest_heartbeat"),
    "log": Cleanable("dttm"),
    "import_error": Cleanable("timestamp"),
    "celery_taskmeta": Cleanable("date_done"),
    "celery_tasksetmeta": Cleanable("date_done"),
    "session": Cleanable("expiry"),
    "_xcom_archive": Cleanable("timestamp"),
    "sla_miss": Cleanable("timestamp"),
    "callback_request": Cleanable("created_at"),
}


def _tables(
    *,
    of_history: frozenset[str] = frozenset(),
    of_instance: frozenset[str] = frozenset(),
    of_run: frozenset[str] = frozenset(),
) -> dict[str, Cleanable]:
    """Leaves first: what is gone already need not be looked for when its parent goes (in 3.0 each task instance that
    goes costs a scan of ``task_reschedule``, which has no index on it).
    """
    instance = _OF_INSTANCE | of_instance | of_history
    run = _OF_RUN | instance | of_run
    return {
        **_BY_THEMSELVES,
        "task_reschedule": Cleanable("start_date", of_runs=True),
        "xcom": Cleanable("timestamp", of_runs=True),
        "task_instance_history": Cleanable("start_date", cascades=of_history, of_runs=True),
        "task_instance": Cleanable(
            "start_date", also=frozenset({"task_instance_history", "xcom"}), cascades=instance, of_runs=True
        ),
        "dag_run": Cleanable(
            "start_date",
            also=frozenset({"deadline", "task_instance", "task_instance_history", "xcom"})
            | (of_run & {"task_state_store"}),
            cascades=run,
            of_runs=True,
        ),
    }


_HITL = {"of_history": frozenset({"hitl_detail_history"}), "of_instance": frozenset({"hitl_detail"})}
_TOKENS = {"revoked_token": Cleanable("exp")}

_VERSIONS: Mapping[str, Capability] = {
    "3.0.6": Capability(_tables()),
    "3.2.1": Capability(_TOKENS | _tables(**_HITL, of_run=frozenset({"asset_partition_dag_run"}))),
    "3.3.1": Capability(
        _TOKENS
        | {"connection_test_request": Cleanable("updated_at")}
        | _tables(**_HITL, of_run=frozenset({"asset_partition_dag_run", "task_state_store"})),
        tells_failure=True,
    ),
}

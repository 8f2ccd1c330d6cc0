"""What the REST API of Airflow 3 says of each declared table, column by column, and what it does not.

Read in the API's own models of 3.0.6, 3.2.1 and 3.3.1 (``airflow/api_fastapi/core_api/datamodels``) and held against
their databases by ``tests/airflow/test_exports_outside.py``: a declared column of Airflow 3 is either said here, or
its absence has a reason here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from groundcrew_metadata import declared
from groundcrew_metadata.declaration import Column, within

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Said:
    """How a column is read from an entry of an answer, and since which version it is said."""

    read: Callable[[Row], Any]
    since: str = "3.0.0"


def member(*path: str, since: str = "3.0.0") -> Said:
    """A member of an entry, or of what it holds; None where there is none, for MWAA may drop null members."""

    def read(entry: Row) -> Any:
        found: Any = entry
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    return Said(read, since)


def _named(*names: str) -> dict[str, Said]:
    return {name: member(name) for name in names}


def _upper(name: str) -> Said:
    """An enumeration that Airflow keeps by its name and says by its value."""
    return Said(lambda entry: value.upper() if (value := entry.get(name)) is not None else None)


_OF_AN_INSTANCE = {"dag_id": member("dag_id"), "task_id": member("task_id"), "run_id": member("dag_run_id")}

SAID: Mapping[str, Mapping[str, Said]] = {
    "dag_run": {
        **_named("dag_id", "run_type", "state", "logical_date", "run_after", "data_interval_start"),
        **_named("data_interval_end", "queued_at", "start_date", "end_date", "last_scheduling_decision"),
        **_named("bundle_version", "triggering_user_name", "partition_key", "conf"),
        "run_id": member("dag_run_id"),
        "triggered_by": _upper("triggered_by"),
        "partition_date": member("partition_date", since="3.3.0"),
    },
    "task_instance": {
        **_OF_AN_INSTANCE,
        **_named("id", "map_index", "try_number", "max_tries", "state", "operator", "task_display_name"),
        **_named("rendered_map_index", "start_date", "end_date", "duration", "pool", "pool_slots", "queue"),
        **_named("priority_weight", "executor", "hostname", "unixname", "pid"),
        "custom_operator_name": member("operator_name", since="3.2.0"),
        "scheduled_dttm": member("scheduled_when"),
        "queued_dttm": member("queued_when"),
        "trigger_id": member("trigger", "id"),
        "dag_version_id": member("dag_version", "id"),
    },
    "task_instance_note": {"ti_id": member("id"), "content": member("note")},
    "log": {
        **_named("dag_id", "task_id", "run_id", "map_index", "try_number", "event", "logical_date", "owner", "extra"),
        "id": member("event_log_id"),
        "dttm": member("when"),
    },
    "job": _named(
        *("id", "dag_id", "state", "job_type", "start_date", "end_date", "latest_heartbeat", "executor_class"),
        *("hostname", "unixname"),
    ),
    "import_error": {
        **_named("timestamp", "filename", "bundle_name"),
        "id": member("import_error_id"),
        "stacktrace": member("stack_trace"),
    },
    "dag": {
        **_named("dag_id", "dag_display_name", "description", "is_paused", "is_stale", "fileloc", "relative_fileloc"),
        **_named("bundle_name", "bundle_version", "has_import_errors", "last_parsed_time", "last_parse_duration"),
        **_named("last_expired", "timetable_summary", "timetable_description", "timetable_partitioned"),
        **_named("timetable_periodic", "allowed_run_types", "max_active_tasks", "max_active_runs"),
        **_named("max_consecutive_failed_dag_runs", "has_task_concurrency_limits"),
        **_named("next_dagrun_data_interval_start", "next_dagrun_data_interval_end"),
        "owners": Said(lambda entry: ", ".join(owners) if (owners := entry.get("owners")) else None),
        "next_dagrun": member("next_dagrun_logical_date"),
        "next_dagrun_create_after": member("next_dagrun_run_after"),
    },
    "dag_tag": _named("dag_id", "name"),
    "asset": _named("id", "name", "uri", "group", "extra", "created_at", "updated_at"),
    "asset_event": _named(
        *("id", "asset_id", "source_dag_id", "source_task_id", "source_run_id", "source_map_index", "timestamp"),
        *("partition_key", "extra"),
    ),
    "slot_pool": {**_named("slots", "description", "include_deferred", "team_name"), "pool": member("name")},
    "rendered_task_instance_fields": {
        **_OF_AN_INSTANCE,
        "map_index": member("map_index"),
        "rendered_fields": member("rendered_fields"),
    },
}

KEYS: Mapping[str, tuple[str, ...]] = {
    "dag_run": ("dag_id", "run_id"),  # its number is not said
    "task_instance": ("dag_id", "task_id", "run_id", "map_index"),  # each try has another id
    "slot_pool": ("pool",),  # its number is not said
}
"""What tells rows apart where the database's own key does not serve; unique there, too."""

UNSAID_TABLES: Mapping[str, str] = {
    "dag_run_note": "a note is said with its run, whose number in the database is not",
    "task_instance_history": "one call for each instance, by a path that is mostly longer than MWAA's 64 characters",
    "task_reschedule": "there is no route",
    "dagrun_asset_event": "said of an event only, long after whose time a run may still be added",
    "trigger": "said only with the instance that waits for it",
    "xcom": "a value is said only one by one, by a path that is mostly longer than MWAA's 64 characters",
}

_NOT = "no route says it"
UNSAID_COLUMNS: Mapping[str, str] = {
    **{
        f"dag_run.{name}": _NOT
        for name in (
            *("id", "created_at", "updated_at", "clear_number", "creating_job_id", "scheduled_by_job_id"),
            *("backfill_id", "log_template_id", "context_carrier", "span_status"),
        )
    },
    "dag_run.created_dag_version_id": "the versions said are those of the run's instances",
    "dag_run.partition_date": "said since 3.3",
    **{
        f"task_instance.{name}": _NOT
        for name in (
            *("last_heartbeat_at", "updated_at", "external_executor_id", "trigger_timeout", "next_method"),
            *("retry_delay_override", "retry_reason", "context_carrier", "span_status"),
        )
    },
    "task_instance.queued_by_job_id": "the job said under that name is the trigger's",
    "task_instance.custom_operator_name": "said since 3.2",
    "task_instance_note.created_at": _NOT,
    "task_instance_note.updated_at": _NOT,
    "log.owner_display_name": _NOT,
    **{
        f"dag.{name}": _NOT
        for name in (
            *("timetable_type", "partition_mapper_info", "asset_expression", "deadline", "exceeds_max_non_backfill"),
            *("fail_fast", "next_dagrun_partition_key", "next_dagrun_partition_date"),
        )
    },
    "slot_pool.id": _NOT,
}

DIFFERS: Mapping[str, str] = {
    "task_instance.custom_operator_name": "the operator's name where there is none",
    "task_instance.task_display_name": "the task's id where there is none",
    "task_instance.rendered_map_index": "the map index, of a mapped instance without one",
    "dag.dag_display_name": "the DAG's id where there is none",
    "dag.owners": "blanks around the commas are not kept",
    "dag.timetable_summary": 'NULL where it is the text "None"',
    "asset.extra": "masked where a name looks like a secret's",
    "asset_event.extra": "masked where a name looks like a secret's",
}
"""Where what is said is not always what the database holds."""

LEFT_OUT: Mapping[str, str] = {
    "task_instance_note": "notes without text; an instance's note goes to its next try, the row with the old id stays;"
    " a note that is changed later comes when its instance is written again",
    "rendered_task_instance_fields": "rows without fields, which look like none",
    "log": "rows of DAGs that were deleted (3.0 says them), and rows without a time",
    "job": "of 3.0: jobs that do not run",
    "import_error": "errors of files whose DAGs are known from another bundle only",
}
"""Rows that are not said. (What the role may not see is not said either: it has to see every DAG.)"""

SINCE = {"rendered_task_instance_fields": "3.3.0"}
"""Tables that older versions say nothing of, although their answers have the member."""


def is_said(table: str, version: str) -> bool:
    """Whether a version's REST API gives rows of a declared table."""
    there = table in SAID and declared.TABLES[table].exists(version)
    return there and within(version, SINCE.get(table, "3.0.0"), "")


def columns(table: str, version: str) -> tuple[Column, ...]:
    """The declared columns of a table that a version's REST API gives, in declared order."""
    said = SAID[table]
    return tuple(
        column
        for column in declared.TABLES[table].columns_of(version)
        if column.name in said and within(version, said[column.name].since, "")
    )


def key(table: str, version: str) -> tuple[str, ...]:
    """What tells rows of a table apart in what this engine writes."""
    return KEYS.get(table) or declared.TABLES[table].key_of(version)


def unsaid(version: str) -> Iterator[tuple[str, str, str]]:
    """Table, column (empty: all of them) and reason, of what is declared for a version and not given."""
    for table in declared.TABLES.values():
        if not table.exists(version):
            continue
        if not is_said(table.name, version):
            yield table.name, "", UNSAID_TABLES.get(table.name, f"said since {SINCE.get(table.name)}")
            continue
        given = columns(table.name, version)
        for column in table.columns_of(version):
            if column not in given:
                yield table.name, column.name, UNSAID_COLUMNS[f"{table.name}.{column.name}"]

"""Every table and column that is exported, of every Airflow version: what is not here never leaves an environment.

Never here: connections, variables, users, sessions, serialized code, ``executor_config``. Columns of the exported
tables that are left out, and why, are in ``WITHHELD``; ``tests/airflow/test_declared.py`` holds both against the
schemas of all versions. Airflow 2.10.1 and 2.11.0 have the columns of 2.10.3.
"""

from groundcrew_metadata.declaration import As, Column, Kind, Table, Through, by_name

TEXT, INTEGER, DOUBLE, BOOLEAN = Kind.TEXT, Kind.INTEGER, Kind.DOUBLE, Kind.BOOLEAN
TIMESTAMP, JSON, UUID = Kind.TIMESTAMP, Kind.JSON, Kind.UUID

_INSTANCE = ("dag_id", "task_id", "run_id", "map_index")
_BY_INSTANCE = Through("task_instance", tuple((name, name) for name in _INSTANCE))

DAG_RUN = Table(
    "dag_run",
    key=("id",),
    time="updated_at",
    columns=(
        Column("id", INTEGER),
        Column("dag_id", TEXT),
        Column("run_id", TEXT),
        Column("run_type", TEXT),
        Column("state", TEXT),
        Column("external_trigger", BOOLEAN, until="3.0.0"),
        Column("triggered_by", TEXT, since="3.0.0"),
        Column("triggering_user_name", TEXT, since="3.1.0"),
        Column("execution_date", TIMESTAMP, until="3.0.0"),
        Column("logical_date", TIMESTAMP, since="3.0.0"),
        Column("run_after", TIMESTAMP, since="3.0.0"),
        Column("data_interval_start", TIMESTAMP),
        Column("data_interval_end", TIMESTAMP),
        Column("created_at", TIMESTAMP, since="3.2.0"),
        Column("queued_at", TIMESTAMP),
        Column("start_date", TIMESTAMP),
        Column("end_date", TIMESTAMP),
        Column("last_scheduling_decision", TIMESTAMP),
        Column("updated_at", TIMESTAMP),
        Column("clear_number", INTEGER, since="2.8.0"),
        Column("creating_job_id", INTEGER),
        Column("scheduled_by_job_id", INTEGER, since="3.0.0"),
        Column("backfill_id", INTEGER, since="3.0.0"),
        Column("dag_hash", TEXT, until="3.0.0"),
        Column("bundle_version", TEXT, since="3.0.0"),
        Column("created_dag_version_id", UUID, since="3.0.0"),
        Column("log_template_id", INTEGER),
        Column("partition_key", TEXT, since="3.2.0"),
        Column("partition_date", TIMESTAMP, since="3.2.0"),
        Column("context_carrier", JSON, since="3.0.0"),
        Column("span_status", TEXT, since="3.0.0"),
        Column("conf", JSON, held=As.PICKLE),
    ),
)

DAG_RUN_NOTE = Table(
    "dag_run_note",
    key=("dag_run_id",),
    time="updated_at",
    columns=(
        Column("dag_run_id", INTEGER),
        Column("content", TEXT),
        Column("created_at", TIMESTAMP),
        Column("updated_at", TIMESTAMP),
    ),
)

TASK_INSTANCE = Table(
    "task_instance",
    key=_INSTANCE,
    key_of_3=("id",),
    time="updated_at",
    columns=(
        Column("id", UUID, since="3.0.0"),
        Column("dag_id", TEXT),
        Column("task_id", TEXT),
        Column("run_id", TEXT),
        Column("map_index", INTEGER),
        Column("try_number", INTEGER),
        Column("max_tries", INTEGER),
        Column("state", TEXT),
        Column("operator", TEXT),
        Column("custom_operator_name", TEXT),
        Column("task_display_name", TEXT, since="2.9.0"),
        Column("rendered_map_index", TEXT, since="2.9.0"),
        Column("start_date", TIMESTAMP),
        Column("end_date", TIMESTAMP),
        Column("duration", DOUBLE),
        Column("scheduled_dttm", TIMESTAMP, since="3.0.0"),
        Column("queued_dttm", TIMESTAMP),
        Column("last_heartbeat_at", TIMESTAMP, since="3.0.0"),
        Column("updated_at", TIMESTAMP),
        Column("pool", TEXT),
        Column("pool_slots", INTEGER),
        Column("queue", TEXT),
        Column("priority_weight", INTEGER),
        Column("executor", TEXT, since="2.10.0"),
        Column("external_executor_id", TEXT),
        Column("queued_by_job_id", INTEGER),
        Column("job_id", INTEGER, until="3.0.0"),
        Column("hostname", TEXT),
        Column("unixname", TEXT),
        Column("pid", INTEGER),
        Column("trigger_id", INTEGER),
        Column("trigger_timeout", TIMESTAMP, held=As.LOCAL),
        Column("next_method", TEXT),
        Column("retry_delay_override", DOUBLE, since="3.3.0"),
        Column("retry_reason", TEXT, since="3.3.0"),
        Column("dag_version_id", UUID, since="3.0.0"),
        Column("context_carrier", JSON, since="3.0.0"),
        Column("span_status", TEXT, since="3.0.0"),
    ),
)

TASK_INSTANCE_HISTORY = Table(
    "task_instance_history",
    key=("id",),
    key_of_3=("task_instance_id",),
    # A try is put away with the `updated_at` that the instance had until then, which may be of long ago; the
    # instance itself is written in the same moment (airflow/models/taskinstancehistory.py).
    time="updated_at",
    through=_BY_INSTANCE,
    since="2.10.0",
    columns=(
        Column("id", INTEGER, until="3.0.0"),
        Column("task_instance_id", UUID, since="3.0.0"),
        Column("dag_id", TEXT),
        Column("task_id", TEXT),
        Column("run_id", TEXT),
        Column("map_index", INTEGER),
        Column("try_number", INTEGER),
        Column("max_tries", INTEGER),
        Column("state", TEXT),
        Column("operator", TEXT),
        Column("custom_operator_name", TEXT),
        Column("task_display_name", TEXT),
        Column("rendered_map_index", TEXT),
        Column("start_date", TIMESTAMP),
        Column("end_date", TIMESTAMP),
        Column("duration", DOUBLE),
        Column("scheduled_dttm", TIMESTAMP, since="3.0.0"),
        Column("queued_dttm", TIMESTAMP),
        Column("updated_at", TIMESTAMP),
        Column("pool", TEXT),
        Column("pool_slots", INTEGER),
        Column("queue", TEXT),
        Column("priority_weight", INTEGER),
        Column("executor", TEXT),
        Column("external_executor_id", TEXT),
        Column("queued_by_job_id", INTEGER),
        Column("job_id", INTEGER, until="3.0.0"),
        Column("hostname", TEXT),
        Column("unixname", TEXT),
        Column("pid", INTEGER),
        Column("trigger_id", INTEGER),
        Column("trigger_timeout", TIMESTAMP, held=As.LOCAL),
        Column("next_method", TEXT),
        Column("retry_delay_override", DOUBLE, since="3.3.0"),
        Column("retry_reason", TEXT, since="3.3.0"),
        Column("dag_version_id", UUID, since="3.0.0"),
        Column("context_carrier", JSON, since="3.0.0"),
        Column("span_status", TEXT, since="3.0.0"),
    ),
)

TASK_INSTANCE_NOTE = Table(
    "task_instance_note",
    key=_INSTANCE,
    key_of_3=("ti_id",),
    time="updated_at",
    columns=(
        Column("ti_id", UUID, since="3.0.0"),
        Column("dag_id", TEXT, until="3.0.0"),
        Column("task_id", TEXT, until="3.0.0"),
        Column("run_id", TEXT, until="3.0.0"),
        Column("map_index", INTEGER, until="3.0.0"),
        Column("content", TEXT),
        Column("created_at", TIMESTAMP),
        Column("updated_at", TIMESTAMP),
    ),
)

TASK_RESCHEDULE = Table(
    "task_reschedule",
    key=("id",),
    time="end_date",  # written when the poke has ended
    columns=(
        Column("id", INTEGER),
        Column("ti_id", UUID, since="3.0.0"),
        Column("dag_id", TEXT, until="3.0.0"),
        Column("task_id", TEXT, until="3.0.0"),
        Column("run_id", TEXT, until="3.0.0"),
        Column("map_index", INTEGER, until="3.0.0"),
        Column("try_number", INTEGER, until="3.0.0"),
        Column("start_date", TIMESTAMP),
        Column("end_date", TIMESTAMP),
        Column("duration", INTEGER),
        Column("reschedule_date", TIMESTAMP),
    ),
)

TASK_FAIL = Table(
    "task_fail",
    key=("id",),
    time="end_date",  # written when the task has ended
    until="3.0.0",
    columns=(
        Column("id", INTEGER),
        Column("dag_id", TEXT),
        Column("task_id", TEXT),
        Column("run_id", TEXT),
        Column("map_index", INTEGER),
        Column("start_date", TIMESTAMP),
        Column("end_date", TIMESTAMP),
        Column("duration", INTEGER),
    ),
)

SLA_MISS = Table(
    "sla_miss",
    key=("dag_id", "task_id", "execution_date"),
    until="3.0.0",
    columns=(
        Column("dag_id", TEXT),
        Column("task_id", TEXT),
        Column("execution_date", TIMESTAMP),
        Column("email_sent", BOOLEAN),
        Column("notification_sent", BOOLEAN),
        Column("timestamp", TIMESTAMP),
        Column("description", TEXT),
    ),
)

LOG = Table(
    "log",
    key=("id",),
    time="dttm",
    columns=(
        Column("id", INTEGER),
        Column("dttm", TIMESTAMP),
        Column("dag_id", TEXT),
        Column("task_id", TEXT),
        Column("run_id", TEXT, since="2.9.0"),
        Column("map_index", INTEGER),
        Column("try_number", INTEGER, since="2.10.0"),
        Column("event", TEXT),
        Column("execution_date", TIMESTAMP, until="3.0.0"),
        Column("logical_date", TIMESTAMP, since="3.0.0"),
        Column("owner", TEXT),
        Column("owner_display_name", TEXT, since="2.8.0"),
        Column("extra", TEXT),
    ),
)

JOB = Table(
    "job",
    key=("id",),
    time="latest_heartbeat",
    columns=(
        Column("id", INTEGER),
        Column("dag_id", TEXT),
        Column("state", TEXT),
        Column("job_type", TEXT),
        Column("start_date", TIMESTAMP),
        Column("end_date", TIMESTAMP),
        Column("latest_heartbeat", TIMESTAMP),
        Column("executor_class", TEXT),
        Column("hostname", TEXT),
        Column("unixname", TEXT),
    ),
)

IMPORT_ERROR = Table(
    "import_error",
    key=("id",),
    columns=(
        Column("id", INTEGER),
        Column("timestamp", TIMESTAMP),
        Column("filename", TEXT),
        Column("stacktrace", TEXT),
        Column("processor_subdir", TEXT, since="2.8.0", until="3.0.0"),
        Column("bundle_name", TEXT, since="3.0.0"),
    ),
)

DAG = Table(
    "dag",
    key=("dag_id",),
    columns=(
        Column("dag_id", TEXT),
        Column("dag_display_name", TEXT, since="2.9.0"),
        Column("description", TEXT),
        Column("owners", TEXT),
        Column("is_paused", BOOLEAN),
        Column("is_active", BOOLEAN, until="3.0.0"),
        Column("is_stale", BOOLEAN, since="3.0.0"),
        Column("is_subdag", BOOLEAN, until="3.0.0"),
        Column("root_dag_id", TEXT, until="3.0.0"),
        Column("fileloc", TEXT),
        Column("relative_fileloc", TEXT, since="3.0.0"),
        Column("processor_subdir", TEXT, until="3.0.0"),
        Column("bundle_name", TEXT, since="3.0.0"),
        Column("bundle_version", TEXT, since="3.0.0"),
        Column("has_import_errors", BOOLEAN),
        Column("last_parsed_time", TIMESTAMP),
        Column("last_parse_duration", DOUBLE, since="3.1.0"),
        Column("last_expired", TIMESTAMP),
        Column("default_view", TEXT, until="3.0.0"),
        Column("schedule_interval", TEXT, until="3.0.0"),
        Column("timetable_summary", TEXT, since="3.0.0"),
        Column("timetable_description", TEXT),
        Column("timetable_type", TEXT, since="3.2.0"),
        Column("timetable_partitioned", BOOLEAN, since="3.2.0"),
        Column("timetable_periodic", BOOLEAN, since="3.3.0"),
        Column("partition_mapper_info", JSON, since="3.3.0"),
        Column("dataset_expression", JSON, since="2.9.0", until="3.0.0"),
        Column("asset_expression", JSON, since="3.0.0"),
        Column("deadline", JSON, since="3.1.0"),
        Column("allowed_run_types", JSON, since="3.2.0"),
        Column("max_active_tasks", INTEGER),
        Column("max_active_runs", INTEGER),
        Column("max_consecutive_failed_dag_runs", INTEGER, since="2.9.0"),
        Column("has_task_concurrency_limits", BOOLEAN),
        Column("exceeds_max_non_backfill", BOOLEAN, since="3.2.0"),
        Column("fail_fast", BOOLEAN, since="3.2.0"),
        Column("next_dagrun", TIMESTAMP),
        Column("next_dagrun_data_interval_start", TIMESTAMP),
        Column("next_dagrun_data_interval_end", TIMESTAMP),
        Column("next_dagrun_create_after", TIMESTAMP),
        Column("next_dagrun_partition_key", TEXT, since="3.2.0"),
        Column("next_dagrun_partition_date", TIMESTAMP, since="3.2.0"),
    ),
)

DAG_TAG = Table("dag_tag", key=("dag_id", "name"), columns=(Column("dag_id", TEXT), Column("name", TEXT)))

DATASET = Table(
    "dataset",
    key=("id",),
    until="3.0.0",
    columns=(
        Column("id", INTEGER),
        Column("uri", TEXT),
        Column("extra", JSON),
        Column("created_at", TIMESTAMP),
        Column("updated_at", TIMESTAMP),
        Column("is_orphaned", BOOLEAN),
    ),
)

DATASET_EVENT = Table(
    "dataset_event",
    key=("id",),
    time="timestamp",
    until="3.0.0",
    columns=(
        Column("id", INTEGER),
        Column("dataset_id", INTEGER),
        Column("source_dag_id", TEXT),
        Column("source_task_id", TEXT),
        Column("source_run_id", TEXT),
        Column("source_map_index", INTEGER),
        Column("timestamp", TIMESTAMP),
        Column("extra", JSON),
    ),
)

DAGRUN_DATASET_EVENT = Table(
    "dagrun_dataset_event",
    key=("dag_run_id", "event_id"),
    time="updated_at",
    through=Through("dag_run", (("dag_run_id", "id"),)),
    until="3.0.0",
    columns=(Column("dag_run_id", INTEGER), Column("event_id", INTEGER)),
)

ASSET = Table(
    "asset",
    key=("id",),
    since="3.0.0",
    columns=(
        Column("id", INTEGER),
        Column("name", TEXT),
        Column("uri", TEXT),
        Column("group", TEXT),
        Column("extra", JSON),
        Column("created_at", TIMESTAMP),
        Column("updated_at", TIMESTAMP),
    ),
)

ASSET_EVENT = Table(
    "asset_event",
    key=("id",),
    time="timestamp",
    since="3.0.0",
    columns=(
        Column("id", INTEGER),
        Column("asset_id", INTEGER),
        Column("source_dag_id", TEXT),
        Column("source_task_id", TEXT),
        Column("source_run_id", TEXT),
        Column("source_map_index", INTEGER),
        Column("timestamp", TIMESTAMP),
        Column("partition_key", TEXT, since="3.2.0"),
        Column("extra", JSON),
    ),
)

DAGRUN_ASSET_EVENT = Table(
    "dagrun_asset_event",
    key=("dag_run_id", "event_id"),
    time="updated_at",
    through=Through("dag_run", (("dag_run_id", "id"),)),
    since="3.0.0",
    columns=(Column("dag_run_id", INTEGER), Column("event_id", INTEGER)),
)

TRIGGER = Table(
    "trigger",
    key=("id",),
    columns=(
        Column("id", INTEGER),
        Column("classpath", TEXT),
        Column("created_date", TIMESTAMP),
        Column("triggerer_id", INTEGER),
        Column("queue", TEXT, since="3.2.0"),
        Column("team_name", TEXT, since="3.3.0"),
    ),
)

SLOT_POOL = Table(
    "slot_pool",
    key=("id",),
    columns=(
        Column("id", INTEGER),
        Column("pool", TEXT),
        Column("slots", INTEGER),
        Column("description", TEXT),
        Column("include_deferred", BOOLEAN),
        Column("team_name", TEXT, since="3.2.0"),
    ),
)

RENDERED_TASK_INSTANCE_FIELDS = Table(
    "rendered_task_instance_fields",
    key=_INSTANCE,
    time="updated_at",  # they are written while the instance runs, so before it is written again
    through=_BY_INSTANCE,
    opt_in=True,
    columns=(
        Column("dag_id", TEXT),
        Column("task_id", TEXT),
        Column("run_id", TEXT),
        Column("map_index", INTEGER),
        Column("rendered_fields", JSON),
    ),
)

XCOM = Table(
    "xcom",
    key=("dag_run_id", "task_id", "map_index", "key"),
    time="timestamp",
    opt_in=True,
    columns=(
        Column("dag_run_id", INTEGER),
        Column("dag_id", TEXT),
        Column("task_id", TEXT),
        Column("run_id", TEXT),
        Column("map_index", INTEGER),
        Column("key", TEXT),
        Column("timestamp", TIMESTAMP),
        Column("dag_result", BOOLEAN, since="3.3.0"),
        Column("value", JSON, held=As.ENCODED),
    ),
)

TABLES = by_name(
    (
        DAG_RUN,
        DAG_RUN_NOTE,
        TASK_INSTANCE,
        TASK_INSTANCE_HISTORY,
        TASK_INSTANCE_NOTE,
        TASK_RESCHEDULE,
        TASK_FAIL,
        SLA_MISS,
        LOG,
        JOB,
        IMPORT_ERROR,
        DAG,
        DAG_TAG,
        DATASET,
        DATASET_EVENT,
        DAGRUN_DATASET_EVENT,
        ASSET,
        ASSET_EVENT,
        DAGRUN_ASSET_EVENT,
        TRIGGER,
        SLOT_POOL,
        RENDERED_TASK_INSTANCE_FIELDS,
        XCOM,
    )
)

WITHHELD = {
    "dag_run_note.user_id": "who wrote it is a matter of users",
    "task_instance_note.user_id": "who wrote it is a matter of users",
    "task_instance.executor_config": "pickled objects of the DAGs' code",
    "task_instance_history.executor_config": "pickled objects of the DAGs' code",
    "task_instance.next_kwargs": "what a trigger gave to a deferred task, for that task alone",
    "task_instance_history.next_kwargs": "what a trigger gave to a deferred task, for that task alone",
    "trigger.kwargs": "encrypted since 2.9, because it may hold secrets",
    "dag.scheduler_lock": "Airflow 1",
    "dag.pickle_id": "serialized code",
    "dag.last_pickled": "serialized code",
    "rendered_task_instance_fields.k8s_pod_yaml": "holds a pod's environment variables",
}

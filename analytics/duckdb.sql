-- Written by analytics/generate.py.

--   .read analytics/duckdb.sql

--   from current_dag_run('s3://groundcrew-exports-111111111111-us-east-1');

create or replace macro current_dag_run(exports) as table
select "id", "dag_id", "run_id", "run_type", "state", "external_trigger", "triggered_by", "triggering_user_name", "execution_date", "logical_date", "run_after", "data_interval_start", "data_interval_end", "created_at", "queued_at", "start_date", "end_date", "last_scheduling_decision", "updated_at", "clear_number", "creating_job_id", "scheduled_by_job_id", "backfill_id", "dag_hash", "bundle_version", "created_dag_version_id", "log_template_id", "partition_key", "partition_date", "context_carrier", "span_status", "conf", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "dag_id", "run_id" order by exported_at desc, export_id desc) as newest
  from (select null::integer as "id", null::varchar as "dag_id", null::varchar as "run_id", null::varchar as "run_type", null::varchar as "state", null::boolean as "external_trigger", null::varchar as "triggered_by", null::varchar as "triggering_user_name", null::timestamptz as "execution_date", null::timestamptz as "logical_date", null::timestamptz as "run_after", null::timestamptz as "data_interval_start", null::timestamptz as "data_interval_end", null::timestamptz as "created_at", null::timestamptz as "queued_at", null::timestamptz as "start_date", null::timestamptz as "end_date", null::timestamptz as "last_scheduling_decision", null::timestamptz as "updated_at", null::integer as "clear_number", null::integer as "creating_job_id", null::integer as "scheduled_by_job_id", null::integer as "backfill_id", null::varchar as "dag_hash", null::varchar as "bundle_version", null::varchar as "created_dag_version_id", null::integer as "log_template_id", null::varchar as "partition_key", null::timestamptz as "partition_date", null::varchar as "context_carrier", null::varchar as "span_status", null::varchar as "conf", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/dag_run/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'dag_run') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_dag_run_note(exports) as table
select "dag_run_id", "content", "created_at", "updated_at", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "dag_run_id" order by exported_at desc, export_id desc) as newest
  from (select null::integer as "dag_run_id", null::varchar as "content", null::timestamptz as "created_at", null::timestamptz as "updated_at", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/dag_run_note/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'dag_run_note') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_task_instance(exports) as table
select "id", "dag_id", "task_id", "run_id", "map_index", "try_number", "max_tries", "state", "operator", "custom_operator_name", "task_display_name", "rendered_map_index", "start_date", "end_date", "duration", "scheduled_dttm", "queued_dttm", "last_heartbeat_at", "updated_at", "pool", "pool_slots", "queue", "priority_weight", "executor", "external_executor_id", "queued_by_job_id", "job_id", "hostname", "unixname", "pid", "trigger_id", "trigger_timeout", "next_method", "retry_delay_override", "retry_reason", "dag_version_id", "context_carrier", "span_status", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "dag_id", "task_id", "run_id", "map_index" order by exported_at desc, export_id desc) as newest, max(case when "map_index" >= 0 then exported_at end) over (partition by account, region, environment, "dag_id", "task_id", "run_id") as expanded_at
  from (select null::varchar as "id", null::varchar as "dag_id", null::varchar as "task_id", null::varchar as "run_id", null::integer as "map_index", null::integer as "try_number", null::integer as "max_tries", null::varchar as "state", null::varchar as "operator", null::varchar as "custom_operator_name", null::varchar as "task_display_name", null::varchar as "rendered_map_index", null::timestamptz as "start_date", null::timestamptz as "end_date", null::double as "duration", null::timestamptz as "scheduled_dttm", null::timestamptz as "queued_dttm", null::timestamptz as "last_heartbeat_at", null::timestamptz as "updated_at", null::varchar as "pool", null::integer as "pool_slots", null::varchar as "queue", null::integer as "priority_weight", null::varchar as "executor", null::varchar as "external_executor_id", null::integer as "queued_by_job_id", null::integer as "job_id", null::varchar as "hostname", null::varchar as "unixname", null::integer as "pid", null::integer as "trigger_id", null::timestamptz as "trigger_timeout", null::varchar as "next_method", null::double as "retry_delay_override", null::varchar as "retry_reason", null::varchar as "dag_version_id", null::varchar as "context_carrier", null::varchar as "span_status", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/task_instance/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'task_instance') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1 and ("map_index" >= 0 or expanded_at is null or exported_at > expanded_at);

create or replace macro current_task_instance_history(exports) as table
select "id", "task_instance_id", "dag_id", "task_id", "run_id", "map_index", "try_number", "max_tries", "state", "operator", "custom_operator_name", "task_display_name", "rendered_map_index", "start_date", "end_date", "duration", "scheduled_dttm", "queued_dttm", "updated_at", "pool", "pool_slots", "queue", "priority_weight", "executor", "external_executor_id", "queued_by_job_id", "job_id", "hostname", "unixname", "pid", "trigger_id", "trigger_timeout", "next_method", "retry_delay_override", "retry_reason", "dag_version_id", "context_carrier", "span_status", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "id", "task_instance_id" order by exported_at desc, export_id desc) as newest
  from (select null::integer as "id", null::varchar as "task_instance_id", null::varchar as "dag_id", null::varchar as "task_id", null::varchar as "run_id", null::integer as "map_index", null::integer as "try_number", null::integer as "max_tries", null::varchar as "state", null::varchar as "operator", null::varchar as "custom_operator_name", null::varchar as "task_display_name", null::varchar as "rendered_map_index", null::timestamptz as "start_date", null::timestamptz as "end_date", null::double as "duration", null::timestamptz as "scheduled_dttm", null::timestamptz as "queued_dttm", null::timestamptz as "updated_at", null::varchar as "pool", null::integer as "pool_slots", null::varchar as "queue", null::integer as "priority_weight", null::varchar as "executor", null::varchar as "external_executor_id", null::integer as "queued_by_job_id", null::integer as "job_id", null::varchar as "hostname", null::varchar as "unixname", null::integer as "pid", null::integer as "trigger_id", null::timestamptz as "trigger_timeout", null::varchar as "next_method", null::double as "retry_delay_override", null::varchar as "retry_reason", null::varchar as "dag_version_id", null::varchar as "context_carrier", null::varchar as "span_status", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/task_instance_history/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'task_instance_history') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_task_instance_note(exports) as table
select "ti_id", "dag_id", "task_id", "run_id", "map_index", "content", "created_at", "updated_at", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "dag_id", "task_id", "run_id", "map_index", "ti_id" order by exported_at desc, export_id desc) as newest
  from (select null::varchar as "ti_id", null::varchar as "dag_id", null::varchar as "task_id", null::varchar as "run_id", null::integer as "map_index", null::varchar as "content", null::timestamptz as "created_at", null::timestamptz as "updated_at", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/task_instance_note/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'task_instance_note') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_task_reschedule(exports) as table
select "id", "ti_id", "dag_id", "task_id", "run_id", "map_index", "try_number", "start_date", "end_date", "duration", "reschedule_date", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "id" order by exported_at desc, export_id desc) as newest
  from (select null::integer as "id", null::varchar as "ti_id", null::varchar as "dag_id", null::varchar as "task_id", null::varchar as "run_id", null::integer as "map_index", null::integer as "try_number", null::timestamptz as "start_date", null::timestamptz as "end_date", null::integer as "duration", null::timestamptz as "reschedule_date", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/task_reschedule/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'task_reschedule') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_task_fail(exports) as table
select "id", "dag_id", "task_id", "run_id", "map_index", "start_date", "end_date", "duration", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "id" order by exported_at desc, export_id desc) as newest
  from (select null::integer as "id", null::varchar as "dag_id", null::varchar as "task_id", null::varchar as "run_id", null::integer as "map_index", null::timestamptz as "start_date", null::timestamptz as "end_date", null::integer as "duration", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/task_fail/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'task_fail') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_sla_miss(exports) as table
select "dag_id", "task_id", "execution_date", "email_sent", "notification_sent", "timestamp", "description", account, region, environment, export_id, exported_at
from (select null::varchar as "dag_id", null::varchar as "task_id", null::timestamptz as "execution_date", null::boolean as "email_sent", null::boolean as "notification_sent", null::timestamptz as "timestamp", null::varchar as "description", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/sla_miss/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
  select account, region, environment, export_id from (select account, region, environment, export_id, row_number() over (partition by account, region, environment order by moment desc, export_id desc) as newest from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'sla_miss') and (made_at = last_made_at or made_at is null)
  )) where newest = 1
) using (account, region, environment, export_id);

create or replace macro current_log(exports) as table
select "id", "dttm", "dag_id", "task_id", "run_id", "map_index", "try_number", "event", "execution_date", "logical_date", "owner", "owner_display_name", "extra", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "id" order by exported_at desc, export_id desc) as newest
  from (select null::integer as "id", null::timestamptz as "dttm", null::varchar as "dag_id", null::varchar as "task_id", null::varchar as "run_id", null::integer as "map_index", null::integer as "try_number", null::varchar as "event", null::timestamptz as "execution_date", null::timestamptz as "logical_date", null::varchar as "owner", null::varchar as "owner_display_name", null::varchar as "extra", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/log/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'log') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_job(exports) as table
select "id", "dag_id", "state", "job_type", "start_date", "end_date", "latest_heartbeat", "executor_class", "hostname", "unixname", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "id" order by exported_at desc, export_id desc) as newest
  from (select null::integer as "id", null::varchar as "dag_id", null::varchar as "state", null::varchar as "job_type", null::timestamptz as "start_date", null::timestamptz as "end_date", null::timestamptz as "latest_heartbeat", null::varchar as "executor_class", null::varchar as "hostname", null::varchar as "unixname", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/job/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'job') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_import_error(exports) as table
select "id", "timestamp", "filename", "stacktrace", "processor_subdir", "bundle_name", account, region, environment, export_id, exported_at
from (select null::integer as "id", null::timestamptz as "timestamp", null::varchar as "filename", null::varchar as "stacktrace", null::varchar as "processor_subdir", null::varchar as "bundle_name", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/import_error/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
  select account, region, environment, export_id from (select account, region, environment, export_id, row_number() over (partition by account, region, environment order by moment desc, export_id desc) as newest from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'import_error') and (made_at = last_made_at or made_at is null)
  )) where newest = 1
) using (account, region, environment, export_id);

create or replace macro current_dag(exports) as table
select "dag_id", "dag_display_name", "description", "owners", "is_paused", "is_active", "is_stale", "is_subdag", "root_dag_id", "fileloc", "relative_fileloc", "processor_subdir", "bundle_name", "bundle_version", "has_import_errors", "last_parsed_time", "last_parse_duration", "last_expired", "default_view", "schedule_interval", "timetable_summary", "timetable_description", "timetable_type", "timetable_partitioned", "timetable_periodic", "partition_mapper_info", "dataset_expression", "asset_expression", "deadline", "allowed_run_types", "max_active_tasks", "max_active_runs", "max_consecutive_failed_dag_runs", "has_task_concurrency_limits", "exceeds_max_non_backfill", "fail_fast", "next_dagrun", "next_dagrun_data_interval_start", "next_dagrun_data_interval_end", "next_dagrun_create_after", "next_dagrun_partition_key", "next_dagrun_partition_date", account, region, environment, export_id, exported_at
from (select null::varchar as "dag_id", null::varchar as "dag_display_name", null::varchar as "description", null::varchar as "owners", null::boolean as "is_paused", null::boolean as "is_active", null::boolean as "is_stale", null::boolean as "is_subdag", null::varchar as "root_dag_id", null::varchar as "fileloc", null::varchar as "relative_fileloc", null::varchar as "processor_subdir", null::varchar as "bundle_name", null::varchar as "bundle_version", null::boolean as "has_import_errors", null::timestamptz as "last_parsed_time", null::double as "last_parse_duration", null::timestamptz as "last_expired", null::varchar as "default_view", null::varchar as "schedule_interval", null::varchar as "timetable_summary", null::varchar as "timetable_description", null::varchar as "timetable_type", null::boolean as "timetable_partitioned", null::boolean as "timetable_periodic", null::varchar as "partition_mapper_info", null::varchar as "dataset_expression", null::varchar as "asset_expression", null::varchar as "deadline", null::varchar as "allowed_run_types", null::integer as "max_active_tasks", null::integer as "max_active_runs", null::integer as "max_consecutive_failed_dag_runs", null::boolean as "has_task_concurrency_limits", null::boolean as "exceeds_max_non_backfill", null::boolean as "fail_fast", null::timestamptz as "next_dagrun", null::timestamptz as "next_dagrun_data_interval_start", null::timestamptz as "next_dagrun_data_interval_end", null::timestamptz as "next_dagrun_create_after", null::varchar as "next_dagrun_partition_key", null::timestamptz as "next_dagrun_partition_date", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/dag/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
  select account, region, environment, export_id from (select account, region, environment, export_id, row_number() over (partition by account, region, environment order by moment desc, export_id desc) as newest from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'dag') and (made_at = last_made_at or made_at is null)
  )) where newest = 1
) using (account, region, environment, export_id);

create or replace macro current_dag_tag(exports) as table
select "dag_id", "name", account, region, environment, export_id, exported_at
from (select null::varchar as "dag_id", null::varchar as "name", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/dag_tag/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
  select account, region, environment, export_id from (select account, region, environment, export_id, row_number() over (partition by account, region, environment order by moment desc, export_id desc) as newest from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'dag_tag') and (made_at = last_made_at or made_at is null)
  )) where newest = 1
) using (account, region, environment, export_id);

create or replace macro current_dataset(exports) as table
select "id", "uri", "extra", "created_at", "updated_at", "is_orphaned", account, region, environment, export_id, exported_at
from (select null::integer as "id", null::varchar as "uri", null::varchar as "extra", null::timestamptz as "created_at", null::timestamptz as "updated_at", null::boolean as "is_orphaned", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/dataset/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
  select account, region, environment, export_id from (select account, region, environment, export_id, row_number() over (partition by account, region, environment order by moment desc, export_id desc) as newest from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'dataset') and (made_at = last_made_at or made_at is null)
  )) where newest = 1
) using (account, region, environment, export_id);

create or replace macro current_dataset_event(exports) as table
select "id", "dataset_id", "source_dag_id", "source_task_id", "source_run_id", "source_map_index", "timestamp", "extra", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "id" order by exported_at desc, export_id desc) as newest
  from (select null::integer as "id", null::integer as "dataset_id", null::varchar as "source_dag_id", null::varchar as "source_task_id", null::varchar as "source_run_id", null::integer as "source_map_index", null::timestamptz as "timestamp", null::varchar as "extra", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/dataset_event/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'dataset_event') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_dagrun_dataset_event(exports) as table
select "dag_run_id", "event_id", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "dag_run_id", "event_id" order by exported_at desc, export_id desc) as newest
  from (select null::integer as "dag_run_id", null::integer as "event_id", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/dagrun_dataset_event/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'dagrun_dataset_event') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_asset(exports) as table
select "id", "name", "uri", "group", "extra", "created_at", "updated_at", account, region, environment, export_id, exported_at
from (select null::integer as "id", null::varchar as "name", null::varchar as "uri", null::varchar as "group", null::varchar as "extra", null::timestamptz as "created_at", null::timestamptz as "updated_at", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/asset/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
  select account, region, environment, export_id from (select account, region, environment, export_id, row_number() over (partition by account, region, environment order by moment desc, export_id desc) as newest from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'asset') and (made_at = last_made_at or made_at is null)
  )) where newest = 1
) using (account, region, environment, export_id);

create or replace macro current_asset_event(exports) as table
select "id", "asset_id", "source_dag_id", "source_task_id", "source_run_id", "source_map_index", "timestamp", "partition_key", "extra", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "id" order by exported_at desc, export_id desc) as newest
  from (select null::integer as "id", null::integer as "asset_id", null::varchar as "source_dag_id", null::varchar as "source_task_id", null::varchar as "source_run_id", null::integer as "source_map_index", null::timestamptz as "timestamp", null::varchar as "partition_key", null::varchar as "extra", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/asset_event/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'asset_event') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_dagrun_asset_event(exports) as table
select "dag_run_id", "event_id", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "dag_run_id", "event_id" order by exported_at desc, export_id desc) as newest
  from (select null::integer as "dag_run_id", null::integer as "event_id", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/dagrun_asset_event/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'dagrun_asset_event') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_trigger(exports) as table
select "id", "classpath", "created_date", "triggerer_id", "queue", "team_name", account, region, environment, export_id, exported_at
from (select null::integer as "id", null::varchar as "classpath", null::timestamptz as "created_date", null::integer as "triggerer_id", null::varchar as "queue", null::varchar as "team_name", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/trigger/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
  select account, region, environment, export_id from (select account, region, environment, export_id, row_number() over (partition by account, region, environment order by moment desc, export_id desc) as newest from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'trigger') and (made_at = last_made_at or made_at is null)
  )) where newest = 1
) using (account, region, environment, export_id);

create or replace macro current_slot_pool(exports) as table
select "id", "pool", "slots", "description", "include_deferred", "team_name", account, region, environment, export_id, exported_at
from (select null::integer as "id", null::varchar as "pool", null::integer as "slots", null::varchar as "description", null::boolean as "include_deferred", null::varchar as "team_name", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/slot_pool/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
  select account, region, environment, export_id from (select account, region, environment, export_id, row_number() over (partition by account, region, environment order by moment desc, export_id desc) as newest from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'slot_pool') and (made_at = last_made_at or made_at is null)
  )) where newest = 1
) using (account, region, environment, export_id);

create or replace macro current_rendered_task_instance_fields(exports) as table
select "dag_id", "task_id", "run_id", "map_index", "rendered_fields", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "dag_id", "task_id", "run_id", "map_index" order by exported_at desc, export_id desc) as newest
  from (select null::varchar as "dag_id", null::varchar as "task_id", null::varchar as "run_id", null::integer as "map_index", null::varchar as "rendered_fields", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/rendered_task_instance_fields/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'rendered_task_instance_fields') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

create or replace macro current_xcom(exports) as table
select "dag_run_id", "dag_id", "task_id", "run_id", "map_index", "key", "timestamp", "dag_result", "value", account, region, environment, export_id, exported_at
from (
  select *, row_number() over (partition by account, region, environment, "dag_run_id", "task_id", "map_index", "key" order by exported_at desc, export_id desc) as newest
  from (select null::integer as "dag_run_id", null::varchar as "dag_id", null::varchar as "task_id", null::varchar as "run_id", null::integer as "map_index", null::varchar as "key", null::timestamptz as "timestamp", null::boolean as "dag_result", null::varchar as "value", null::varchar as account, null::varchar as region, null::varchar as environment, null::varchar as export_id, null::timestamptz as exported_at where false union all by name select * from read_parquet(exports || '/tables/xcom/*/*.parquet', union_by_name = true, hive_partitioning = false)) join (
    select account, region, environment, export_id from (
    select * from (select *, max(made_at) over (partition by account, region, environment) as last_made_at from (select environment.account as account, environment.region as region, environment.name as environment, export_id, tables, snapshot_at as moment, environment_made_at as made_at from read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {export_id: 'varchar', snapshot_at: 'timestamptz', environment_made_at: 'timestamptz', environment: 'struct(account varchar, region varchar, name varchar)', tables: 'map(varchar, json)'})))
    where contains(map_keys(tables), 'xcom') and (made_at = last_made_at or made_at is null)
    )
  ) using (account, region, environment, export_id)
)
where newest = 1;

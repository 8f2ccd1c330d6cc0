"""Years of history in seconds: rows made by PostgreSQL itself, in the proportions of a busy environment (Airflow 3).

Ten tasks a run, each with an XCom, rendered fields and a line of the log; every fiftieth with a reschedule, every
hundredth with a try before; DAGs take turns over 400 days, so that 30 days are 7.5 % of all.
"""

from datetime import datetime

from tests.support.airflow.cleaning.stage import Database

DAGS, DAYS, TASKS = 200, 400, 10


def fill(database: Database, runs: int, end: datetime) -> int:
    """Instead of all rows that there were; how many there are now."""
    database.sql("truncate dag_bundle, dag, dag_version, dag_run, task_instance, xcom, log, job cascade")
    last = f"timestamptz '{end.isoformat()}'"
    every = f"""(select n, 'dag_' || n % {DAGS} dag_id, 'scheduled__' || n run_id, n + 1 id,
        {last} - interval '{DAYS} days' * ({runs} - n) / {runs} due, md5('v' || n % {DAGS})::uuid version
        from generate_series(0, {runs} - 1) n)"""
    tasks = f"""(select r.*, 'task_' || k task_id, n * {TASKS} + k i, -1 map_index,
        md5('t' || n * {TASKS} + k)::uuid ti, due + k * interval '50 s' begun
        from {every} r, generate_series(0, {TASKS} - 1) k)"""
    dags = f"(select 'dag_' || n dag_id, md5('v' || n)::uuid version from generate_series(0, {DAGS} - 1) n)"
    flags = (
        "is_stale",
        "exceeds_max_non_backfill",
        "has_task_concurrency_limits",
        "timetable_partitioned",
        "fail_fast",
    )
    common = {
        "dag_id": "dag_id", "task_id": "task_id", "run_id": "run_id", "map_index": "map_index", "start_date": "begun",
        "end_date": "begun", "state": "'success'", "try_number": "1", "max_tries": "0", "pool": "'default_pool'",
        "pool_slots": "1", "span_status": "'not_started'", "updated_at": "begun", "dag_version_id": "version",
    }  # fmt: skip
    of_task = {key: common[key] for key in ("dag_id", "task_id", "run_id", "map_index")}
    rows = [
        ("dag_bundle", {"name": "'dags-folder'", "active": "true"}, "(select 1) one"),
        (
            "dag",
            {
                "dag_id": "dag_id", "is_paused": "true", **dict.fromkeys(flags, "false"), "timetable_periodic": "true",
                "bundle_name": "'dags-folder'", "timetable_type": "''", "partition_mapper_info": "'{}'",
                "max_active_tasks": "16", "max_consecutive_failed_dag_runs": "0", "last_parsed_time": last,
            },
            f"{dags} d",
        ),
        (
            "dag_version",
            {
                "id": "version", "version_number": "1", "dag_id": "dag_id", "bundle_name": "'dags-folder'",
                "created_at": last, "last_updated": last,
            },
            f"{dags} d",
        ),
        (
            "dag_run",
            {
                "id": "id", "dag_id": "dag_id", "run_id": "run_id", "run_type": "'scheduled'", "state": "'success'",
                "run_after": "due", "start_date": "due", "queued_at": "due", "updated_at": "due", "clear_number": "0",
                "conf": "'{}'", "span_status": "'not_started'", "created_dag_version_id": "version",
            },
            f"{every} r",
        ),
        ("task_instance", {"id": "ti", **common}, f"{tasks} t"),
        (
            "task_instance_history",
            {"task_instance_id": "md5('h' || i)::uuid", **common},
            f"{tasks} t where i % 100 = 0",
        ),
        (
            "xcom",
            {
                **of_task, "dag_run_id": "id", "key": "'return_value'", "value": "to_jsonb(i)", "timestamp": "begun",
                "dag_result": "false",
            },
            f"{tasks} t",
        ),
        (
            "rendered_task_instance_fields",
            {**of_task, "rendered_fields": "json_build_object('sql', repeat('select a from t ', 20), 'i', i)"},
            f"{tasks} t",
        ),
        (
            "task_reschedule",
            {
                "id": "i + 1", "ti_id": "ti", "start_date": "begun", "end_date": "begun", "duration": "1",
                "reschedule_date": "begun",
            },
            f"{tasks} t where i % 50 = 0",
        ),
        (
            "log",
            {"id": "i + 1", "dttm": "begun", "event": "'success'", "dag_id": "dag_id", "run_id": "run_id"},
            f"{tasks} t",
        ),
        (
            "job",
            {"id": "id", "job_type": "'SchedulerJob'", "state": "'success'", "latest_heartbeat": "due"},
            f"{every} r where n % 10 = 0",
        ),
    ]  # fmt: skip
    for table, values, source in rows:
        have = set(database.sql(f"select attname from pg_attribute where attrelid = '{table}'::regclass").split())
        known = {column: value for column, value in values.items() if column in have}
        database.sql(f"insert into {table} ({', '.join(known)}) select {', '.join(known.values())} from {source}")
    database.sql("analyze")
    return sum(int(database.sql(f"select count(*) from {table}")) for table, _, _ in rows)

"""Runs and task instances of an Airflow that has been used for long, made by the database itself from numbers."""

from localcloud.airflow.postgres import query

TASKS = 10
"""Task instances of a run."""

_TO_FIRST = "select coalesce(max(id), 0) from dag_run"
_HISTORY = """
set session_replication_role = replica; -- references hold, and are not checked one by one
create temporary table made as
select n, format('dag_%s', n % 150) as dag_id, timestamptz '2025-01-01' + n * interval '7 minutes' as at,
       format('scheduled__%s', timestamptz '2025-01-01' + n * interval '7 minutes') as run_id
  from generate_series(:first + 1, :first + :runs) n;
insert into dag_run
       (id, dag_id, run_id, run_type, state, execution_date, queued_at, start_date, end_date, conf, data_interval_start,
        data_interval_end, dag_hash, updated_at, clear_number, external_trigger)
select n, dag_id, run_id, 'scheduled', case n % 30 when 0 then 'failed' else 'success' end, at, at, at + interval '3 s',
       at + interval '8 minutes', '\\x80057d942e', at, at + interval '7 minutes', md5(dag_id),
       at + interval '8 minutes', 0, false
  from made;
insert into task_instance
       (dag_id, task_id, run_id, map_index, start_date, end_date, duration, state, try_number, max_tries, hostname,
        unixname, job_id, pool, pool_slots, queue, priority_weight, operator, queued_dttm, queued_by_job_id, pid,
        executor_config, updated_at, external_executor_id, task_display_name)
select dag_id, format('task_%s', k), run_id, -1, at + k * interval '40 s',
       at + k * interval '40 s' + (n % 97) * interval '0.37 s', (n % 97) * 0.37,
       case when (n + k) % 90 = 0 then 'failed' when (n + k) % 41 = 0 then 'skipped' else 'success' end, 1, 2,
       format('ip-10-0-%s-%s.ec2.internal', n % 4, (n * 7 + k) % 251), 'airflow', n * 10 + k, 'default_pool', 1,
       'default', 10 - k, 'PythonOperator', at + k * interval '39 s', 1, 1000 + (n * 31 + k) % 30000,
       '\\x80057d942e', at + (k + 1) * interval '40 s', md5(format('%s %s', n, k))::uuid::text, format('task_%s', k)
  from made, generate_series(0, :tasks - 1) k;
select setval('dag_run_id_seq', max(id)) from dag_run;
"""
_SECONDARY = """
select string_agg(format('drop index %I;', i.relname), '') || chr(10) || string_agg(pg_get_indexdef(i.oid) || ';', '')
  from pg_index x join pg_class i on i.oid = x.indexrelid
 where x.indrelid = 'task_instance'::regclass and not x.indisunique
"""


def grow(conninfo: str, instances: int) -> None:
    """Until there are as many task instances."""
    there = int(query(conninfo, "select count(*) from task_instance"))
    runs = (instances - there) // TASKS
    drop, create = query(conninfo, _SECONDARY).strip().split("\n")
    numbers = {"first": int(query(conninfo, _TO_FIRST)), "runs": runs, "tasks": TASKS}
    sql = _HISTORY
    for name, number in numbers.items():
        sql = sql.replace(f":{name}", str(number))
    query(conninfo, f"begin; {drop} {sql} {create} commit; analyze dag_run; analyze task_instance;")

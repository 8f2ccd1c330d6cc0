"""Years of an Airflow 2 in seconds, made by the database itself, in the proportions of a busy environment.

Ten tasks a run, each with an XCom, rendered fields, a job and a line of the log; every fiftieth with a reschedule,
every hundredth with a try before and a failure; 200 DAGs take turns over 400 days, so that 30 days are 7.5 % of all.
"""

from datetime import datetime

from localcloud.airflow.postgres import query

_TASKS = "(select r.*, 'task_' || k task_id, n * 10 + k i, due + k * interval '50 s' began from every r, ks)"
_INSTANCE = (
    "dag_id, task_id, run_id, map_index, start_date, end_date, duration, state, try_number, max_tries, hostname,"
    " unixname, job_id, pool, pool_slots, queue, priority_weight, operator, queued_dttm, pid, executor_config,"
    " updated_at, external_executor_id, task_display_name"
)
_VALUES = (
    "dag_id, task_id, run_id, -1, began, began, 50, 'success', 1, 0, 'ip-10-0-1-7.ec2.internal', 'airflow', i + 1,"
    " 'default_pool', 1, 'default', 1, 'PythonOperator', began, 7, '\\x80057d942e', began, md5('e' || i), task_id"
)
_HISTORY = f"""
set session_replication_role = replica; -- references hold, and are not checked one by one
create temporary table every as
select n, 'dag_' || lpad((n % 200)::text, 4, '0') dag_id, 'scheduled__' || due run_id, due
  from (select n, timestamptz :'last' - interval '400 days' * (:runs - n) / :runs due
          from generate_series(0, :runs - 1) n) d;
create temporary table ks as select generate_series(0, 9) k;
create temporary table tasks as select * from {_TASKS} t;
insert into dag_run (id, dag_id, run_id, run_type, state, execution_date, queued_at, start_date, end_date, conf,
                     data_interval_start, data_interval_end, updated_at, clear_number, external_trigger)
select n + 1, dag_id, run_id, 'scheduled', 'success', due, due, due, due + interval '9 minutes', '\\x80057d942e',
       due, due, due + interval '9 minutes', 0, false from every;
insert into task_instance ({_INSTANCE}) select {_VALUES} from tasks;
insert into task_instance_history ({_INSTANCE}) select {_VALUES} from tasks where i % 100 = 0;
insert into rendered_task_instance_fields (dag_id, task_id, run_id, map_index, rendered_fields)
select dag_id, task_id, run_id, -1, json_build_object('sql', repeat('select a, b from t where ds = x; ', 8), 'i', i)
  from tasks;
insert into xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, timestamp)
select n + 1, task_id, -1, 'return_value', dag_id, run_id, convert_to('"s3://lake/' || md5('x' || i) || '"', 'UTF8'),
       began from tasks;
insert into task_reschedule (task_id, dag_id, run_id, map_index, try_number, start_date, end_date, duration,
                             reschedule_date)
select task_id, dag_id, run_id, -1, 1, began, began, 1, began from tasks where i % 50 = 0;
insert into task_fail (task_id, dag_id, run_id, map_index, start_date, end_date, duration)
select task_id, dag_id, run_id, -1, began, began, 1 from tasks where i % 100 = 0;
insert into log (dttm, dag_id, task_id, run_id, map_index, event, execution_date, owner, extra)
select began, dag_id, task_id, run_id, -1, 'success', due, 'airflow', repeat('tasks run ', 15) from tasks;
insert into job (dag_id, state, job_type, start_date, end_date, latest_heartbeat, executor_class, hostname, unixname)
select dag_id, 'success', 'LocalTaskJob', began, began, began, 'CeleryExecutor', 'ip-10-0-1-7.ec2.internal', 'airflow'
  from tasks;
select setval('dag_run_id_seq', :runs);
create role ordinary login;
grant create, usage on schema public to ordinary;
select format('alter table %I owner to ordinary', tablename) from pg_tables where schemaname = 'public' \\gexec
reset session_replication_role;
vacuum (analyze);
"""


def fill(conninfo: str, runs: int, last: datetime) -> None:
    """Into an empty database, whose tables belong to ``ordinary`` then, who may do nothing else."""
    query(conninfo, _HISTORY, {"runs": runs, "last": last.isoformat()})

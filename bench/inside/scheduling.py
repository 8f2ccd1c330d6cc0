"""Runs in Airflow's own environment: what a scheduler and its tasks write for one run after the other, 5 ms between.

``scheduling.py CONNINFO SECONDS``: a transaction makes a run with two tasks, another finishes them with an XCom and a
line of the log each, and the run. Goes on for so long, or until its stdin ends if that is longer, but for 100
transactions at least: a short clean-up may end before the first one. Prints how many milliseconds 99 % of them stay
below.
"""

import select
import sys
import time
from statistics import quantiles

import psycopg2  # type: ignore[import-untyped, unused-ignore]

BEGIN = """
insert into dag_run (dag_id, run_id, run_type, state, execution_date, start_date, clear_number, updated_at)
values ('live', %(run)s, 'scheduled', 'running', clock_timestamp(), now(), 0, now());
insert into task_instance (dag_id, task_id, run_id, map_index, state, pool, pool_slots, updated_at)
select 'live', t, %(run)s, -1, 'running', 'default_pool', 1, now() from unnest(array['a', 'b']) t;
"""
FINISH = """
insert into xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, timestamp)
select r.id, t.task_id, -1, 'return_value', t.dag_id, t.run_id, now()
  from dag_run r join task_instance t using (dag_id, run_id) where r.dag_id = 'live' and r.run_id = %(run)s;
insert into log (dttm, dag_id, task_id, run_id, event)
select now(), 'live', t, %(run)s, 'success' from unnest(array['a', 'b']) t;
update task_instance set state = 'success', updated_at = now() where dag_id = 'live' and run_id = %(run)s;
update dag_run set state = 'success', updated_at = now() where dag_id = 'live' and run_id = %(run)s;
"""

FEWEST = 100

connection = psycopg2.connect(sys.argv[1])
taken: list[float] = []
end = time.monotonic() + float(sys.argv[2])
with connection.cursor() as cursor:
    while len(taken) < FEWEST or time.monotonic() < end or not select.select([sys.stdin], [], [], 0)[0]:
        run = str(time.time())
        for statements in (BEGIN, FINISH):
            began = time.monotonic()
            cursor.execute(statements, {"run": run})
            connection.commit()
            taken.append(1000 * (time.monotonic() - began))
            time.sleep(0.005)
print(quantiles(taken, n=100)[98])

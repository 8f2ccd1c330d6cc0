"""Runs in Airflow's own environment: writes one task instance after the other, as a scheduler does, and times each.

``writer.py CONNINFO SECONDS``: goes on for so long, but for 100 transactions at least. Prints how many milliseconds
99 % of them stay below.
"""

import random
import sys
import time
from statistics import quantiles

import psycopg2  # type: ignore[import-untyped, unused-ignore]

FEWEST = 100

connection = psycopg2.connect(sys.argv[1])
dice = random.Random(1)
taken: list[float] = []
with connection.cursor() as cursor:
    cursor.execute("select dag_id, task_id, run_id, map_index from task_instance order by run_id limit 5000")
    keys = cursor.fetchall()
    connection.commit()
    end = time.monotonic() + float(sys.argv[2])
    while (begin := time.monotonic()) < end or len(taken) < FEWEST:
        cursor.execute(
            "update task_instance set updated_at = now(), state = 'running'"
            " where dag_id = %s and task_id = %s and run_id = %s and map_index = %s",
            dice.choice(keys),
        )
        connection.commit()
        taken.append(1000 * (time.monotonic() - begin))
        time.sleep(0.002)
print(quantiles(taken, n=100)[98])

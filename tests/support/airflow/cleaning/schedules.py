"""DAGs of every type of schedule that Airflow has, a past for each, and what a scheduler may never do to them.

Datasets are called assets in Airflow 3, where not every run has a logical date, but each a time from which it may run.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from localcloud.airflow.postgres import query
from localcloud.airflow.running import RunningAirflow

DAGS = ("by_cron", "by_delta", "by_events", "continuous", "by_dataset", "once", "waits_for_its_last")
_FILE = """
from datetime import datetime, timedelta

from airflow.timetables.events import EventsTimetable
{imports}

start = datetime.fromisoformat("{start}")
made = Dataset("s3://made/here")
seconds = timedelta(seconds=1)
kinds = {{
    "by_cron": dict(schedule="* * * * *", start_date=start - 4 * timedelta(minutes=1), catchup=True),
    "by_delta": dict(schedule=10 * seconds, start_date=start, catchup=True),
    "by_events": dict(
        schedule=EventsTimetable([start + n * 15 * seconds for n in range(40)], restrict_to_events=True),
        start_date=start - timedelta(days=1),
        catchup=True,
    ),
    "continuous": dict(schedule="@continuous", start_date=start, max_active_runs=1),
    "by_dataset": dict(schedule=[made], start_date=start),
    "once": dict(schedule="@once", start_date=start),
    "waits_for_its_last": dict(
        schedule=15 * seconds, start_date=start, catchup=True, default_args={{"depends_on_past": True}}
    ),
}}
for name, schedule in kinds.items():
    with DAG(name, is_paused_upon_creation=False, **schedule) as globals()[name]:
        EmptyOperator(task_id="work", outlets=[made] if name == "by_delta" else [])
"""
_IMPORTS = {
    2: "from airflow import DAG, Dataset\nfrom airflow.operators.empty import EmptyOperator",
    3: "from airflow.providers.standard.operators.empty import EmptyOperator\n"
    "from airflow.sdk import DAG, Asset as Dataset",
}
_PAST = """
insert into dag_run
    (dag_id, run_id, run_type, state, {due}, data_interval_start, data_interval_end, start_date, end_date,
     updated_at, {more})
select dag, 'scheduled__old-' || :'batch' || '-' || n,
       case dag when 'by_dataset' then '{made}_triggered' else 'scheduled' end,
       'success', moment, moment, moment, moment, moment, moment, {values}
from generate_series(1, 200) n
     cross join lateral (select now() - interval '1 hour' * (1000 + n) - interval '1 second' * :'batch'::int moment) a
     cross join unnest(string_to_array(:'dags', ' ')) d (dag);
insert into task_instance
    (task_id, dag_id, run_id, state, start_date, end_date, updated_at, pool, pool_slots{of_tasks})
select 'work', dag_id, run_id, 'success', start_date, end_date, end_date, 'default_pool', 1{their_values}
from dag_run where run_id like 'scheduled\\_\\_old-' || :'batch' || '-%';
"""
_WORDS = {
    2: {
        "due": "execution_date", "made": "dataset", "more": "external_trigger", "values": "false", "of_tasks": "",
        "their_values": "",
    },
    3: {
        "due": "run_after", "made": "asset", "more": "logical_date, clear_number, span_status",
        "values": "moment, 0, 'not_started'", "of_tasks": ", id, map_index, try_number, max_tries, span_status",
        "their_values": ", gen_random_uuid(), -1, 1, 0, 'not_started'",
    },
}  # fmt: skip
_MADE = "run_id not like 'scheduled\\_\\_old-%'"


def put(dags: Path, major: int = 2) -> None:
    """The file with these DAGs, which begin now."""
    start = datetime.now(UTC).replace(microsecond=0)
    (dags / "schedules.py").write_text(_FILE.format(start=start.isoformat(), imports=_IMPORTS[major]))


def age(airflow: RunningAirflow, batch: int) -> None:
    """Two hundred old runs of each DAG."""
    query(airflow.database, _PAST.format(**_words(airflow)), {"batch": str(batch), "dags": " ".join(DAGS)})


def old(airflow: RunningAirflow) -> int:
    """How many of those are left."""
    return int(airflow.sql(f"select count(*) n from dag_run where not ({_MADE})")[0]["n"])


def succeeded(airflow: RunningAirflow) -> dict[str, int]:
    """By DAG, runs that the scheduler has made and ended well."""
    rows = airflow.sql(
        f"select dag_id, count(*) n from dag_run where {_MADE} and state = 'success' and dag_id = any("
        f"string_to_array('{' '.join(DAGS)}', ' ')) group by dag_id"
    )
    return dict.fromkeys(DAGS, 0) | {str(row["dag_id"]): int(row["n"]) for row in rows}


def faults(airflow: RunningAirflow) -> list[str]:
    """Runs that are lost, doubled or out of their turn; failed ones, too."""
    found, made_of = [], _words(airflow)["made"]
    made = {dag: _made(airflow, dag) for dag in DAGS}
    for dag, seconds in (("by_cron", 60), ("by_delta", 10), ("by_events", 15), ("waits_for_its_last", 15)):
        for one, two in zip(made[dag], made[dag][1:], strict=False):
            if two - one != timedelta(seconds=seconds):
                found.append(f"{dag}: {one} is followed by {two}")
    if len(made["once"]) != 1:
        found.append(f"once: {len(made['once'])} runs")
    for dag, runs in made.items():
        if len(set(runs)) != len(runs):
            found.append(f"{dag}: a run is there twice")
    failed = airflow.sql(f"select dag_id, run_id from dag_run where {_MADE} and state = 'failed'")
    overlapping = airflow.sql(
        "select a.run_id from dag_run a join dag_run b on a.dag_id = b.dag_id and a.id < b.id"
        " where a.dag_id = 'continuous' and a.start_date < b.start_date and a.end_date > b.start_date"
    )
    # Each event that was made and is not waiting any more was taken by one run.
    taken = airflow.sql(
        f"select e.id from {made_of}_event e left join dagrun_{made_of}_event t on t.event_id = e.id"
        " group by e.id having count(t.dag_run_id) > 1"
    )
    return found + [f"failed: {row}" for row in failed] + [f"at once: {row}" for row in overlapping + taken]


def _made(airflow: RunningAirflow, dag: str) -> list[datetime]:
    rows = airflow.sql(
        f"select {_words(airflow)['due']}::text at from dag_run where dag_id = :'dag' and {_MADE} order by 1",
        dag=dag,
    )
    return [datetime.fromisoformat(row["at"]) for row in rows]


def _words(airflow: RunningAirflow) -> dict[str, str]:
    return _WORDS[int(airflow.version.partition(".")[0])]

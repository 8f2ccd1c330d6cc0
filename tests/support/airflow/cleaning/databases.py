"""Databases for the inside engine: of real schemas, filled, cleaned by the engine in a process of its own, and read."""

import contextlib
import json
import random
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from localcloud.airflow import installed, schemas
from localcloud.airflow.postgres import query
from localcloud.testing import generator
from localcloud.testing.airflows import LIVE, require
from tests.support.airflow.cleaning.inside_past import CELERY, NOW, Past
from tests.support.airflow.cleaning.inside_past import fill as fill_with
from tests.support.airflow.cleaning.inside_specification import AGE, OF_RUNS, Rows

REAL = "2.10.3"
VERSIONS = (REAL, "2.7.2")
SOURCE = installed.ROOT / "layers/airflow/dags/groundcrew"
TABLES = ("dag_run", "dag", *OF_RUNS, *AGE, "dataset_alias_dataset_event")
ALL = {"export_required": False, "keep_newest": 1, "protected_dags": [], "confirm": 1}
"""A policy's part that lets everything go that is old."""

ORDINARY = """
select 'create role ordinary login' where not exists (select from pg_roles where rolname = 'ordinary') \\gexec
grant create, usage on schema public to ordinary;
select format('alter table %I owner to ordinary', tablename) from pg_tables where schemaname = 'public' \\gexec
"""


@contextlib.contextmanager
def opened() -> Iterator[dict[str, str]]:
    """Of 2.10.3 the database that it has migrated itself; of 2.7.2 its tables and keys, which are less forgiving, or
    the one that it has migrated, where that is one of the versions that are tested.

    Both belong to somebody who may not tell PostgreSQL to look away, as ``postgres`` may.
    """
    require(REAL)
    with contextlib.ExitStack() as last:
        real = last.enter_context(schemas.migrated(REAL)).conninfo
        if "2.7.2" in LIVE:
            old = last.enter_context(schemas.migrated("2.7.2")).conninfo
        else:
            old = real.replace("dbname=airflow", "dbname=old")
            query(real, "create database old")
            schemas.create(old, "2.7.2")
            query(old, "insert into alembic_version values ('405de8318b3a')")
        found = {REAL: real, "2.7.2": old}
        for one in found.values():
            query(one, CELERY)
            query(one, ORDINARY)
        yield found


def fill(conninfo: str, seed: int, version: str = REAL) -> None:
    fill_with(conninfo, schemas.read(version), Past.of(seed))


def fill_hostile(conninfo: str, seed: int, version: str) -> None:
    """One row of each table for each run, with every value that is easily spoilt."""
    dice = random.Random(seed)

    def adjust(table: str, number: int, row: dict[str, str | None]) -> None:
        ended = (NOW - timedelta(days=dice.randrange(1, 200), hours=5)).isoformat()
        if table == "dag_run":
            row |= {
                "dag_id": f"dag{number % 5}",
                "run_id": f"run{number}",
                "end_date": dice.choice((ended, ended, None)),
            }
            row["run_type"] = dice.choice(("manual", "scheduled"))
            row["state"] = dice.choice(("success", "success", "failed", "running"))
            row |= {"start_date": ended, "execution_date": (NOW - timedelta(hours=number)).isoformat()}
        if table == "task_instance":
            row["state"] = dice.choice((*("success",) * 9, "running"))
        if "updated_at" in row:
            row["updated_at"] = ended if dice.random() < 0.97 else NOW.isoformat()

    generator.fill(conninfo, schemas.read(version), 60, seed, adjust)


def rows(conninfo: str) -> Rows:
    """By table; those that this version does not have are left out."""
    there = query(conninfo, "select tablename from pg_tables where schemaname = 'public'").split()
    found = [table for table in TABLES if table in there]
    asked = [f"select coalesce(json_agg(t)::text, '[]') from \"{table}\" t" for table in found]
    # One line each: JSON has its line ends escaped, and json_agg puts one between any two rows.
    lines = query(conninfo, ";".join(f"select replace(({one}), E'\\n', '')" for one in asked)).split("\n")[:-1]
    return {table: json.loads(line) for table, line in zip(found, lines, strict=True)}


def clean(
    conninfo: str, policy: object, covered: object = None, mode: str = "delete", source: Path = SOURCE, **asked: Any
) -> Any:
    done = process(conninfo, policy, covered, mode, source, **asked)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def process(
    conninfo: str, policy: object, covered: object, mode: str, source: Path, user: str = "", **asked: Any
) -> "subprocess.CompletedProcess[str]":
    if user:
        conninfo = conninfo.replace("user=postgres", f"user={user}")
    said = {"conninfo": conninfo, "policy": policy, "covered": covered or {}, "seconds": 3600, "mode": mode, **asked}
    return subprocess.run(
        [str(installed.environment(REAL) / "bin/python"), str(Path(__file__).with_name("inside.py"))],
        input=json.dumps(said, default=str),
        env={"PYTHONPATH": str(source), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def orphans(conninfo: str) -> list[str]:
    """Foreign keys that do not hold."""
    keys = query(
        conninfo,
        """select format('select %L where exists (select from %s c where (%s) is not null and not exists'
                         ' (select from %s p where (%s) = (%s)))', conname, conrelid::regclass,
                  string_agg(format('c.%I', a.attname), ', ' order by n), confrelid::regclass,
                  string_agg(format('c.%I', a.attname), ', ' order by n),
                  string_agg(format('p.%I', b.attname), ', ' order by n))
             from pg_constraint, unnest(conkey, confkey) with ordinality k(mine, its, n)
             join pg_attribute a on true join pg_attribute b on true
            where contype = 'f' and a.attrelid = conrelid and a.attnum = mine and b.attrelid = confrelid
              and b.attnum = its group by conname, conrelid, confrelid""",
    )
    return query(conninfo, ";".join(keys.splitlines())).split()


def policy(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """One of many, and what exports cover."""
    dice = random.Random(seed)
    until = NOW - timedelta(days=dice.choice((0, 0, 20)), hours=1)
    columns = dict.fromkeys(("dag_run", "task_instance", "task_instance_history", "task_instance_note"), "updated_at")
    columns |= dict.fromkeys(("dag_run_note", "dagrun_dataset_event"), "updated_at")
    columns |= dict.fromkeys(("task_fail", "task_reschedule"), "end_date")
    columns |= {table: AGE[table] for table in ("log", "job", "dataset_event", "sla_miss", "import_error")}
    expendable = ["xcom", "rendered_task_instance_fields", "task_map", "session", "celery_taskmeta", "callback_request"]
    others = ["trigger", "dataset_alias_dataset_event", "task_instance_history", "sla_miss", "task_instance"]
    expendable += dice.sample(others, 3)
    if dice.random() < 0.2:
        expendable.remove("rendered_task_instance_fields")
        columns["rendered_task_instance_fields"] = "updated_at"
    covered = {
        table: {"column": column, "until": until} for table, column in columns.items() if table not in expendable
    }
    if dice.random() < 0.3:
        covered.pop(dice.choice(sorted(covered)))
    named = {"xcom": 7, "log": 100, "job": 3, "task_instance": 30, "trigger": None, "session": 20, "task_fail": 150}
    named |= {"task_reschedule": 5, "dag_run": 60}
    return {
        "days": {
            "default": dice.randrange(1, 60),
            "tables": {table: named[table] for table in dice.sample(sorted(named), dice.choice((0, 0, 1, 3)))},
            "dags": {"dag1*": 90, "dag2": 2},
            "run_types": {"manual": dice.randrange(1, 90)},
        },
        "keep_newest": dice.randrange(1, 4),
        "protected_dags": ["dag4"],
        "expendable": expendable,
        "rows_per_transaction": dice.choice((5, 50_000)),
    }, covered


def is_so(conninfo: str, before: Rows, after: Rows, said: Any) -> None:
    """The report says what has happened, and every foreign key holds."""
    deleted = {table: about["deleted"] for table, about in said["tables"].items()}
    assert {table: number for table, number in deleted.items() if number} == {
        table: len(before[table]) - len(after[table]) for table in before if len(after[table]) < len(before[table])
    }
    assert orphans(conninfo) == []

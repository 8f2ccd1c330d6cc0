"""Outputs of real commands: 3.0.6 and 3.3.1."""

import pytest

from cleanup.outside_output import read

LOOKED = """Performing dry run for db cleanup.
Data prior to 2025-11-20 00:00:00+00:00 would be purged from tables ['xcom', 'dag_run'] with the following config:

table   | recency_column     | keep_last
========+====================+==========
xcom    | xcom.timestamp     | False
dag_run | dag_run.start_date | True


Performing dry run for table xcom
Checking table xcom
Found 1750 rows meeting deletion criteria.

Performing dry run for table dag_run
Checking table dag_run
Found 175 rows meeting deletion criteria.
"""
CLEANED = """
Checking table xcom
Found 1750 rows meeting deletion criteria.
Performing Delete...
Moving data to table _airflow_deleted__xcom__20261127045258
Finished Performing Delete

Checking table deadline
Found 0 rows meeting deletion criteria.

Checking table dag_run
Found 175 rows meeting deletion criteria.
Performing Delete...
Moving data to table _airflow_deleted__dag_run__20261127045258
Finished Performing Delete
"""
GOES_ON = """
Checking table deadline
2026-11-27T04:53:21.641441Z [warning  ] Encountered error when attempting to clean table 'deadline'.  [airflow.utils]

Checking table dag_run
Found 149 rows meeting deletion criteria.
Performing Delete...
Moving data to table _airflow_deleted__dag_run__20261127045321
Finished Performing Delete
2026-11-27T04:53:21.690602Z [warning  ] The following tables were not cleaned due to errors: ['deadline']. [airflow]
"""
TRACEBACK = """Traceback (most recent call last):
  File "/usr/local/airflow/.local/bin/airflow", line 8, in <module>
sqlalchemy.exc.IntegrityError: (psycopg2.errors.ForeignKeyViolation) update or delete on table "dag_version" violates
DETAIL:  Key (id)=(1) is still referenced from table "task_instance".
[SQL: DELETE FROM dag_version]
"""


def test_what_a_dry_run_found() -> None:
    cleaned = read(LOOKED, "", "dag_run")
    assert cleaned.found == {"xcom": 1750, "dag_run": 175}
    assert (cleaned.rows, cleaned.trouble, cleaned.absent) == (1925, None, False)


def test_what_a_command_did() -> None:
    cleaned = read(CLEANED, "a warning of no importance\n", "dag_run")
    assert cleaned.found == {"xcom": 1750, "deadline": 0, "dag_run": 175}
    assert cleaned.trouble is None


def test_a_command_that_goes_on_after_a_failure_has_failed() -> None:
    trouble = read(GOES_ON, "", "dag_run").trouble
    assert trouble
    assert "deadline" in trouble
    assert "Encountered error" in trouble


def test_it_is_seen_without_the_warnings_too() -> None:
    silent = "\n".join(line for line in GOES_ON.splitlines() if "[warning" not in line)
    assert read(silent, "", "dag_run").trouble


def test_a_delete_that_does_not_say_that_it_finished_has_failed() -> None:
    cut = CLEANED[: CLEANED.rindex("Finished")]
    trouble = read(cut, TRACEBACK, "dag_run").trouble
    assert trouble
    assert "ForeignKeyViolation" in trouble
    assert "DELETE FROM" not in trouble


def test_an_error_at_the_end_is_a_failure_though_all_tables_seem_well() -> None:
    assert read(CLEANED, TRACEBACK, "dag_run").trouble


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [
        ("2026-11-27T04:53:15Z [warning  ] Table session not found.  Skipping. [airflow]\n", ""),
        ("[2026-11-27T04:53:00.453+0000] {db_cleanup.py:521} WARNING - Table session not found.  Skipping.\n", ""),
        ("", "No tables selected for db cleanup. Please choose valid table names.\n"),
    ],
)
def test_a_table_that_is_not_there(stdout: str, stderr: str) -> None:
    cleaned = read(stdout, stderr, "session")
    assert (cleaned.absent, cleaned.trouble) == (True, None)


@pytest.mark.parametrize(
    ("stdout", "stderr", "said"),
    [
        ("", "", "it said nothing"),
        ("", TRACEBACK, "ForeignKeyViolation"),
        (
            "usage: airflow [-h]\n",
            "airflow db clean command error: unrecognized arguments: --batch-size 3\n",
            "batch-size",
        ),
        (CLEANED.replace("dag_run", "task_fail"), "", ""),
        ("Found 12 rows meeting deletion criteria.\n", "", "Found 12"),
        ("Checking table dag_run\nFound -1 rows meeting deletion criteria.\n", "", "dag_run"),
    ],
)
def test_what_is_not_understood_is_a_failure(stdout: str, stderr: str, said: str) -> None:
    trouble = read(stdout, stderr, "dag_run").trouble
    assert trouble
    assert said in trouble
    assert len(trouble) < 400

"""The DAG that cleans, as it is shipped, on a real Airflow 2 whose scheduler runs it and other DAGs."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from localcloud.airflow import installed
from localcloud.testing.waiting import eventually
from tests.support.airflow.cleaning import past
from tests.support.airflow.cleaning.shipped import DAG_ID, OF_2, POLICY, clean, ordered, report, running
from tests.support.airflow.exporting import PLACE, SECRET
from tests.support.airflow.here import Here

pytestmark = pytest.mark.xdist_group("cleanup-dag")


@pytest.fixture(scope="module", params=OF_2)
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    with running(request.param, tmp_path_factory.mktemp("cleanup"), past.scheduled) as found:
        yield found


@contextmanager
def held(here: Here, statement: str) -> Iterator[None]:
    """Somebody else's session."""
    with subprocess.Popen(
        [str(installed.psql()), "-qAtX", here.airflow.database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(f"{statement};\n\\echo held\n")
        other.stdin.flush()
        while other.stdout.readline().strip() != "held":
            assert other.poll() is None
        yield
        other.stdin.close()


def test_what_is_old_goes_and_the_scheduler_does_not_notice(here: Here) -> None:
    past.fill(here.airflow, 90)
    eventually(lambda: past.ticked(here.airflow) >= 1)
    counted = ordered(here, mode="report")
    assert clean(here, counted) == "success"
    assert past.left(here.airflow) == {"dag_run": 180, "task_instance": 180, "xcom": 180}
    said = report(here, counted)
    assert said["tables"]["dag_run"]["left"] >= 120
    assert not said["converged"]
    conf = ordered(here, policy={**POLICY, "confirm": 1, "connections": 2})
    assert clean(here, conf) == "success"
    # The past of each DAG from the last thirty days.
    assert past.left(here.airflow) == {"dag_run": 58, "task_instance": 58, "xcom": 58}
    said = report(here, conf)
    assert said["converged"]
    assert {table: said["tables"][table]["deleted"] for table in ("dag_run", "task_instance", "xcom")} == {
        "dag_run": 122,
        "task_instance": 122,
        "xcom": 122,
    }
    now = past.ticked(here.airflow)
    eventually(lambda: past.ticked(here.airflow) >= now + 2)
    assert past.ticks(here.airflow) == []
    assert here.run("hello", "afterwards", {}) == "success"
    logs = here.logs()
    assert "reported cleanup_id=" in logs
    assert SECRET not in logs
    assert "deadlock" not in logs


HOSTILE: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "nothing": ({}, {}),
    "a policy in the conf": ({}, {"policy": {"days": {"default": 1}}, "mode": "delete"}),
    "another environment": ({"place": {**PLACE, "environment": "other", "opt_in": []}}, None),
    "another folder": ({"place": {**PLACE, "environment": "../other", "opt_in": []}}, None),
    "time is up": ({"until": "2026-01-01T00:00:00+00:00"}, None),
    "no time at all": ({"seconds": 0}, None),
    "no mode": ({"mode": "everything"}, None),
    "more": ({"more": 1}, None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_ordered_is_not_done(here: Here, name: str) -> None:
    past.fill(here.airflow, 90)
    before, objects = past.left(here.airflow), here.bucket.objects()
    changes, more = HOSTILE[name]
    conf = ordered(here, policy={"days": {"default": 1}, "export_required": False, "confirm": 1}, **changes)
    asked = conf if more is None else more and conf | more
    assert clean(here, asked, f"groundcrew__{conf['cleanup_id']}") == "failed"
    assert past.left(here.airflow) == before
    assert here.bucket.objects() == objects


def test_an_order_is_carried_out_by_its_own_run_and_once(here: Here) -> None:
    conf = ordered(here, mode="report")
    assert clean(here, conf, "somebody-elses") == "failed"
    assert clean(here, conf) == "success"
    objects = here.bucket.objects()
    body = {"dry_run": False, "dag_run_id": f"groundcrew__{conf['cleanup_id']}", "reset_dag_runs": True}
    status, answer = here.airflow.backend.rest(
        "POST", f"/dags/{DAG_ID}/clearTaskInstances", {}, body | {"only_failed": False}
    )
    assert status == 200, answer
    tries = "select 1 n from task_instance where dag_id = 'groundcrew_cleanup' and run_id = :'run' and try_number = 2"
    eventually(
        lambda: (
            here.airflow.sql(tries, run=body["dag_run_id"])
            and here.ended(DAG_ID, f"groundcrew__{conf['cleanup_id']}") == "failed"
        )
    )
    assert here.bucket.objects() == objects


def test_what_breaks_off_is_reported_and_fails(here: Here) -> None:
    past.fill(here.airflow, 90)
    before = past.left(here.airflow)
    absurd = ordered(here, policy={"days": {"default": 0}, "export_required": False})
    assert clean(here, absurd) == "failed"
    assert report(here, absurd)["failure"] == "ValueError"
    second = ordered(here)
    with held(here, "select pg_advisory_lock(4077211907)"):
        assert clean(here, second) == "failed"
    said = report(here, second)
    assert (said["failure"], said["converged"]) == ("another clean-up works on this database", False)
    assert past.left(here.airflow) == before


def test_killed_in_the_middle_the_next_one_finishes(here: Here) -> None:
    past.fill(here.airflow, 90)
    eager = {**POLICY, "confirm": 1}
    killed = ordered(here, policy=eager | {"lock_timeout_seconds": 60, "rows_per_transaction": 20})
    run_id = f"groundcrew__{killed['cleanup_id']}"
    working = "select pid from task_instance where dag_id = 'groundcrew_cleanup' and run_id = :'run' and pid > 0"
    waiting = "select 1 n from pg_stat_activity where wait_event_type = 'Lock' and query like '%for update%'"
    ours = "select 1 n from pg_locks where locktype = 'advisory' and objid::bigint = 4077211907"
    with held(here, "begin; select 1 from task_instance where run_id = 'scheduled__past-60' for update"):
        here.start(DAG_ID, run_id, killed)
        eventually(lambda: here.airflow.sql(waiting))
        (found,) = here.airflow.sql(working, run=run_id)
        os.kill(found["pid"], signal.SIGKILL)
        assert eventually(lambda: here.ended(DAG_ID, run_id)) == "failed"
        assert 58 < past.left(here.airflow)["dag_run"] < 180
    eventually(lambda: not here.airflow.sql(ours))  # PostgreSQL sees only then that nobody is there any more
    conf = ordered(here, policy=eager)
    assert clean(here, conf) == "success"
    assert past.left(here.airflow) == {"dag_run": 58, "task_instance": 58, "xcom": 58}
    assert report(here, conf)["converged"]
    assert not [key for key in here.bucket.objects() if killed["cleanup_id"] in key]


def test_without_its_report_a_run_has_failed(here: Here) -> None:
    conf = ordered(here, mode="report")
    here.bucket.refuse = lambda key: "AccessDenied" if key.endswith("cleanup.json") else ""
    try:
        assert clean(here, conf) == "failed"
    finally:
        here.bucket.refuse = lambda _key: ""

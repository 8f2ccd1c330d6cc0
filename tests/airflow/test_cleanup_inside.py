"""The inside engine on the real schema of 2.10.3: what is left is what a plain specification leaves."""

import json
import random
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from localcloud.airflow import installed
from localcloud.airflow.postgres import query
from tests.airflow import generator, schemas
from tests.airflow.conftest import require
from tests.conftest import Figure

pytestmark = pytest.mark.xdist_group("cleanup-inside")

REAL = "2.10.3"
ROWS = 60
SOURCE = installed.ROOT / "layers/airflow/dags/groundcrew"
NOW = datetime.now(UTC)
CHILDREN = {
    **dict.fromkeys(("task_fail", "task_map", "task_reschedule", "xcom", "rendered_task_instance_fields"), "pair"),
    **dict.fromkeys(("task_instance", "task_instance_history", "task_instance_note"), "pair"),
    **{"dag_run_note": "dag_run_id", "dagrun_dataset_event": "dag_run_id"},
}
"""By what a row says which run it belongs to: (dag_id, run_id), or the run's number."""
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def conninfo() -> Iterator[str]:
    require(REAL)
    with schemas.migrated(REAL) as postgres:
        yield postgres.conninfo


def fill(conninfo: str, seed: int) -> None:
    dice = random.Random(seed)

    def adjust(table: str, number: int, row: dict[str, str | None]) -> None:
        ended = NOW - timedelta(days=dice.randrange(1, 200), hours=5)
        if table == "dag_run":
            row["dag_id"], row["run_id"] = f"dag{number % 5}", f"run{number}"
            row["run_type"] = dice.choice(("manual", "scheduled", "scheduled"))
            row["state"] = dice.choice(("success", "success", "success", "failed", "running", "queued"))
            row["start_date"] = ended.isoformat()
            row["end_date"] = dice.choice((ended.isoformat(), ended.isoformat(), ended.isoformat(), None))
            row["execution_date"] = (ended + timedelta(microseconds=number)).isoformat()
        if table == "task_instance":
            row["state"] = dice.choice((*("success",) * 9, "running"))
        for column in ("updated_at", "end_date"):
            if column in row and (table != "dag_run" or column == "updated_at"):
                row[column] = ended.isoformat() if dice.random() < 0.97 else NOW.isoformat()

    generator.fill(conninfo, schemas.read(REAL), ROWS, seed, adjust)


def rows(conninfo: str) -> Rows:
    return {
        table: json.loads(query(conninfo, f"select coalesce(json_agg(t), '[]') from \"{table}\" t"))
        for table in ("dag_run", "dag", "log", "job", *CHILDREN)
    }


def clean(conninfo: str, policy: object, covered: object, mode: str = "delete", source: Path = SOURCE) -> Any:
    done = subprocess.run(
        [str(installed.environment(REAL) / "bin/python"), str(Path(__file__).parent / "cleaning/inside.py")],
        input=json.dumps(
            {"conninfo": conninfo, "policy": policy, "covered": covered, "seconds": 60, "mode": mode}, default=str
        ),
        env={"PYTHONPATH": str(source), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def of(run: dict[str, Any], table: str, row: dict[str, Any]) -> bool:
    if CHILDREN[table] == "pair":
        return (row["dag_id"], row["run_id"]) == (run["dag_id"], run["run_id"])
    return bool(row["dag_run_id"] == run["id"])


def specification(before: Rows, policy: dict[str, Any], covered: dict[str, Any]) -> Rows:
    """Slow and plain."""
    gone = []
    for run in before["dag_run"]:
        mine = [(table, row) for table in CHILDREN for row in before[table] if of(run, table, row)]
        newer = [one for one in before["dag_run"] if one["dag_id"] == run["dag_id"] and moment(one) > moment(run)]
        alike = [one for one in newer if (one["run_type"] == "manual") == (run["run_type"] == "manual")]
        days = [policy["days"]["default"]]
        days += [number for pattern, number in policy["days"]["dags"].items() if fnmatchcase(run["dag_id"], pattern)]
        days += [number for kind, number in policy["days"]["run_types"].items() if kind == run["run_type"]]
        if (
            run["state"] in ("success", "failed")
            and run["end_date"]
            and datetime.fromisoformat(run["end_date"]) < NOW - timedelta(days=max(days))
            and min(len(newer), len(alike)) >= policy["keep_newest"]
            and run["dag_id"] not in policy["protected_dags"]
            and all(row["state"] == "success" for table, row in mine if table == "task_instance")
            and all(is_covered(table, row, policy, covered) for table, row in [("dag_run", run), *mine])
        ):
            gone.append(run)
    after = dict(before, dag_run=[run for run in before["dag_run"] if run not in gone])
    for table in CHILDREN:
        after[table] = [row for row in before[table] if not any(of(run, table, row) for run in gone)]
    return after


def moment(run: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(run["execution_date"])


def is_covered(table: str, row: dict[str, Any], policy: dict[str, Any], covered: dict[str, Any]) -> bool:
    if table in policy["expendable"]:
        return True
    value = row.get(covered[table]["column"]) if table in covered else None
    if not value or value == "infinity":
        return False
    return bool(value.endswith(("-infinity", " BC")) or datetime.fromisoformat(value) < covered[table]["until"])


def policy(dice: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    until = NOW - timedelta(days=dice.choice((0, 0, 20)))
    columns = dict.fromkeys(("dag_run", *CHILDREN), "updated_at") | {
        "task_fail": "end_date",
        "task_reschedule": "end_date",
    }
    expendable = ["xcom", "rendered_task_instance_fields", "task_map", "dagrun_dataset_event"]
    covered = {name: {"column": column, "until": until} for name, column in columns.items() if name not in expendable}
    if dice.random() < 0.2:
        covered.pop(dice.choice(sorted(covered)))
    return {
        "days": {
            "default": dice.randrange(1, 60),
            "dags": {"dag1*": 90},
            "run_types": {"manual": dice.randrange(1, 90)},
        },
        "keep_newest": dice.randrange(1, 4),
        "protected_dags": ["dag4"],
        "expendable": expendable,
    }, covered


@pytest.mark.parametrize("seed", range(12))
def test_what_is_left_is_what_the_specification_leaves(conninfo: str, seed: int, figure: Figure) -> None:
    fill(conninfo, seed)
    kept, covered = policy(random.Random(seed))
    before = rows(conninfo)
    assert clean(conninfo, kept, covered, "report")["tables"]["dag_run"]["deleted"] == 0
    assert rows(conninfo) == before
    said = clean(conninfo, kept, covered)
    after = rows(conninfo)
    figure("runs deleted", len(before["dag_run"]) - len(after["dag_run"]))
    assert after == specification(before, kept, covered)
    for table, about in said["tables"].items():
        assert about["deleted"] == len(before[table]) - len(after[table])
    assert clean(conninfo, kept, covered)["tables"]["dag_run"]["deleted"] == 0


BROKEN = {
    "deletes everything": ("run.ended >= now - timedelta", "run.ended < run.ended - timedelta", "plan.py"),
    "deletes the newest": ("reverse=True", "reverse=False", "plan.py"),
    "forgets a child table": ("- set(found))", '- {*found, "task_instance_note"})', "act.py"),
    "ignores what is not exported": ("return bool(self._all(rows", "return False and bool(self._all(rows", "act.py"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_engine_is_found(conninfo: str, tmp_path: Path, name: str) -> None:
    right, wrong, file = BROKEN[name]
    folder = tmp_path / "groundcrew_cleaning"
    folder.mkdir()
    for one in (SOURCE / "groundcrew_cleaning").glob("*.py"):
        text = one.read_text()
        (folder / one.name).write_text(text.replace(right, wrong) if one.name == file else text)
        assert one.name != file or right in text
    found = 0
    for seed in range(6):
        fill(conninfo, seed)
        kept, covered = policy(random.Random(seed))
        if name == "forgets a child table":
            covered.pop("task_instance_note", None)
        before = rows(conninfo)
        clean(conninfo, kept, covered, source=tmp_path)
        found += rows(conninfo) != specification(before, kept, covered)
    assert found


@pytest.mark.parametrize("days", [0, -1, 100_000, True, "30"])
def test_absurd_days_delete_nothing(conninfo: str, days: object) -> None:
    fill(conninfo, 1)
    before = rows(conninfo)
    with pytest.raises(AssertionError, match="ValueError"):
        clean(conninfo, {"days": {"default": days}, "export_required": False}, {})
    assert rows(conninfo) == before


def test_an_unknown_schema_is_refused(conninfo: str) -> None:
    fill(conninfo, 1)
    head = query(conninfo, "select version_num from alembic_version").strip()
    query(conninfo, "update alembic_version set version_num = 'aaaaaaaaaaaa'")
    try:
        before = rows(conninfo)
        with pytest.raises(AssertionError, match="RefusedError"):
            clean(conninfo, {"days": {"default": 1}, "export_required": False}, {})
        assert rows(conninfo) == before
    finally:
        query(conninfo, f"update alembic_version set version_num = '{head}'")


@pytest.mark.parametrize(
    ("held", "refused"),
    [("select pg_advisory_lock(4077211907)", True), ("begin; select id from dag_run for update", False)],
)
def test_somebody_else_holds_a_lock(conninfo: str, held: str, refused: bool) -> None:
    fill(conninfo, 1)
    before = rows(conninfo)
    kept = {"days": {"default": 1}, "export_required": False, "lock_timeout_seconds": 1}
    with subprocess.Popen(
        [str(installed.psql()), "-qAtX", conninfo], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(f"{held};\n\\echo held\n")
        other.stdin.flush()
        while other.stdout.readline().strip() != "held":
            assert other.poll() is None
        if refused:
            with pytest.raises(AssertionError, match="RefusedError"):
                clean(conninfo, kept, {})
        else:
            said = clean(conninfo, {**kept, "protected_dags": ["dag[0123]"], "keep_newest": 5}, {})
            assert not said["converged"]
            assert "locked" in said["tables"]["dag_run"]["kept"]
        assert rows(conninfo) == before
        other.stdin.close()
    assert clean(conninfo, kept, {})["tables"]["dag_run"]["deleted"] > 0

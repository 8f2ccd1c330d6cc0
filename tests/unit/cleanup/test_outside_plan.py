from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cleanup.outside_plan import Kept, Seen, Target, bound, targets
from cleanup.outside_versions import NEVER, capability
from cleanup.policy import Policy
from groundcrew.errors import PermanentError
from groundcrew.manifests import Covered

NOW = datetime(2026, 11, 27, 4, 30, tzinfo=UTC)
EXPORTED = NOW - timedelta(hours=1)
ALL = Seen(
    {
        "dag_run": Covered("updated_at", EXPORTED),
        "task_instance": Covered("updated_at", EXPORTED),
        "log": Covered("dttm", EXPORTED),
        "job": Covered("latest_heartbeat", EXPORTED),
    }
)
BOUND = [
    "asset_partition_dag_run", "dag_run_note", "dagrun_asset_event", "deadline", "hitl_detail", "hitl_detail_history",
    "rendered_task_instance_fields", "task_instance_history", "task_instance_note", "task_map", "task_reschedule",
    "task_state_store", "xcom",
]  # fmt: skip


def policy(days: dict[str, Any] | None = None, **more: Any) -> Policy:
    return Policy.read({"days": {"default": 30} | (days or {}), "expendable": BOUND} | more, "p")


def planned(version: str, seen: Seen = ALL, **more: Any) -> dict[str, Target | Kept]:
    found = targets(policy(**more), capability(version), seen, NOW)
    return {one.table: one for one in found}


def before(one: Target | Kept) -> timedelta:
    assert isinstance(one, Target), one
    return NOW - one.before


@pytest.mark.parametrize("version", ["", "2.10.3", "3.0.5", "3.1.0", "3.3.2", "4.0.0", "3"])
def test_an_unknown_version_is_refused(version: str) -> None:
    with pytest.raises(PermanentError) as caught:
        capability(version)
    assert caught.value.cause == "UnknownVersion"


@pytest.mark.parametrize("version", ["3.0.6", "3.2.1", "3.3.1"])
def test_what_must_never_be_named_never_is(version: str) -> None:
    assert not NEVER & capability(version).tables.keys()


@pytest.mark.parametrize("version", ["3.0.6", "3.2.1", "3.3.1"])
def test_all_that_is_old_enough_exported_or_expendable_goes(version: str) -> None:
    plan = planned(version)
    for table in ("dag_run", "task_instance", "xcom", "task_reschedule", "log", "job"):
        assert before(plan[table]) == timedelta(days=30), table


def test_children_come_before_their_parents() -> None:
    order = list(planned("3.3.1"))
    assert order.index("xcom") < order.index("task_instance") < order.index("dag_run")
    assert order.index("task_reschedule") < order.index("task_instance")


@pytest.mark.parametrize("missing", BOUND)
def test_a_run_stays_if_any_row_that_goes_with_it_is_neither_exported_nor_expendable(missing: str) -> None:
    plan = planned("3.3.1", expendable=[table for table in BOUND if table != missing])
    kept = plan["dag_run"]
    assert isinstance(kept, Kept)
    assert missing in kept.reason


def test_by_default_runs_of_airflow_3_stay_for_not_all_of_them_can_be_exported() -> None:
    plain = Policy.read({"days": {"default": 30}}, "p")
    plan = {one.table: one for one in targets(plain, capability("3.0.6"), ALL, NOW)}
    assert isinstance(plan["dag_run"], Kept)
    assert isinstance(plan["xcom"], Target)
    assert isinstance(plan["log"], Target)


def test_without_an_export_only_what_is_expendable_goes() -> None:
    plan = planned("3.3.1", seen=Seen({}))
    assert {table for table, one in plan.items() if isinstance(one, Target)} == {
        "task_instance_history", "task_reschedule", "xcom",
    }  # fmt: skip


def test_a_policy_may_do_without_exports() -> None:
    plan = planned("3.3.1", seen=Seen({}), export_required=False)
    assert all(isinstance(one, Target) for one in plan.values())


def test_an_export_that_is_older_than_the_rows_bounds_them() -> None:
    old = NOW - timedelta(days=100)
    plan = planned("3.3.1", seen=Seen({**ALL.covered, "task_instance": Covered("updated_at", old)}))
    assert before(plan["dag_run"]) == before(plan["task_instance"]) == timedelta(days=100)
    assert before(plan["log"]) == timedelta(days=30)


def test_an_export_by_another_column_than_the_age_vouches_for_nothing() -> None:
    plan = planned("3.3.1", seen=Seen({**ALL.covered, "log": Covered("id", EXPORTED)}))
    assert isinstance(plan["log"], Kept)


def test_a_parent_keeps_as_long_as_the_most_patient_of_its_children() -> None:
    plan = planned("3.3.1", days={"default": 30, "tables": {"xcom": 90}})
    assert before(plan["xcom"]) == before(plan["task_instance"]) == before(plan["dag_run"]) == timedelta(days=90)
    assert isinstance(plan["dag_run"], Target)
    assert "xcom" in plan["dag_run"].reason
    kept = planned("3.3.1", days={"default": 30, "tables": {"xcom": None}})
    assert isinstance(kept["dag_run"], Kept)
    assert isinstance(kept["xcom"], Kept)
    earlier = planned("3.3.1", days={"default": 30, "tables": {"xcom": 7}})
    assert before(earlier["xcom"]) == timedelta(days=7)
    assert before(earlier["dag_run"]) == timedelta(days=30)


@pytest.mark.parametrize("field", ["unfinished", "changed"])
def test_nothing_of_a_run_goes_that_is_not_finished_or_has_changed(field: str) -> None:
    when = NOW - timedelta(days=200)
    plan = planned("3.3.1", seen=Seen(ALL.covered, **{field: when}))
    for table in ("dag_run", "task_instance", "task_instance_history", "xcom", "task_reschedule"):
        assert before(plan[table]) == timedelta(days=200), table
    assert before(plan["log"]) == timedelta(days=30)


def test_a_target_is_only_ever_moved_back() -> None:
    target = Target("xcom", NOW - timedelta(days=30), "30 days are kept")
    xcom = capability("3.3.1").tables["xcom"]
    assert bound(target, xcom, Seen({}, unfinished=NOW)) == target


@pytest.mark.parametrize(
    "wish",
    [
        {"keep_newest": 2},
        {"protected_dags": ["billing_*"]},
        {"rows_per_transaction": 500},
        {"lock_timeout_seconds": 1},
        {"statement_timeout_seconds": 10},
        {"connections": 1},
        {"days": {"default": 30, "dags": {"a*": 3}}},
        {"days": {"default": 30, "run_types": {"manual": 3}}},
        {"days": {"default": 30, "tables": {"trigger": 3}}},
        {"days": {"default": 30, "tables": {"asset_event": 3}}},
    ],
    ids=str,
)
def test_what_the_command_cannot_honour_is_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(PermanentError) as caught:
        planned("3.3.1", **wish)
    assert caught.value.cause == "PolicyNotHonoured"


def test_what_it_need_not_do_is_not_refused() -> None:
    assert planned("3.3.1", keep_newest=1, protected_dags=[])

"""What is exported, from when until when, and why not: every branch, and what holds whatever is asked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports.ask import Ask
from exports.plan import Export, Nothing, Plan, Refuse, Wait, Window
from exports.planner import decide, lag, overdue, watermark
from exports.policy import Policy
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.manifests import Covered, Manifest, extended
from groundcrew_metadata import declared

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REF = EnvironmentRef("222222222222", "us-east-1", "data")


def environment(version: str = "2.10.3", status: str = "AVAILABLE") -> Environment:
    return Environment(REF, REF.arn("aws"), status, airflow_version=version)


def manifest(ago: timedelta = HOUR, **until: timedelta) -> Manifest:
    covered = {table: Covered(str(declared.TABLES[table].time), NOW - age) for table, age in until.items()}
    return Manifest("20261127T043000Z-0a1b2c3d", NOW - ago, covered)


def planned(ask: Ask | None = None, last: Manifest | None = None, policy: Policy | None = None, **env: str) -> Plan:
    return decide(environment(**env), policy or Policy(), last, ask, NOW)


def export(*arguments: Any, **more: Any) -> Export:
    plan = planned(*arguments, **more)
    assert isinstance(plan, Export), plan
    return plan


def test_what_is_covered_is_left_until_it_is_due() -> None:
    assert isinstance(planned(last=manifest(log=23 * HOUR)), Nothing)
    assert "due after" in export(last=manifest(log=24 * HOUR)).reason
    assert isinstance(planned(Ask(), manifest(log=HOUR)), Export)


def test_an_environment_that_is_not_ready() -> None:
    assert isinstance(planned(status="UPDATING"), Nothing)
    assert isinstance(planned(Ask(), status="UPDATING"), Wait)


@pytest.mark.parametrize("version", ["2.6.3", "1.10.12", "", "three"])
def test_a_version_that_is_not_declared(version: str) -> None:
    plan = planned(version=version)
    assert isinstance(plan, Refuse)
    assert plan.cause == "UnsupportedVersion"


def test_the_engine_is_the_versions() -> None:
    assert export(version="2.7.2").engine == "inside"
    assert export(version="3.3.1").engine == "outside"
    assert "xcom" not in export(version="2.10.3").tables
    assert "dag_run_note" not in export(version="3.3.1").tables


def test_tables_are_those_of_the_policy_and_what_it_opts_in_to() -> None:
    policy = Policy(tables=("dag",), opt_in=("xcom",))
    assert set(export(policy=policy).tables) == {"dag", "xcom"}
    assert set(export(Ask(tables=("dag",)), policy=policy).tables) == {"dag"}
    plan = planned(policy=Policy(tables=("dataset",)), version="3.3.1")
    assert isinstance(plan, Refuse)
    assert plan.cause == "NothingToExport"


def test_windows_go_on_with_an_overlap_in_slices() -> None:
    plan = export(last=manifest(log=40 * DAY), policy=Policy(tables=("log", "dag_run", "slot_pool")))
    assert plan.tables["log"] == Window(NOW - 40 * DAY - HOUR, NOW - 10 * DAY)
    assert plan.tables["dag_run"] == Window(None, NOW)
    assert plan.tables["slot_pool"] == Window()
    first = export(policy=Policy(tables=("log",), backfill=60 * DAY))
    assert first.tables["log"] == Window(None, NOW - 60 * DAY)
    assert first.reason == "there is no verified export yet"


def test_what_was_covered_by_another_column_is_exported_anew() -> None:
    last = Manifest("x", NOW - 30 * HOUR, {"log": Covered("another", NOW - 30 * HOUR)})
    assert export(last=last, policy=Policy(tables=("log",))).tables["log"] == Window(None, NOW)


def test_a_window_of_its_own_is_of_tables_that_have_a_time() -> None:
    asked = Window(NOW - 2 * DAY, NOW - DAY)
    plan = export(Ask(window=asked, tables=("log", "slot_pool"), reason="why"))
    assert (plan.tables["log"], plan.tables["slot_pool"], plan.reason) == (asked, Window(), "why")
    assert plan.windows()["slot_pool"] == {"from": None, "until": None}


@pytest.mark.parametrize(
    ("ask", "cause"),
    [
        (Ask(tables=("connection",)), "UnknownTable"),
        (Ask(tables=("xcom",)), "NotOptedIn"),
        (Ask(tables=("asset",)), "NoSuchTable"),
        (Ask(window=Window(NOW - HOUR, NOW - DAY)), "ReversedWindow"),
        (Ask(window=Window(NOW - HOUR, NOW - HOUR)), "ReversedWindow"),
        (Ask(window=Window(None, NOW + HOUR)), "FutureWindow"),
        (Ask(window=Window(NOW + HOUR, None)), "FutureWindow"),
    ],
)
def test_what_cannot_be_asked_for(ask: Ask, cause: str) -> None:
    plan = planned(ask)
    assert isinstance(plan, Refuse)
    assert (plan.cause, bool(plan.remedy)) == (cause, True)


def test_how_late_it_is() -> None:
    policy, data = Policy(), environment()
    assert lag(policy, replace(data, created_at=NOW - 2 * DAY), None, NOW) == 2
    assert lag(policy, data, None, NOW) == 0
    assert lag(policy, data, manifest(log=12 * HOUR), NOW) == 0.5
    assert watermark(policy, data, manifest(2 * HOUR, log=HOUR)) == NOW - 2 * HOUR
    assert not overdue(policy, data, manifest(log=HOUR), NOW)


@pytest.mark.parametrize(
    ("policy", "version", "table"),
    [
        (Policy(tables=("log",)), "2.10.3", "dag_run"),  # the policy names it no more
        (Policy(), "2.10.3", "xcom"),  # nor opts in to it
        (Policy(), "3.3.1", "task_fail"),  # it went with the upgrade
        (Policy(), "3.3.1", "task_instance_history"),  # Airflow has it and does not say it
        (Policy(), "3.3.1", "job"),  # exported whole from now on
    ],
)
def test_what_is_exported_no_more_is_not_overdue_for_ever(policy: Policy, version: str, table: str) -> None:
    last, data = manifest(log=HOUR, **{table: 40 * DAY}), environment(version)
    assert watermark(policy, data, last) == NOW - HOUR
    assert lag(policy, data, last, NOW) < 1
    assert isinstance(planned(last=last, policy=policy, version=version), Nothing)
    # It is, as long as it goes on being exported.
    everything = Policy(opt_in=("xcom",))
    assert overdue(everything, environment(), last, NOW)


def test_an_environment_of_no_known_version_is_as_late_as_its_last_export() -> None:
    assert watermark(Policy(), environment("three"), manifest(log=40 * DAY)) == NOW - HOUR


@pytest.mark.parametrize(
    "document",
    [
        {"every_hours": 0},
        {"tables": []},
        {"tables": ["connection"]},
        {"tables": ["xcom"]},
        {"opt_in": ["variable"]},
        {"x": 1},
    ],
)
def test_a_policy_is_refused_for_what_it_cannot_mean(document: dict[str, Any]) -> None:
    with pytest.raises(PermanentError) as caught:
        Policy.read(document, "/groundcrew/exports/x")
    assert caught.value.cause == "InvalidPolicy"


MOMENTS = st.integers(0, 50).map(lambda hours: NOW - hours * HOUR)


@given(windows=st.lists(st.tuples(st.none() | MOMENTS, st.none() | MOMENTS), max_size=8))
def test_what_is_covered_has_no_gap(windows: list[tuple[datetime | None, datetime | None]]) -> None:
    """Against a plain specification: hours that are exported, from the beginning on."""
    covered: dict[str, Covered] = {}
    seen: set[int] = set()
    for since, until in windows:
        window = {"column": "dttm", "from": since and since.isoformat(), "until": until and until.isoformat()}
        covered = extended(covered, {"log": window})
        first = 0 if since is None else 51 - int((NOW - since) / HOUR)
        if until is not None:
            seen |= set(range(first, 51 - int((NOW - until) / HOUR)))
        if "log" in covered:
            until_hour = 51 - int((NOW - covered["log"].until) / HOUR)
            assert set(range(until_hour)) <= seen


def test_what_is_covered_grows_with_each_export_and_not_over_a_gap() -> None:
    def window(since: datetime | None, until: datetime, column: str = "dttm") -> dict[str, Any]:
        return {"log": {"column": column, "from": since and since.isoformat(), "until": until.isoformat()}}

    first = extended({}, window(None, NOW - DAY))
    assert first == {"log": Covered("dttm", NOW - DAY)}
    assert extended(first, window(NOW - 2 * DAY, NOW)) == {"log": Covered("dttm", NOW)}
    assert extended(first, window(NOW - HOUR, NOW)) == first
    assert extended({}, window(NOW - HOUR, NOW)) == {}
    assert extended(first, window(NOW - 2 * DAY, NOW, "when")) == {}
    assert extended(first, window(None, NOW - 2 * DAY)) == first

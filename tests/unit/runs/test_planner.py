"""The rules of "The runs capability", one by one."""

from datetime import timedelta
from typing import Any

import pytest

from groundcrew.ways.seen import Dag
from runs.plan import UNSEEN, Begin, Confirm, Look, Plan, Reject, Wait
from runs.planner import ENDING, LONGEST_WAIT, PATIENCE, READY, SHORTEST_WAIT, gone, is_ours, marker, note
from tests.support.runs.stories import ASKED, DATE, EXPIRY, LATER, foreign, next_step, order, run

OLD = ASKED - timedelta(hours=1)
NOT_READY = ["UPDATING", "MAINTENANCE", "CREATING_SNAPSHOT", "PENDING", "CREATING", "ROLLING_BACK", "UNAVAILABLE"]


def cause(plan: Plan) -> str:
    """Why it is rejected; that it is said what to do is part of it."""
    assert isinstance(plan, Reject)
    assert plan.reason
    assert plan.remedy
    return plan.cause


def looked(plan: Plan) -> str:
    """What must be seen first."""
    assert isinstance(plan, Look)
    assert plan.reason
    return plan.what


# ------------------------------------------------------------------------------------------------------ the environment
@pytest.mark.parametrize("status", sorted(ENDING))
def test_an_environment_that_ends_is_gone_whatever_else_is_known(status: str) -> None:
    assert cause(next_step(status=status, tags={"groundcrew:runs": "off"}, policy_allows=False)) == "EnvironmentGone"
    assert status in gone(status).reason


def test_a_tag_turns_runs_off() -> None:
    assert cause(next_step(tags={"groundcrew:runs": "off"})) == "Off"


def test_a_policy_forbids_the_dag() -> None:
    plan = next_step(tags={"groundcrew:runs": "nightly"}, policy_allows=False)
    assert cause(plan) == "NotAllowed"
    assert "/groundcrew/runs/nightly" in str(plan)


@pytest.mark.parametrize("status", NOT_READY)
def test_one_that_is_not_ready_is_waited_for(status: str) -> None:
    plan = next_step(status=status)
    assert isinstance(plan, Wait)
    assert status in plan.reason


@pytest.mark.parametrize("status", sorted(READY))
def test_one_that_is_ready_is_asked(status: str) -> None:
    assert looked(next_step(status=status)) == "dag"


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        (0, SHORTEST_WAIT),
        (100, 25),
        (3600, LONGEST_WAIT),
        (6 * 3600 - 100, 101),
        (6 * 3600 - 1, SHORTEST_WAIT),
    ],
)
def test_the_waits_grow_and_end_with_the_order(after: int, seconds: int) -> None:
    plan = next_step(ASKED + timedelta(seconds=after), status="UPDATING")
    assert isinstance(plan, Wait)
    assert plan.seconds == seconds


# -------------------------------------------------------------------------------------------------------------- the DAG
def test_a_dag_that_can_run_is_started() -> None:
    plan = next_step(dag=Dag())
    assert isinstance(plan, Begin)
    assert not plan.unpause


@pytest.mark.parametrize(("if_paused", "unpause"), [("unpause", True), ("queue", False)])
def test_a_paused_dag_is_unpaused_or_left_so_as_asked(if_paused: str, unpause: bool) -> None:
    plan = next_step(asked=order(if_paused=if_paused), dag=Dag(is_paused=True))
    assert isinstance(plan, Begin)
    assert plan.unpause is unpause


def test_a_dag_that_runs_is_not_unpaused() -> None:
    plan = next_step(asked=order(if_paused="unpause"), dag=Dag())
    assert isinstance(plan, Begin)
    assert not plan.unpause


REJECTIONS: list[tuple[str, dict[str, Any]]] = [
    ("UnknownDag", {"dag": None, "import_errors": ()}),
    ("UnknownDag", {"dag": None, "import_errors": ("/dags/a.py",)}),
    ("ImportErrors", {"dag": Dag(has_import_errors=True)}),
    ("Paused", {"dag": Dag(is_paused=True)}),
    ("Expired", {"now": EXPIRY}),
    ("Expired", {"now": EXPIRY, "status": "UPDATING"}),
]


@pytest.mark.parametrize(("named", "seen"), REJECTIONS)
def test_before_a_rejection_the_run_is_looked_for(named: str, seen: dict[str, Any]) -> None:
    assert looked(next_step(**seen)) == "run"
    assert cause(next_step(**seen, run=None)) == named


@pytest.mark.parametrize(("named", "seen"), REJECTIONS)
def test_what_an_earlier_try_has_started_is_confirmed(named: str, seen: dict[str, Any]) -> None:
    plan = next_step(**seen, run=run())
    assert isinstance(plan, Confirm)
    assert plan.run == run()


@pytest.mark.parametrize(("named", "seen"), REJECTIONS)
def test_somebody_elses_run_changes_no_rejection(named: str, seen: dict[str, Any]) -> None:
    assert cause(next_step(**seen, run=foreign())) == named


def test_why_a_dag_is_not_there_is_looked_for() -> None:
    assert looked(next_step(dag=None)) == "import_errors"
    files = tuple(f"/dags/{name}.py" for name in "abcd")
    said = str(next_step(dag=None, import_errors=files, run=None))
    assert "4 files cannot be imported: /dags/a.py, /dags/b.py, /dags/c.py" in said
    assert "/dags/d.py" not in said


# --------------------------------------------------------------------------------------------------------------- expiry
def test_an_order_that_has_expired_is_not_started() -> None:
    assert isinstance(next_step(EXPIRY - timedelta(seconds=1), dag=Dag()), Begin)
    assert looked(next_step(EXPIRY, dag=Dag())) == "run"


@pytest.mark.parametrize(
    ("after", "status", "patient"),
    [(timedelta(0), "AVAILABLE", True), (PATIENCE, "AVAILABLE", False), (timedelta(0), "UPDATING", False)],
)
def test_an_airflow_that_cannot_be_asked_is_waited_for_a_while(after: timedelta, status: str, patient: bool) -> None:
    plan = next_step(EXPIRY + after, status=status)
    assert isinstance(plan, Look)
    assert plan.last is not patient
    assert plan.or_else
    assert cause(plan.or_else) == "Expired"
    assert status in plan.or_else.reason


def test_what_airflow_has_against_a_start_is_said_unless_it_is_started() -> None:
    failure = Reject("BadConf", "no such parameter", "Correct it.")
    plan = next_step(dag=Dag(), failure=failure)
    assert isinstance(plan, Look)
    assert (plan.what, plan.or_else, plan.last) == ("run", failure, False)
    assert next_step(dag=Dag(), failure=failure, run=None) is failure
    assert next_step(dag=Dag(), failure=failure, run=foreign()) is failure
    assert isinstance(next_step(dag=Dag(), failure=failure, run=run()), Confirm)


# ------------------------------------------------------------------------------------------------------------- conflict
def test_whose_run_it_is_is_looked_at_not_assumed() -> None:
    plan = next_step(refused=True)
    assert looked(plan) == "run"
    assert plan.or_else is None  # type: ignore[union-attr]
    assert isinstance(next_step(refused=True, run=run()), Confirm)


def test_somebody_elses_run_with_that_id_is_named() -> None:
    plan = next_step(refused=True, run=foreign())
    assert cause(plan) == "RunIdTaken"
    assert f"(in state running, its note says 'by hand', it started at {LATER.isoformat()})" in str(plan)
    bare = foreign(state="", start_date=None, note=None, conf={})
    assert cause(next_step(refused=True, run=bare)) == "RunIdTaken"
    assert "(" not in next_step(refused=True, run=bare).reason


def test_somebody_elses_run_with_that_date_is_named() -> None:
    dated = order(logical_date=DATE)
    plan = next_step(asked=dated, refused=True, run=None)
    assert looked(plan) == "twin"
    assert plan.or_else is None  # type: ignore[union-attr]
    plan = next_step(asked=dated, refused=True, run=None, twin=foreign(run_id="scheduled__1"))
    assert cause(plan) == "LogicalDateTaken"
    assert "scheduled__1" in str(plan)
    assert DATE.isoformat() in str(plan)


@pytest.mark.parametrize("twin", [None, run()])
def test_a_conflict_that_nobody_shows_is_tried_again(twin: Any) -> None:
    """Somebody's run was there a moment ago, or another worker's is there since a moment."""
    plan = next_step(asked=order(logical_date=DATE), refused=True, run=None, twin=twin)
    assert isinstance(plan, Wait)
    assert plan.seconds == SHORTEST_WAIT
    assert isinstance(next_step(refused=True, run=None, twin=UNSEEN), Wait)


# ---------------------------------------------------------------------------------------------------------- whose it is
def test_our_note_says_that_it_is_ours() -> None:
    assert is_ours(run(), order())
    assert is_ours(run(created_at=OLD, conf={"other": 1}), order())
    assert is_ours(run(note=f"what the request said\r\n{marker(order())}"), order())
    assert not is_ours(run(note=f"{marker(order())}\nof another request that says so"), order())
    assert note(order(note="for the ticket")) == f"for the ticket\n{marker(order())}"
    assert note(order()) == marker(order())


@pytest.mark.parametrize(
    "words",
    [
        "by hand",
        marker(order(request_id="ticket-11")),
        marker(order(request_id="ticket")),
        marker(order(sender="333333333333")),
        f"see {marker(order())}",
        f"{marker(order())} too",
    ],
)
def test_another_note_says_that_it_is_not(words: str) -> None:
    assert not is_ours(run(note=words), order())


@pytest.mark.parametrize(
    "seen",
    [
        {"created_at": OLD},
        {"start_date": OLD},
        {"logical_date": OLD},
        {"conf": {}},
        {"conf": {"day": "2026-11-20"}},
        {"logical_date": OLD, "conf": None, "created_at": None},
    ],
)
def test_without_a_note_age_and_conf_say_that_it_is_not(seen: dict[str, Any]) -> None:
    assert not is_ours(run(note=None, **seen), order())


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"note": ""},
        {"conf": None},
        {"created_at": None, "logical_date": None, "conf": None},
        {"created_at": ASKED - timedelta(seconds=59)},
    ],
)
def test_without_a_note_age_and_conf_say_that_it_may_be_ours(seen: dict[str, Any]) -> None:
    assert is_ours(run(**({"note": None} | seen)), order())


def test_without_a_note_a_run_of_another_date_is_not_ours() -> None:
    dated = order(logical_date=DATE + timedelta(microseconds=7))
    assert is_ours(run(note=None, logical_date=DATE), dated)
    assert is_ours(run(note=None, logical_date=None), dated)
    assert not is_ours(run(note=None, logical_date=DATE - timedelta(seconds=1)), dated)

"""Whatever is seen, in whatever order it comes: what every chain of steps ends with."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from groundcrew.environment import Environment
from groundcrew.ways.seen import Dag, Run
from runs.order import Order
from runs.plan import UNSEEN, Begin, Confirm, Look, Plan, Reject, Seen, Wait
from runs.planner import ENDING, PATIENCE, decide, is_ours, note
from tests.support.runs.stories import ASKED, DATE, EXPIRY, environment, foreign, order, run

BEFORE_ANYTHING = {"EnvironmentGone", "Off", "NotAllowed"}
"""Rejections for which no run is looked for: nobody can, or nothing may have been started."""

STATUSES = [*sorted(ENDING), "AVAILABLE", "UPDATE_FAILED", "UPDATING", "PENDING", "NEVER_HEARD_OF"]
MOMENTS = [ASKED, EXPIRY - timedelta(seconds=1), EXPIRY, EXPIRY + PATIENCE, EXPIRY + timedelta(days=10)]

moments = st.none() | st.sampled_from([*MOMENTS, DATE, ASKED - timedelta(days=1)])
confs = st.sampled_from([None, {}, {"day": "2026-11-21"}, {"day": "2026-11-20"}])
notes = st.sampled_from([None, "", "by hand", note(order()), note(order(request_id="ticket-2")), note(order(note="x"))])
runs = st.none() | st.builds(
    Run,
    run_id=st.just("groundcrew__ticket-1"),
    state=st.sampled_from(["queued", "running", "success", "failed", ""]),
    conf=confs,
    note=notes,
    logical_date=moments,
    created_at=moments,
    start_date=moments,
    end_date=moments,
)
orders = st.builds(
    order,
    if_paused=st.sampled_from(["reject", "unpause", "queue"]),
    logical_date=st.sampled_from([None, DATE]),
    note=st.sampled_from(["", "for the ticket"]),
    conf=confs.map(lambda conf: conf or {}),
)
environments = st.builds(
    environment,
    status=st.sampled_from(STATUSES),
    tags=st.sampled_from([{}, {"groundcrew:runs": "off"}, {"groundcrew:runs": "nightly"}]),
)


@dataclass(frozen=True)
class World:
    """What is really there, to be seen when it is looked at."""

    environment: Environment
    policy_allows: bool
    dag: Dag | None
    run: Run | None
    twin: Run | None
    import_errors: tuple[str, ...]
    conflict: bool  # Airflow has such a run when it is asked to start one
    failure: Reject | None  # what it has against a start


worlds = st.builds(
    World,
    environment=environments,
    policy_allows=st.booleans(),
    dag=st.none() | st.builds(Dag, is_paused=st.booleans(), has_import_errors=st.booleans()),
    run=runs,
    twin=st.sampled_from([None, foreign(run_id="by-hand"), run()]),
    import_errors=st.sampled_from([(), ("/dags/a.py",)]),
    conflict=st.booleans(),
    failure=st.sampled_from([None, Reject("BadConf", "no such parameter", "Correct it.")]),
)


def chain(asked: Order, world: World, now: Any) -> list[tuple[Seen, Plan]]:
    """Each step with what was known before it; a start that Airflow refuses is told to the planner."""
    seen = Seen(world.environment, policy_allows=world.policy_allows)
    steps: list[tuple[Seen, Plan]] = []
    while True:
        plan = decide(asked, seen, now)
        steps.append((seen, plan))
        assert len(steps) < 9, "it does not end"
        if isinstance(plan, Look):
            assert getattr(seen, plan.what) is UNSEEN, "it looks again at what it has seen"
            seen = replace(seen, **{plan.what: getattr(world, plan.what)})
        elif isinstance(plan, Begin) and (world.conflict or world.failure):
            assert not seen.refused, "it starts again what was refused"
            assert not seen.failure, "it starts again what failed"
            seen = replace(seen, refused=world.conflict, failure=world.failure)
        else:
            return steps


anything = given(orders, worlds, st.sampled_from(MOMENTS))
many = settings(max_examples=300, deadline=None)


@many
@anything
def test_it_ends_and_looks_at_nothing_twice(asked: Order, world: World, now: Any) -> None:
    assert not isinstance(chain(asked, world, now)[-1][1], Look)


@many
@anything
def test_nothing_is_rejected_that_may_have_been_started(asked: Order, world: World, now: Any) -> None:
    seen, plan = chain(asked, world, now)[-1]
    if isinstance(plan, Reject) and plan.cause not in BEFORE_ANYTHING:
        assert seen.run is None or (isinstance(seen.run, Run) and not is_ours(seen.run, asked))


@many
@anything
def test_nothing_is_started_that_must_not_be(asked: Order, world: World, now: Any) -> None:
    for _, plan in chain(asked, world, now):
        if isinstance(plan, Begin):
            assert now < asked.expires_at
            assert world.environment.status in {"AVAILABLE", "UPDATE_FAILED"}
            assert world.environment.tags.get("groundcrew:runs") != "off"
            assert world.policy_allows
            assert world.dag is not None
            assert not world.dag.has_import_errors
            assert not (world.dag.is_paused and asked.if_paused == "reject")
            assert plan.unpause == (world.dag.is_paused and asked.if_paused == "unpause")


@many
@anything
def test_only_what_is_ours_is_confirmed(asked: Order, world: World, now: Any) -> None:
    plan = chain(asked, world, now)[-1][1]
    if isinstance(plan, Confirm):
        assert plan.run is world.run
        assert is_ours(plan.run, asked)


@many
@anything
def test_after_its_expiry_an_order_waits_no_longer(asked: Order, world: World, now: Any) -> None:
    plan = chain(asked, world, now)[-1][1]
    if isinstance(plan, Wait):
        assert now < asked.expires_at
        assert 0 < plan.seconds <= 600


@many
@anything
def test_whoever_is_conflicted_with_is_named(asked: Order, world: World, now: Any) -> None:
    """After a refusal a run that is not ours is rejected by name; nothing is taken for ours because of the refusal."""
    seen, plan = chain(asked, world, now)[-1]
    if seen.refused and not seen.failure and isinstance(seen.run, Run):
        assert isinstance(plan, Confirm) is is_ours(seen.run, asked)
        assert isinstance(plan, Confirm) or (isinstance(plan, Reject) and plan.cause == "RunIdTaken")


@many
@given(runs.filter(bool), orders)
def test_a_note_decides_alone(found: Run, asked: Order) -> None:
    if found.note:
        assert is_ours(found, asked) is (note(asked).splitlines()[-1] in found.note.splitlines())
    elif is_ours(found, asked):
        assert found.conf in (None, asked.conf)

"""Whatever happens in whatever order: environments converge, nothing foreign changes, nothing goes without proof."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from endpoints import removal, sqs_policy
from endpoints.ownership import ENVIRONMENT, PURPOSE, STACK, Owner
from groundcrew.aws import airflow
from groundcrew.errors import NotFound
from tests.faults.fleet import Fleet
from tests.support.figures import Figure
from tests.support.stage import SPOKE, SPOKE2, open_stage

IN_CI = settings(
    max_examples=20,
    stateful_step_count=25,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
"""The same sequences in every run. To get the shortest that fails, add ``Phase.shrink``: that takes minutes."""

CONTROL = settings(IN_CI, max_examples=60)
"""Enough to find what is broken on purpose."""

numbers = st.integers(min_value=0, max_value=7)
accesses = st.sampled_from(["PRIVATE_ONLY", "PUBLIC_ONLY"])
calls = 0


class Interleavings(RuleBasedStateMachine):
    """Three names, two of them the same in two accounts; two VPCs that all may use."""

    def __init__(self) -> None:
        super().__init__()
        self._undo = ExitStack()
        self.fleet = Fleet(self._undo.enter_context(open_stage()))
        # Client tokens change with the hour: with this cloud's, not with the hour at which the test happens to run.
        clock = SimpleNamespace(time=self.fleet.stage.aws.clock.now)
        self._undo.enter_context(mock.patch("endpoints.act.time", clock))

    def teardown(self) -> None:
        global calls  # noqa: PLW0603 - only counted
        try:
            self.fleet.converged()
            self.fleet.ended()
        finally:
            calls += len(self.fleet.stage.aws.journal)
            self._undo.close()

    def _one(self, number: int, found: list[Any]) -> Any:
        return found[number % len(found)]

    # ----------------------------------------------------------------------------------------------------- environments
    @rule(
        who=st.sampled_from([(SPOKE, "data"), (SPOKE2, "data"), (SPOKE, "more")]),
        place=st.integers(min_value=0, max_value=1),
        access=accesses,
    )
    def create(self, who: tuple[str, str], place: int, access: str) -> None:
        self.fleet.create(*who, place, access)

    @initialize(access=accesses, run=st.booleans())
    def two_environments_share_a_vpc(self, access: str, run: bool) -> None:
        self.fleet.create(SPOKE, "data", 0, access)
        self.fleet.create(SPOKE2, "data", 0, "PUBLIC_ONLY")
        if run:
            self.fleet.work_off()

    @precondition(lambda self: self.fleet.environments)
    @rule(number=numbers, access=accesses, more_groups=st.booleans())
    def update(self, number: int, access: str, more_groups: bool) -> None:
        self.fleet.update(self._one(number, self.fleet.environments), access, more_groups=more_groups)

    @precondition(lambda self: self.fleet.environments)
    @rule(number=numbers)
    def delete(self, number: int) -> None:
        self.fleet.delete(self._one(number, self.fleet.environments))

    @precondition(lambda self: self.fleet.environments)
    @rule(number=numbers, access=accesses, place=st.integers(min_value=0, max_value=1))
    def recreate(self, number: int, access: str, place: int) -> None:
        environment = self._one(number, self.fleet.environments)
        self.fleet.delete(environment)
        self.fleet.create(environment.caller.account, environment.name, place, access)

    # ------------------------------------------------------------------------------------------------------------ hands
    @precondition(lambda self: self.fleet.environments)
    @rule(number=numbers, right=st.booleans())
    def a_foreign_endpoint_appears(self, number: int, right: bool) -> None:
        self.fleet.foreign(self._one(number, self.fleet.environments), right=right)

    @precondition(lambda self: self.fleet.endpoints(ours=False))
    @rule(number=numbers)
    def a_foreign_endpoint_disappears(self, number: int) -> None:
        self.fleet.remove(self._one(number, self.fleet.endpoints(ours=False)))

    @precondition(lambda self: self.fleet.endpoints(ours=True))
    @rule(number=numbers)
    def an_endpoint_of_ours_is_deleted(self, number: int) -> None:
        self.fleet.remove(self._one(number, self.fleet.endpoints(ours=True)))

    @precondition(lambda self: self.fleet.endpoints(ours=True))
    @rule(number=numbers, key=st.sampled_from([STACK, ENVIRONMENT, PURPOSE]), of_group=st.booleans())
    def a_tag_is_removed(self, number: int, key: str, of_group: bool) -> None:
        endpoint = self._one(number, self.fleet.endpoints(ours=True))
        group = self.fleet.stage.aws.ec2.groups.get(endpoint.groups[0])
        self.fleet.untag(group if of_group else endpoint, key)

    @rule(name=st.sampled_from(["second", "third"]), drop_ours=st.booleans())
    def the_policy_is_edited(self, name: str, drop_ours: bool) -> None:
        self.fleet.edit_policy(name, drop_ours=drop_ours)

    # --------------------------------------------------------------------------------------------- messages and workers
    @rule(seconds=st.sampled_from([1, 30, 900]))
    def time_passes(self, seconds: int) -> None:
        self.fleet.pass_time(seconds)

    @rule()
    def sweep(self) -> None:
        self.fleet.sweep()

    @precondition(lambda self: self.fleet.messages)
    @rule(number=numbers, again=st.booleans())
    def a_worker_takes_a_message(self, number: int, again: bool) -> None:
        self.fleet.deliver(number, again=again)

    @precondition(lambda self: self.fleet.messages)
    @rule(number=numbers)
    def a_message_is_lost(self, number: int) -> None:
        self.fleet.messages.remove(self._one(number, self.fleet.messages))

    @precondition(lambda self: len(self.fleet.messages) > 1)
    @rule(number=numbers, other=numbers, nth=st.integers(min_value=1, max_value=20))
    def a_worker_in_the_middle_of_another(self, number: int, other: int, nth: int) -> None:
        self.fleet.deliver(number, nth=nth, act=lambda: self.fleet.deliver_inside(other))

    @precondition(lambda self: self.fleet.messages and self.fleet.environments)
    @rule(number=numbers, other=numbers, nth=st.integers(min_value=1, max_value=20))
    def an_environment_is_deleted_in_the_middle_of_a_worker(self, number: int, other: int, nth: int) -> None:
        environment = self._one(other, self.fleet.environments)
        self.fleet.deliver(number, nth=nth, act=lambda: self.fleet.delete(environment, unfinished=True))


def test_every_interleaving_converges(figure: Figure) -> None:
    before = calls
    run_state_machine_as_test(Interleavings, settings=IN_CI)
    figure("AWS calls, random interleavings", calls - before)


# --------------------------------------------------------------------------------------------------------- the controls
@contextmanager
def takes_everything_for_its_own() -> Iterator[None]:
    """Forgets the stack's tag."""

    def owns(self: Owner, resource: Any, arn: str) -> bool:
        return "com.amazonaws.vpce." in getattr(resource, "service", "") or self.made(resource)

    with mock.patch.object(Owner, "owns", owns):
        yield


@contextmanager
def deletes_what_it_cannot_find() -> Iterator[None]:
    """Takes an environment that it cannot read, once it runs, for one that is gone."""

    def get(*args: Any) -> Any:
        environment = airflow.get_environment(*args)
        if environment.status == "AVAILABLE":
            raise NotFound("not now")
        return environment

    with mock.patch(
        "endpoints.reconcile.airflow", SimpleNamespace(get_environment=get, list_environments=lambda *_: [])
    ):
        yield


@contextmanager
def writes_only_its_own_statement() -> Iterator[None]:
    """Puts a policy in place of the owner's."""
    with mock.patch.object(sqs_policy, "others", return_value=[]):
        yield


@contextmanager
def leaves_groups_behind() -> Iterator[None]:
    """Is done when the endpoints are gone."""
    plan = removal.plan_removal

    def without_groups(environment: Any, site: Any, *args: Any) -> Any:
        return plan(environment, type(site)(site.account, site.region, site.endpoints), *args)

    with mock.patch("endpoints.reconcile.plan_removal", without_groups):
        yield


CONTROLS: list[tuple[Callable[[], AbstractContextManager[None]], str]] = [
    (takes_everything_for_its_own, "without proof"),
    (deletes_what_it_cannot_find, "without proof"),
    (writes_only_its_own_statement, "was changed"),
    (leaves_groups_behind, "is left"),
]


@pytest.mark.parametrize(("broken", "caught"), CONTROLS, ids=[control[0].__name__ for control in CONTROLS])
def test_a_broken_product_is_caught(broken: Callable[[], AbstractContextManager[None]], caught: str) -> None:
    with broken(), pytest.raises(AssertionError, match=caught):
        run_state_machine_as_test(Interleavings, settings=CONTROL)

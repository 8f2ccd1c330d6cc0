"""Locks in DynamoDB: one at a time, and never for ever."""

import time
from unittest import mock

import pytest

from groundcrew.aws.cli import StillRunning
from groundcrew.aws.locks import Locks
from groundcrew.errors import TransientError
from localcloud.inprocess.faults import Kind
from tests.support.stage import REGION
from tests.support.worlds import World

NAME = "cli/222222222222/us-east-1/data"


@pytest.fixture
def locks(world: World) -> Locks:
    world.table("groundcrew-locks")
    return Locks("groundcrew-locks", REGION)


def test_one_at_a_time(locks: Locks) -> None:
    with (
        locks.held(NAME, 300),
        pytest.raises(TransientError, match="held by somebody else") as caught,
        locks.held(NAME, 300),
    ):
        pass
    assert caught.value.cause == "Busy"
    with locks.held(NAME, 300), locks.held(f"{NAME}-2", 300):
        pass


def test_a_lock_opens_by_itself(locks: Locks) -> None:
    locks.lease(NAME, "gone", 300)
    later = time.time() + 301
    with mock.patch("groundcrew.aws.locks.time.time", return_value=later), locks.held(NAME, 300):
        pass


def test_its_holder_may_keep_it_and_only_its_holder_may_open_it(locks: Locks) -> None:
    locks.lease(NAME, "export", 300)
    locks.lease(NAME, "export", 300)
    locks.release(NAME, "another")
    with pytest.raises(TransientError):
        locks.lease(NAME, "another", 300)
    locks.release(NAME, "export")
    locks.lease(NAME, "another", 300)


@pytest.mark.parametrize(("error", "stays"), [(ValueError("wrong"), False), (StillRunning("sent", cause="x"), True)])
def test_it_stays_shut_only_while_a_command_may_be_running(locks: Locks, error: Exception, stays: bool) -> None:
    with pytest.raises(type(error)), locks.held(NAME, 300):
        raise error
    if stays:
        with pytest.raises(TransientError):
            locks.lease(NAME, "another", 300)
    else:
        locks.lease(NAME, "another", 300)


def test_a_lock_whose_answer_was_lost_is_the_callers(world: World, locks: Locks) -> None:
    world.aws.faults.add(Kind.TIMED_OUT_AFTER, "dynamodb:PutItem", attempts=1)
    with locks.held(NAME, 300):
        pass


def test_a_table_that_is_missing_is_not_the_askers_fault(world: World) -> None:
    world.aws.faults.add(Kind.DENIED, "dynamodb:PutItem")
    with pytest.raises(TransientError):
        Locks("groundcrew-locks", REGION).lease(NAME, "export", 300)

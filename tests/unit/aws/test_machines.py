"""Executions of state machines: started once by name."""

from groundcrew.aws import machines
from localcloud.inprocess.faults import Kind
from tests.support.stage import REGION
from tests.support.worlds import World


def started(world: World) -> list[str | None]:
    return [call.error for call in world.aws.calls("states:StartExecution")]


def test_the_same_start_again_changes_nothing(world: World) -> None:
    machine = world.machine("groundcrew-runs")
    for content in ({"n": 1, "a": 2}, {"a": 2, "n": 1}, {"n": 3}):
        machines.start(machine, "request-1", content, REGION)
    machines.start(machine, "request-2", {"n": 1}, REGION)
    assert started(world) == [None, None, "ExecutionAlreadyExists", None]


def test_a_start_whose_answer_was_lost_is_one(world: World) -> None:
    machine = world.machine("groundcrew-runs")
    world.aws.faults.add(Kind.TIMED_OUT_AFTER, "states:StartExecution", attempts=1)
    machines.start(machine, "request-1", {}, REGION)
    assert started(world) == [None, None]

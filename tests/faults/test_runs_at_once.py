"""Two workers at the same order at the same time: at every single call of the first, the second does its whole work."""

import pytest

from tests.faults.runs_harness import FLEET, judged, play
from tests.faults.runs_scenarios import (
    Prepare,
    by_command_line_on_2,
    by_command_line_on_3,
    conflict,
    lost_start,
    start_on_2,
    start_on_3,
    start_where_nulls_are_dropped,
    unpause,
    wait,
)
from tests.support.at_once import in_the_middle
from tests.support.figures import Figure
from tests.support.runs.hub import Hub, Message, open_hub

TWICE: tuple[Prepare, ...] = (
    start_on_2,
    start_on_3,
    start_where_nulls_are_dropped,
    unpause,
    wait,
    by_command_line_on_2,
    by_command_line_on_3,
    lost_start,
    conflict,
)


def doubled(hub: Hub) -> tuple[Message, Message]:
    """The message in the queue, and a copy of it."""
    (first,) = hub.messages
    second = Message(first.queue, first.body, first.at, first.sent, first.received)
    hub.messages.append(second)
    return first, second


@pytest.mark.parametrize("scenario", TWICE, ids=lambda scenario: scenario.__name__)
def test_a_second_worker_in_the_middle_of_the_first(scenario: Prepare, figure: Figure) -> None:
    nth, fired = 0, True
    while fired:
        nth += 1
        with open_hub(FLEET) as hub:
            wanted = scenario(hub)
            first, second = doubled(hub)
            with in_the_middle(hub.stage.aws, nth, lambda: hub.deliver(second)) as done:  # noqa: B023 - used at once
                hub.deliver(first)
            fired = bool(done)
            play(hub)
            assert judged(hub, wanted) == [], nth
    figure("DAG runs, two workers at once", nth - 1)

"""AWS's limits are respected, and nobody waits behind a sweep: a small fleet in the simulation of ``make bench``."""

from collections.abc import Iterator

import pytest

from bench.limits import Limits
from bench.scale import DELAY, event_alone, event_among, storm
from bench.simulation import ROUTINE_AT_ONCE, Simulation, simulation
from bench.timeline import Timeline

ACCOUNTS = [f"{number:012}" for number in range(400, 406)]
SIZE = 30


@pytest.fixture
def simulated() -> Iterator[Simulation]:
    with simulation(ACCOUNTS) as opened:
        yield opened


def _swept(simulated: Simulation) -> list[object]:
    simulated.running(SIZE, ACCOUNTS)
    facts: list[object] = []
    simulated.run(lambda: facts.extend(simulated.sweep()))
    assert len(facts) == SIZE
    return facts


def test_time_passes_only_while_all_wait() -> None:
    timeline, seen = Timeline(), []

    def wait(name: str, *pauses: float) -> None:
        for pause in pauses:
            timeline.sleep(pause)
            seen.append((name, timeline.now))

    timeline.start(lambda: wait("slow", 2.0, 2.0))
    timeline.start(lambda: wait("fast", 1.0, 2.0))
    timeline.run()
    assert seen == [("fast", 1.0), ("slow", 2.0), ("fast", 3.0), ("slow", 4.0)]


def test_a_bucket_empties_and_fills_again() -> None:
    now = 0.0
    limits = Limits(lambda: now)
    create = ("1" * 12, "us-east-1", "ec2:CreateVpcEndpoint")
    assert [limits.take(*create) for _ in range(5)] == [True] * 4 + [False]
    assert limits.take("2" * 12, *create[1:])
    now = 4.0
    assert [limits.take(*create) for _ in range(2)] == [True, False]
    assert limits.throttled == 2


def test_an_event_is_not_behind_a_sweep(simulated: Simulation) -> None:
    facts = _swept(simulated)
    idle = event_alone(simulated, ACCOUNTS[0])
    busy, routine = event_among(simulated, ACCOUNTS[0], facts)
    assert busy <= DELAY * idle < routine


def test_in_one_queue_it_would_be(simulated: Simulation) -> None:
    facts = _swept(simulated)
    idle = event_alone(simulated, ACCOUNTS[0])
    assert event_among(simulated, ACCOUNTS[0], facts, one_queue=True)[0] > DELAY * idle


@pytest.mark.parametrize(("at_once", "bursts"), [(ROUTINE_AT_ONCE, False), (4 * SIZE, True)])
def test_what_a_sweep_saw_is_worked_on_without_a_burst(simulated: Simulation, at_once: int, bursts: bool) -> None:
    facts = _swept(simulated)
    routine = simulated.queue(at_once)
    routine.put(*facts * 4)
    simulated.run(routine.work)
    assert bool(simulated.limits.throttled) is bursts
    assert routine.dead == 0


def test_more_environments_at_once_than_aws_lets_us_help(simulated: Simulation) -> None:
    """Retries and pauses outlast the limits, without anybody's help."""
    environments = simulated.fill(10, ACCOUNTS)
    _, dead = storm(simulated, environments)
    assert simulated.limits.throttled > 0
    assert (dead, {environment.status for environment in environments}) == (0, {"AVAILABLE"})

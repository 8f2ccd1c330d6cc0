"""A large fleet in the simulation: how long its sweep takes, and what that does to everybody else."""

from collections.abc import Sequence

from bench.limits import bucket_of
from bench.results import Figure, NotMeasured, figure
from bench.simulation import EVENTS_AT_ONCE, ROUTINE_AT_ONCE, Simulation, simulation
from bench.size import Size
from localcloud.inprocess.aws import EPOCH
from localcloud.model.environment import Environment
from tests.support.stage import status_event

SIZES = (10, 100, 1000)
MOST_ACCOUNTS = 50
SWEEP_TIMEOUT = 600
"""Seconds (``template.yaml``)."""
SWEEP_INTERVAL = 900
"""Seconds; by then the work on what the last sweep saw should be done."""
GROWTH, DELAY = 1.2, 1.2
STORM = 60
"""Environments that are created at the same moment, in VPCs of one account."""
PATIENCE = 5
"""How much longer a storm may take than AWS's limits alone would make it."""


def measure(size: Size) -> list[Figure]:
    """All figures of the simulation."""
    sizes = [size.of(full) for full in SIZES]
    fleets = [_fleet(one) for one in sizes]
    _, medium, large = sizes
    against = f"calls of an environment, of {large:,} and of {medium:,}"
    growth = fleets[2][1] / large / (fleets[1][1] / medium)
    figures = [one for made, _ in fleets for one in made]
    return [*figures, figure("fleet.simulated_growth", [growth], "ratio", against, GROWTH), *_storm(size.of(STORM))]


def _fleet(size: int) -> tuple[list[Figure], int]:
    """A sweep of a healthy fleet and the work that follows; and an event in the middle of that."""
    accounts = [f"{number:012}" for number in range(400, 400 + max(1, min(MOST_ACCOUNTS, size // 20)))]
    with simulation(accounts) as simulated:
        simulated.running(size, accounts)
        idle = event_alone(simulated, accounts[0])
        since, throttled = len(simulated.stage.aws.journal), simulated.limits.throttled
        facts: list[object] = []
        sweep = simulated.run(lambda: facts.extend(simulated.sweep()))
        busy, routine = event_among(simulated, accounts[0], facts)
        throttled = simulated.limits.throttled - throttled
        calls = len(simulated.stage.aws.journal) - since
    if len(facts) != size + 1:  # and the one whose event came alone
        raise NotMeasured(f"a sweep of {size} environments saw {len(facts)}")
    name, of = f"fleet.simulated_{size}", f"{len(accounts)} accounts, all VPCs in one more, AWS's limits"
    return [
        figure(f"{name}_sweep_seconds", [sweep], "s", of, SWEEP_TIMEOUT),
        figure(f"{name}_routine_seconds", [routine], "s", f"{ROUTINE_AT_ONCE} at once; before the next sweep", 900),
        figure(f"{name}_calls_per_environment", [calls / size], "calls", "sweep and the work that follows, with STS"),
        figure(f"{name}_throttled", [throttled], "calls", of, 0),
        figure(f"{name}_event_idle_seconds", [idle], "s", "from event to both endpoints, nothing else to do"),
        figure(f"{name}_event_busy_seconds", [busy], "s", "the same, behind a sweep", idle * DELAY),
    ], calls


def event_alone(simulated: Simulation, account: str) -> float:
    """Seconds from MWAA's event to the environment's endpoints, while nothing else happens."""
    return event_among(simulated, account, [], name="alone")[0]


def event_among(
    simulated: Simulation, account: str, facts: Sequence[object], *, name: str = "among", one_queue: bool = False
) -> tuple[float, float]:
    """The same, while what a sweep saw is worked on; and the seconds until that is done."""
    (environment,) = simulated.fill(1, [account], name)
    began = simulated.timeline.now
    events, routine = simulated.queue(EVENTS_AT_ONCE), simulated.queue(ROUTINE_AT_ONCE)
    (events if one_queue else routine).put(*facts)
    events.put(simulated.stamped(status_event(environment)))
    simulated.run(events.work, routine.work)
    services = (environment.database_service, environment.webserver_service)
    created = [e.created - EPOCH for e in simulated.stage.aws.endpoints() if e.service in services]
    if len(created) != len(services):
        raise NotMeasured(f"{environment.name} has {len(created)} endpoints")
    return max(created) - began, routine.done_at - began


def _storm(size: int) -> list[Figure]:
    """All at once, in one account: far more than AWS lets it create in that time."""
    with simulation(["400000000000"]) as simulated:
        environments = simulated.fill(size, ["400000000000"])
        seconds, dead = storm(simulated, environments)
        if not dead and any(environment.status != "AVAILABLE" for environment in environments):
            raise NotMeasured("an environment of the storm did not become AVAILABLE")
    capacity, refill = bucket_of("ec2:CreateVpcEndpoint")
    least = (2 * size - capacity) / refill
    against = f"{size} environments at once in one account; AWS creates their endpoints in {least:.0f} s at best"
    return [
        figure(f"fleet.storm_{size}_seconds", [seconds], "s", against, PATIENCE * least),
        figure(f"fleet.storm_{size}_dead_letters", [dead], "messages", against, 0),
    ]


def storm(simulated: Simulation, environments: Sequence[Environment]) -> tuple[float, int]:
    """Everybody's event at the same moment: seconds until all are done, and messages that were given up."""
    events = simulated.queue(EVENTS_AT_ONCE)
    events.put(*(simulated.stamped(status_event(environment)) for environment in environments))
    seconds = simulated.run(events.work)
    simulated.pass_time(60)
    return seconds, events.dead

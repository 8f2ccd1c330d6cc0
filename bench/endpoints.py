"""Part ``endpoints``: the worker's cold start, and the calls it makes."""

from collections.abc import Callable
from pathlib import Path

from bench.cold_start import PAIRS, compare
from bench.lambda_process import HUB, Code, FunctionProcess, function_process
from bench.results import Figure, NotMeasured, figure
from bench.size import Size
from bench.world import SPOKE, Built, World, world
from localcloud.model.environment import Environment

BARE = Code(Path(__file__).parent / "bare", "bare_endpoints.handler")
HANDLER = "endpoints.handler.handler"
FREE = ("sts:", "ssm:")
"""Calls that are not counted."""
NOTHING_TO_DO = 4
"""Calls that an environment may cost that needs nothing."""
OBSERVATIONS = 5
"""What is looked at before endpoints are made, once each: environment, subnets, endpoints, groups, route tables."""
LOOKS = 3
"""How often a removal is looked at: endpoints first, then the group they used, then nothing is left."""
LONG = 300
"""Seconds in which everything that was started has come to its end."""

Case = Callable[[World], Environment]


def private(place: World) -> Environment:
    """Web server in the VPC, which the hub owns."""
    return place.pending(place.subnets(HUB, SPOKE), access="PRIVATE_ONLY")


def public(place: World) -> Environment:
    """Web server on the internet, the rest in a VPC that the hub owns."""
    return place.pending(place.subnets(HUB, SPOKE), access="PUBLIC_ONLY")


def own_vpc(place: World) -> Environment:
    """In a VPC of the environment's own account."""
    return place.pending(place.subnets(SPOKE), access="PRIVATE_ONLY")


CASES: dict[str, Case] = {"private": private, "public": public, "own_vpc": own_vpc}


def measure(built: Built, size: Size) -> list[Figure]:
    """All figures of this part."""
    figures = _cold_start(built, size)
    for name, case in CASES.items():
        figures += _life(built, name, case)
    return figures


def _cold_start(built: Built, size: Size) -> list[Figure]:
    """The event that comes most: an environment with all it needs has changed its status."""
    with world() as place:
        environment = private(place)
        worker, variables = built.function(HANDLER), place.variables("endpoints")
        with function_process(worker, variables) as process:
            process.invoke(place.status_change(environment))
        place.aws.clock.advance(LONG)
        message = place.status_change(environment)
        return compare("endpoints.cold_start", worker, BARE, place, variables, message, pairs=size.times(PAIRS))


def _life(built: Built, name: str, case: Case) -> list[Figure]:
    """The calls for one environment: when it waits, when it runs, when it is gone.

    Raises:
        NotMeasured: its endpoints did not come, or did not go.
    """
    with world() as place:
        environment = case(place)
        with function_process(built.function(HANDLER), place.variables("endpoints")) as worker:
            answer, _ = worker.invoke(place.request(environment, dry_run=True))
            actions = sum(len(plan["actions"]) for plan in answer["plans"])
            creation = _calls(place, worker, environment)
            if environment.status != "AVAILABLE":
                raise NotMeasured(f"{name}: the environment is {environment.status}")
            running = _calls(place, worker, environment)
            place.aws.delete_environment(environment)
            place.aws.clock.advance(LONG)
            for _ in range(LOOKS):
                gone = _calls(place, worker, environment)
            if left := place.aws.endpoints():
                raise NotMeasured(f"{name}: endpoints are left: {left}")
    made_of = f"{actions} actions + {OBSERVATIONS} looks + 1 to wait"
    besides = "besides STS and SSM"
    return [
        figure(f"endpoints.calls_creation_{name}", [creation], "calls", made_of, actions + OBSERVATIONS + 1),
        figure(f"endpoints.calls_nothing_to_do_{name}", [running], "calls", besides, NOTHING_TO_DO),
        figure(f"endpoints.calls_nothing_to_do_gone_{name}", [gone], "calls", besides, NOTHING_TO_DO),
    ]


def _calls(place: World, worker: FunctionProcess, environment: Environment) -> int:
    """The calls for one message about an environment; what they start has time to end."""
    since = len(place.aws.journal)
    worker.invoke(place.status_change(environment))
    made = place.aws.journal[since:]
    place.aws.clock.advance(LONG)
    return sum(not entry.operation.startswith(FREE) for entry in made)

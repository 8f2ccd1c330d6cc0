"""Part ``fleet``: the sweep's cold start, and what a sweep of many environments takes."""

from pathlib import Path

from bench import scale
from bench.cold_start import compare
from bench.lambda_process import HUB, Code, function_process
from bench.results import Figure, NotMeasured, figure
from bench.world import SPOKE, Built, World, plug_in, world

BARE = Code(Path(__file__).parent / "bare", "bare_sweep.handler")
SIZES = (10, 100, 1000)
MOST_ACCOUNTS = 50
RUNS = 3
MOST_MEMORY = 256
"""MB that a sweep may take: half of what the function has."""
GROWTH = 1.2
"""What an environment may cost in a fleet ten times as large, in terms of what it costs in the smaller one."""


def measure(built: Built) -> list[Figure]:
    """All figures of this part."""
    figures = _cold_start(built)
    sweeps = {size: _sweep(built, size) for size in SIZES}
    figures += [one for size in SIZES for one in sweeps[size]]
    figures += [
        figure(f"fleet.sweep_growth_{what}", [large.value / small.value / times], "ratio", against, GROWTH)
        for small, large, what, times in (
            (sweeps[100][0], sweeps[1000][0], "calls", 1),
            (sweeps[100][1], sweeps[1000][1], "seconds", 10),
        )
        for against in ["an environment of 1,000 and one of 100"]
    ]
    return figures + scale.measure()


def _cold_start(built: Built) -> list[Figure]:
    with world() as small:
        _fill(small, [SPOKE], 1)
        sweep = built.function("fleet.handler.handler")
        return compare("fleet.cold_start", sweep, BARE, small, small.variables("sweep"), {})


def _sweep(built: Built, size: int) -> list[Figure]:
    """``size`` environments, evenly over at most 50 accounts, each account's in a VPC of the hub."""
    spokes = [f"{number:012}" for number in range(400, 400 + min(MOST_ACCOUNTS, size))]
    calls, seconds, peaks = [], [], []
    with world([HUB, *spokes]) as fleet:
        _fill(fleet, spokes, size // len(spokes))
        for _ in range(RUNS):
            since = len(fleet.aws.journal)
            with function_process(built.function("fleet.handler.handler"), fleet.variables("sweep")) as function:
                answer, at = function.invoke({})
                peaks.append(function.peak_megabytes)
            if answer["environments"] != size or answer["troubles"]:
                raise NotMeasured(f"a sweep of {size} environments answers {answer}")
            seconds.append(at - function.started)
            calls.append((len(fleet.aws.journal) - since) / size)
    fleet_of = f"{len(spokes)} accounts and the hub"
    return [
        figure(f"fleet.sweep_{size}_calls_per_environment", calls, "calls", f"{fleet_of}; STS counted"),
        figure(f"fleet.sweep_{size}_seconds", seconds, "s", f"{fleet_of}; cold, AWS answers at once"),
        figure(f"fleet.sweep_{size}_peak_memory", peaks, "MB", "the function's process", MOST_MEMORY),
    ]


def _fill(fleet: World, spokes: list[str], each: int) -> None:
    """Environments with their endpoints, in each spoke."""
    for account in spokes:
        subnets = fleet.subnets(HUB, account)
        for number in range(each):
            plug_in(fleet.aws, fleet.pending(subnets, account, f"orders-{number}"))
    fleet.aws.clock.advance(300)

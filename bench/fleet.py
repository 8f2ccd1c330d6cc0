"""Part ``fleet``: the sweep's cold start, and what a sweep of many environments takes."""

from pathlib import Path

from bench import scale
from bench.cold_start import PAIRS, compare
from bench.lambda_process import HUB, Code, function_process
from bench.results import Figure, NotMeasured, figure
from bench.size import Size
from bench.world import SPOKE, Built, World, plug_in, world

BARE = Code(Path(__file__).parent / "bare", "bare_sweep.handler")
SIZES = (10, 100, 1000)
MOST_ACCOUNTS = 50
RUNS = 3
MOST_MEMORY = 256
"""MB that a sweep may take: half of what the function has."""
GROWTH = 1.2
"""What an environment may cost in a fleet ten times as large, in terms of what it costs in the smaller one."""


def measure(built: Built, size: Size) -> list[Figure]:
    """All figures of this part."""
    figures = _cold_start(built, size)
    sizes = [size.of(full) for full in SIZES]
    sweeps = [_sweep(built, one, size.times(RUNS)) for one in sizes]
    figures += [one for sweep in sweeps for one in sweep]
    _, medium, large = sizes
    figures += [
        figure(f"fleet.sweep_growth_{what}", [more.value / fewer.value / times], "ratio", against, GROWTH)
        for fewer, more, what, times in (
            (sweeps[1][0], sweeps[2][0], "calls", 1),
            (sweeps[1][1], sweeps[2][1], "seconds", large / medium),
        )
        for against in [f"an environment of {large:,} and one of {medium:,}"]
    ]
    return figures + scale.measure(size)


def _cold_start(built: Built, size: Size) -> list[Figure]:
    with world() as small:
        _fill(small, [SPOKE], 1)
        sweep = built.function("fleet.handler.handler")
        return compare("fleet.cold_start", sweep, BARE, small, small.variables("sweep"), {}, pairs=size.times(PAIRS))


def _sweep(built: Built, size: int, runs: int) -> list[Figure]:
    """``size`` environments, evenly over at most 50 accounts, each account's in a VPC of the hub."""
    spokes = [f"{number:012}" for number in range(400, 400 + min(MOST_ACCOUNTS, size))]
    calls, seconds, peaks = [], [], []
    with world([HUB, *spokes]) as fleet:
        _fill(fleet, spokes, size // len(spokes))
        for _ in range(runs):
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

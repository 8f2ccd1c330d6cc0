"""Part ``cleanup``: how fast metadata databases become small, and how long each step takes."""

from bench import cleanup_inside, cleanup_outside
from bench.metadata import cold_start
from bench.results import Figure
from bench.world import Built


def measure(built: Built) -> list[Figure]:
    """All figures of this part."""
    return [*cold_start(built, "cleanup"), *cleanup_inside.measure(), *cleanup_outside.measure()]

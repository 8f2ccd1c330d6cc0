"""Part ``cleanup``: how fast metadata databases become small, and how long each step takes."""

from bench import cleanup_inside, cleanup_outside
from bench.metadata import cold_start
from bench.results import Figure
from bench.size import Size
from bench.world import Built


def measure(built: Built, size: Size) -> list[Figure]:
    """All figures of this part."""
    return [*cold_start(built, "cleanup", size), *cleanup_inside.measure(size), *cleanup_outside.measure(size)]

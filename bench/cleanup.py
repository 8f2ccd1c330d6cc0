"""Part ``cleanup``: how fast metadata databases become small, and how long each step takes."""

from bench import cleanup_inside, cleanup_outside
from bench.results import Figure
from bench.world import Built


def measure(_built: Built) -> list[Figure]:
    """All figures of this part."""
    return [*cleanup_inside.measure(), *cleanup_outside.measure()]

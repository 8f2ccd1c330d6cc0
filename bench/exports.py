"""Part ``exports``."""

from bench import exports_inside, exports_outside, exports_verify
from bench.metadata import cold_start
from bench.results import Figure
from bench.size import Size
from bench.world import Built


def measure(built: Built, size: Size) -> list[Figure]:
    """All figures of this part."""
    return [
        *cold_start(built, "exports", size),
        *exports_inside.measure(size),
        *exports_outside.measure(size),
        *exports_verify.measure(size),
    ]

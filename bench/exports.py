"""Part ``exports``."""

from bench import exports_inside, exports_outside, exports_verify
from bench.metadata import cold_start
from bench.results import Figure
from bench.world import Built


def measure(built: Built) -> list[Figure]:
    """All figures of this part."""
    return [
        *cold_start(built, "exports"),
        *exports_inside.measure(),
        *exports_outside.measure(),
        *exports_verify.measure(),
    ]

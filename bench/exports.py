"""Part ``exports``."""

from bench import exports_inside, exports_outside, exports_verify
from bench.results import Figure
from bench.world import Built


def measure(_built: Built) -> list[Figure]:
    """All figures of this part."""
    return [*exports_inside.measure(), *exports_outside.measure(), *exports_verify.measure()]

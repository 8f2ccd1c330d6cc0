"""Tiers: how many of the tests a run executes.

======= ==========================================================================================================
unit    ``tests/unit`` and ``tests/template``: everything in this process
quick   those, a sample of each fault matrix, the documentation, and the tests marked ``path``
all     everything for the Airflow versions that ``make test-all`` installs
matrix  the same for every version that there is a lock for, and the tests marked ``matrix``, which take long
======= ==========================================================================================================

A test marked ``path`` follows one part of the product from end to end on the deployed local cloud or on a real Airflow.
The sample of a fault matrix is one call of each scenario and kind of fault. Which one is drawn by a checksum of the
test's name, so it is the same in every run. The product cannot tell a server error from a connection that is reset
before the call arrives: the tier ``all`` tries one half of the calls with each, and ``matrix`` all of them with both.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest

from localcloud.inprocess.faults import Kind

Case = TypeVar("Case")
Sample = Callable[[Sequence[Case]], Sequence[Case]]
Times = Callable[[int], int]

TIERS = ("unit", "quick", "all", "matrix")
MARKERS = {
    "served": "needs a served local cloud, or a real Airflow",
    "path": "one part from end to end, on the deployed local cloud or on a real Airflow",
    "matrix": "takes long: fuzzing, simulations at full size",
}
IN_PROCESS = ("tests/unit/", "tests/template/")
SHARED = (Kind.SERVER_ERROR, Kind.RESET_BEFORE)
"""The SDK tries again after either, and gives up after the same number of tries: the product sees the same error."""

SERVED = ("tests/airflow/", "tests/cloud/", "localcloud/tests/")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tier", choices=TIERS, default="all", help="how many of the tests to execute (default: all)")


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not of the tier."""
    tier = config.getoption("tier")
    chosen = [item for item in items if is_in(tier, item)]
    left_out = [item for item in items if not is_in(tier, item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = chosen


def is_in(tier: str, item: pytest.Item) -> bool:
    """True if the tier includes the test."""
    if tier == "matrix":
        return True
    if item.get_closest_marker("matrix"):
        return False
    if tier == "all" or item.nodeid.startswith(IN_PROCESS):
        return True
    if tier == "unit":
        return False
    if item.nodeid.startswith(SERVED) or item.get_closest_marker("served"):
        return item.get_closest_marker("path") is not None
    return not item.nodeid.startswith("tests/faults/") or "sample" in getattr(item, "fixturenames", ())


@pytest.fixture
def times(pytestconfig: pytest.Config) -> Times:
    """Repetitions in this tier of a step that the tier ``matrix`` repeats ``most`` times."""
    return lambda most: most if pytestconfig.getoption("tier") == "matrix" else max(2, most // 3)


@pytest.fixture
def sample(request: pytest.FixtureRequest) -> Sample[Any]:
    """Cases of a fault matrix that this tier tries: ``quick`` one, ``all`` half of them if the kind is ``SHARED``."""
    tier = request.config.getoption("tier")
    kind = request.node.callspec.params["kind"]

    def chosen(cases: Sequence[Any]) -> Sequence[Any]:
        if tier == "quick" and cases:
            return [cases[zlib.crc32(request.node.nodeid.encode()) % len(cases)]]
        if tier == "all" and kind in SHARED:
            return cases[SHARED.index(kind) :: 2]
        return cases

    return chosen

"""Which test is in which tier."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.tiers import is_in


def item(nodeid: str, *markers: str, fixtures: tuple[str, ...] = ()) -> Any:
    return SimpleNamespace(
        nodeid=nodeid,
        fixturenames=fixtures,
        get_closest_marker=lambda name: name if name in markers else None,
    )


@pytest.mark.parametrize(
    ("one", "tiers"),
    [
        (item("tests/unit/runs/test_job.py::test_a"), "unit quick all matrix"),
        (item("tests/template/test_rules.py::test_a"), "unit quick all matrix"),
        (item("tests/docs/test_commands.py::test_a"), "quick all matrix"),
        (item("tests/docs/test_on_the_local_cloud.py::test_a", "served"), "all matrix"),
        (item("tests/faults/test_every_step.py::test_a", fixtures=("sample",)), "quick all matrix"),
        (item("tests/faults/test_negative_controls.py::test_a"), "all matrix"),
        (item("tests/cloud/scenarios/test_runs.py::test_a"), "all matrix"),
        (item("tests/cloud/scenarios/test_runs.py::test_a", "path"), "quick all matrix"),
        (item("tests/airflow/test_quoting.py::test_a"), "all matrix"),
        (item("localcloud/tests/unit/test_mwaa.py::test_a"), "all matrix"),
        (item("tests/unit/runs/test_fuzz.py::test_a", "matrix"), "matrix"),
    ],
)
def test_a_test_is_in_its_tiers(one: Any, tiers: str) -> None:
    assert [tier for tier in ("unit", "quick", "all", "matrix") if is_in(tier, one)] == tiers.split()

"""Every single AWS call of a run fails in turn: one more sweep later everything is as if it had not."""

import pytest

from localcloud.inprocess.faults import Kind
from tests.faults.harness import WITHOUT_EFFECT, Case, cases, expected, problems
from tests.faults.scenarios import SCENARIOS, Prepare, deletion, public, recreation_in_another_account
from tests.support.figures import Figure
from tests.support.tiers import Sample


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name.lower())
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_one_more_sweep_heals_everything(scenario: Prepare, kind: Kind, figure: Figure, sample: Sample[Case]) -> None:
    tried = sample(list(cases(scenario, kind)))
    assert tried or kind not in WITHOUT_EFFECT
    figure("fault cases", len(tried))
    assert [problem for case in tried for problem in problems(case)] == []


@pytest.mark.parametrize(
    "kind", [Kind.DENIED, Kind.KILLED_BEFORE, Kind.KILLED_AFTER], ids=lambda kind: kind.name.lower()
)
@pytest.mark.parametrize(
    "scenario", [public, deletion, recreation_in_another_account], ids=lambda scenario: scenario.__name__
)
def test_a_sweep_that_fails_is_made_good_by_the_next(
    scenario: Prepare, kind: Kind, figure: Figure, sample: Sample[Case]
) -> None:
    tried = sample(list(cases(scenario, kind, event_lost=True)))
    figure("fault cases", len(tried))
    assert [problem for case in tried for problem in problems(case)] == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_without_a_fault_the_environments_run(scenario: Prepare) -> None:
    assert all(line.endswith(" AVAILABLE") for line in expected(scenario).picture["environments"])

"""Every single call about a DAG run fails in turn: afterwards the request has started one run, or none and says why."""

import pytest

from localcloud.inprocess.faults import Kind
from tests.faults.runs_harness import FLEET, READS, Case, cases, judged, play, problems
from tests.faults.runs_scenarios import SCENARIOS, Prepare
from tests.support.figures import Figure
from tests.support.runs.hub import open_hub
from tests.support.tiers import Sample


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name.lower())
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_request_starts_one_run_or_none_and_says_why(
    scenario: Prepare, kind: Kind, figure: Figure, sample: Sample[Case]
) -> None:
    tried = sample(list(cases(scenario, kind)))
    assert tried or kind not in READS
    figure("fault cases, DAG runs", len(tried))
    assert [problem for case in tried for problem in problems(case)] == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_without_a_fault_everything_is_as_wanted(scenario: Prepare) -> None:
    with open_hub(FLEET) as hub:
        wanted = scenario(hub)
        play(hub)
        assert judged(hub, wanted) == []
        assert not any(hub.stage.aws.small.tables.items.values()), "a lock is left shut"

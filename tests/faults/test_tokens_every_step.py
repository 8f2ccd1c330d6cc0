"""Every single call of a rotation fails, in every way, and nothing is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from groundcrew.aws import bus
from groundcrew.errors import GroundcrewError
from localcloud.inprocess.faults import Kind
from tests.faults.tokens_harness import (
    READS,
    SCENARIOS,
    Case,
    Prepare,
    Variant,
    cases,
    first_token,
    problems,
    replaced_token,
    startup_script,
)
from tests.support.figures import Figure
from tests.support.tiers import Sample
from tokens.rotate import Rotation
from tokens.shelf import Shelf
from tokens.startup import Bind


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name.lower())
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_token_is_in_place_or_it_is_said_that_there_is_none(
    scenario: Prepare, kind: Kind, figure: Figure, sample: Sample[Case]
) -> None:
    tried = sample(list(cases(scenario, kind)))
    assert tried or kind not in READS
    figure("fault cases, tokens", len(tried))
    assert [problem for case in tried for problem in problems(case)] == []


# --------------------------------------------------------------------------------------------------- negative controls
@contextmanager
def swallows_errors() -> Iterator[None]:
    """As the public samples: a rotation that failed looks like one that did not."""
    put = Shelf.put

    def swallowing(self: Shelf, *args: Any) -> str | None:
        try:
            return put(self, *args)
        except GroundcrewError:
            return None

    with mock.patch.object(Shelf, "put", swallowing):
        yield


@contextmanager
def writes_in_two_steps() -> Iterator[None]:
    """The first half is visible for a moment."""
    put = Shelf.put

    def halves(self: Shelf, content: bytes, *args: Any) -> str | None:
        self._bucket.put(self.target.key, content[: len(content) // 2])
        return put(self, content, args[0], self.held())

    with mock.patch.object(Shelf, "put", halves), mock.patch.object(Shelf, "_forget"):
        yield


@contextmanager
def forgets_to_come_back() -> Iterator[None]:
    """What went wrong for now is left at that, and nobody is told."""
    with mock.patch.object(Rotation, "_conclude", lambda self, _order, _last: _say(self)):
        yield


def _say(rotation: Rotation) -> None:
    bus.announce(rotation.facts, bus=rotation.config.bus, region=rotation.config.region)


@contextmanager
def binds_without_looking() -> Iterator[None]:
    """Every sweep restarts the environment."""
    with mock.patch("tokens.bind.decide", return_value=Bind("always", upload=True)):
        yield


@pytest.mark.parametrize(
    ("variant", "scenario", "kind", "said"),
    [
        (swallows_errors, first_token, Kind.DENIED, "nobody said so"),
        (writes_in_two_steps, replaced_token, Kind.KILLED_AFTER, "half a token"),
        (forgets_to_come_back, first_token, Kind.THROTTLED, "nobody said so"),
        (binds_without_looking, startup_script, Kind.THROTTLED, "was restarted 2 times"),
    ],
)
def test_what_is_broken_on_purpose_is_caught(variant: Variant, scenario: Prepare, kind: Kind, said: str) -> None:
    assert any(said in problem for case in cases(scenario, kind) for problem in problems(case, variant))

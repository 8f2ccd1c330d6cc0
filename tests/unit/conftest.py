from collections.abc import Iterator

import pytest

from tests.support.stage import Stage, open_stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    with open_stage() as opened:
        yield opened

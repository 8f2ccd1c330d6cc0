from collections.abc import Iterator

import pytest

from tests.support.runs.desk import Desk, open_desk
from tests.support.runs.hub import Hub, open_hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    with open_hub() as opened:
        yield opened


@pytest.fixture
def desk() -> Iterator[Desk]:
    with open_desk() as opened:
        opened.fleet()
        yield opened

from collections.abc import Iterator

import pytest

from tests.support.exports.hub import Hub, open_hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    with open_hub() as opened:
        yield opened

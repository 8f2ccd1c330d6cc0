from collections.abc import Iterator

import pytest

from tests.support.tokens.works import Works, open_works


@pytest.fixture
def works() -> Iterator[Works]:
    with open_works() as opened:
        yield opened

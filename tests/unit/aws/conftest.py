from collections.abc import Iterator

import pytest

from groundcrew.aws.session import Roles
from tests.support.stage import REGION
from tests.support.worlds import World, opened


@pytest.fixture(params=["doubles", "moto"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with opened(request.param) as found:
        yield found


@pytest.fixture
def roles() -> Roles:
    return Roles("aws", REGION, "groundcrew-test")

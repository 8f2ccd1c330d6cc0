from collections.abc import Iterator

import pytest

from groundcrew.aws.session import Roles
from tests.support.worlds import World, opened
from tests.unit.stage import REGION


@pytest.fixture(params=["doubles", "moto"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with opened(request.param) as found:
        yield found


@pytest.fixture
def roles() -> Roles:
    return Roles("aws", REGION, "groundcrew-test")

"""Secrets: the value of one that exists."""

import pytest

from groundcrew.aws.secrets import Secret
from groundcrew.aws.session import Role, Roles
from groundcrew.errors import NotFound, PermanentError
from tests.support.stage import REGION, SPOKE
from tests.support.worlds import World

FIRST, SECOND = "1" * 32, "2" * 32


@pytest.fixture
def secret(world: World, roles: Roles) -> Secret:
    return Secret(roles, Role("courier", SPOKE, REGION), world.secret("groundcrew/token", SPOKE))


def test_it_has_no_value_until_it_gets_one(secret: Secret) -> None:
    with pytest.raises(NotFound):
        secret.get()
    secret.put("one", FIRST)
    secret.put("two", SECOND)
    assert secret.get() == "two"


def test_the_same_version_again_is_the_same_value(secret: Secret) -> None:
    secret.put("one", FIRST)
    secret.put("one", FIRST)
    with pytest.raises(PermanentError) as caught:
        secret.put("two", FIRST)
    assert caught.value.cause == "ResourceExistsException"
    assert secret.get() == "one"


def test_one_that_does_not_exist_is_not_found(world: World, roles: Roles) -> None:
    gone = f"arn:aws:secretsmanager:{REGION}:{SPOKE}:secret:gone-123456"
    with pytest.raises(NotFound):
        Secret(roles, Role("courier", SPOKE, REGION), gone).put("one", FIRST)

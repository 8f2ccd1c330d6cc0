"""Bad bindings and places in trouble: each ends in a clear failure of the environments concerned, and of no others."""

from collections.abc import Callable
from typing import Any

import pytest

from localcloud.model.environment import Environment
from tests.support.stage import REGION, SPOKE, SPOKE2
from tests.support.tokens.works import Works

KEY = f"arn:aws:kms:{REGION}:{SPOKE}:key/1"


def _disabled_key(works: Works, environment: Environment) -> None:
    works.bucket(environment).kms_key = KEY
    works.stage.aws.objects.disabled_keys.add(KEY)


def _no_bucket(works: Works, environment: Environment) -> None:
    del works.stage.aws.objects.buckets[works.bucket(environment).name]


@pytest.mark.parametrize(
    ("binding", "cause"),
    [
        ({"domain": "nowhere"}, "ResourceNotFoundException"),
        ({"repositories": ["nowhere"]}, "ResourceNotFoundException"),
        ({"owner": "999999999999"}, "AccessDeniedException"),
        ({"duration_seconds": 43_201}, "InvalidBinding"),
        ({"duration_seconds": 900}, "InvalidBinding"),
        ({"duration_seconds": "12h"}, "InvalidBinding"),
        ({"repositories": []}, "InvalidBinding"),
        ({"domain": "packages; rm -rf"}, "InvalidBinding"),
        ({"delivery": "secret"}, "InvalidBinding"),
        ({"delivery": "e-mail"}, "InvalidBinding"),
        ({"unknown": True}, "InvalidBinding"),
        ({"accounts": [SPOKE2]}, "NotServed"),
        ({"accounts": []}, "InvalidBinding"),
    ],
)
def test_a_binding_that_cannot_be_served(works: Works, binding: dict[str, Any], cause: str) -> None:
    works.bind("bad", **binding)
    good, bad = works.environment("good"), works.environment("bad", binding="bad")
    works.work(works.observed(bad), works.observed(good))
    assert works.opens(good)
    assert works.held(bad) is None
    assert works.failures() == [("bad", cause)]


@pytest.mark.parametrize("tag", ["data,other", "data other", "../grants/1", "data:1", "x" * 65])
def test_a_tag_that_is_not_one_bindings_name(works: Works, tag: str) -> None:
    environment = works.environment(binding=tag)
    works.work(works.observed(environment))
    assert works.failures() == [("data", "InvalidBinding")]
    assert works.minted() == 0


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"data"', '{"domain": 1}'])
def test_a_parameter_that_is_no_binding(works: Works, content: str) -> None:
    works.stage.aws.parameters["/groundcrew/tokens/bad"] = content
    works.work(works.observed(works.environment("bad", binding="bad")))
    ((name, cause),) = works.failures()
    assert (name, cause) in [("bad", "InvalidBinding"), ("bad", "InvalidPolicy")]


@pytest.mark.parametrize("trouble", [_disabled_key, _no_bucket])
def test_a_bucket_in_trouble(works: Works, trouble: Callable[[Works, Environment], None]) -> None:
    good, bad = works.environment("good", SPOKE2), works.environment("bad")
    trouble(works, bad)
    works.work(works.observed(good), works.observed(bad))
    assert works.opens(good)
    assert {name for name, _ in works.failures()} == {"bad"}


def test_a_repository_that_is_missing_leaves_the_old_token(works: Works) -> None:
    environment = works.environment()
    works.work(works.observed(environment))
    before = works.held(environment)
    works.bind(repositories=["data", "missing"])
    works.work(works.observed(environment))
    assert works.held(environment) == before
    assert works.failures() == [("data", "ResourceNotFoundException")]

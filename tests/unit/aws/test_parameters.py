"""Policies and grants in SSM."""

import pytest

from groundcrew.aws import parameters
from groundcrew.errors import AccessDenied, NotFound, PermanentError, TransientError
from localcloud.inprocess.faults import Kind
from tests.support.stage import REGION
from tests.support.worlds import World


def test_the_object_in_a_parameter_is_read(world: World) -> None:
    world.parameter("/groundcrew/runs/x", '{"dags": ["a"]}')
    assert parameters.document("/groundcrew/runs/x", REGION) == {"dags": ["a"]}


@pytest.mark.parametrize("value", ["text", "[]", "1", "null"])
def test_a_parameter_that_holds_no_object_is_invalid(world: World, value: str) -> None:
    world.parameter("/groundcrew/runs/x", value)
    with pytest.raises(PermanentError) as caught:
        parameters.document("/groundcrew/runs/x", REGION)
    assert (caught.value.cause, caught.value.remedy) == ("InvalidPolicy", "Correct /groundcrew/runs/x.")


def test_a_parameter_may_be_missing(world: World) -> None:
    assert parameters.document_or_none("/groundcrew/runs/x", REGION) is None
    with pytest.raises(NotFound) as caught:
        parameters.document("/groundcrew/runs/x", REGION)
    assert (caught.value.cause, caught.value.remedy) == (
        "MissingPolicy",
        "Make the parameter /groundcrew/runs/x in the hub.",
    )


@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.THROTTLED], ids=lambda kind: kind.name)
def test_a_parameter_that_cannot_be_read_is_not_missing(world: World, kind: Kind) -> None:
    world.aws.faults.add(kind, "ssm:*")
    with pytest.raises((AccessDenied, TransientError)):
        parameters.document_or_none("/groundcrew/runs/x", REGION)

"""What AWS answers, in the two families; ``tests/faults`` relies on it."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from groundcrew.aws.errors import BROKEN, DENIED, MISSING, THROTTLED, translate, translated
from groundcrew.errors import AccessDenied, AlreadyExists, GroundcrewError, NotFound, PermanentError, TransientError


def answered(code: str, status: int = 400) -> GroundcrewError:
    answer = {"Error": {"Code": code, "Message": "because"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return translate(ClientError(answer, "Operation"), "doing this")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("codes", "family"),
    [
        (THROTTLED, TransientError),
        (BROKEN, TransientError),
        (DENIED, AccessDenied),
        (MISSING, NotFound),
        ({"InvalidGroup.NotFound", "InvalidVpcEndpointId.NotFound", "InvalidSubnetID.NotFound"}, NotFound),
        ({"InvalidGroup.Duplicate", "InvalidPermission.Duplicate"}, AlreadyExists),
        ({"InvalidServiceName", "VpcEndpointLimitExceeded", "DependencyViolation", "Unknown"}, PermanentError),
    ],
)
def test_a_code_says_what_to_do(codes: set[str], family: type[GroundcrewError]) -> None:
    for code in codes:
        error = answered(code)
        assert type(error) is family
        assert (error.cause, error.what) == (code, f"doing this: {code}: because")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_any_server_error_is_transient_whatever_its_code(status: int) -> None:
    assert type(answered("NeverHeardOf", status)) is TransientError


def test_a_denied_call_says_where_to_look() -> None:
    assert "service control policy" in answered("AccessDenied").remedy


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="https://x"),
        ConnectTimeoutError(endpoint_url="https://x"),
        ConnectionClosedError(endpoint_url="https://x"),
        EndpointConnectionError(endpoint_url="https://x"),
        NoCredentialsError(),
    ],
)
def test_no_answer_is_transient(error: Exception) -> None:
    with pytest.raises(TransientError) as caught, translated("doing this"):
        raise error
    assert (caught.value.cause, caught.value.__cause__) == ("NoAnswer", error)


def test_an_answer_without_anything_is_permanent() -> None:
    assert type(translate(ClientError({}, "Operation"), "doing this")) is PermanentError


def test_other_mistakes_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), translated("doing this"):
        raise ZeroDivisionError

"""The harness finds what it is there to find: three handlers broken on purpose, each caught by a case."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from endpoints import handler
from groundcrew.aws import airflow, network
from groundcrew.errors import AccessDenied, GroundcrewError, NotFound
from localcloud.inprocess.faults import Kind
from tests.faults.harness import Case, Variant, cases, problems
from tests.faults.scenarios import cross_account, nothing_to_do


@contextmanager
def creates_without_looking() -> Iterator[None]:
    """Asks nobody which endpoints are there, and gives each call another client token."""
    create = network.Network.create_endpoint

    def create_anyway(self: network.Network, request: dict[str, Any], tags: dict[str, str]) -> Any:
        return create(self, {key: value for key, value in request.items() if key != "ClientToken"}, tags)

    with (
        mock.patch.object(network.ObservedNetwork, "endpoints", return_value=[]),
        mock.patch.object(network.Network, "create_endpoint", create_anyway),
    ):
        yield


@contextmanager
def deletes_on_access_denied() -> Iterator[None]:
    """Takes "you may not look" for "it is gone"."""
    get, list_all = airflow.get_environment, airflow.list_environments

    def get_or_gone(*args: Any) -> Any:
        try:
            return get(*args)
        except AccessDenied as error:
            raise NotFound(error.what) from error

    def list_without(*args: Any) -> Any:
        return [ref for ref in list_all(*args) if ref.name != "data"]

    with (
        mock.patch("endpoints.reconcile.airflow.get_environment", get_or_gone),
        mock.patch("endpoints.reconcile.airflow.list_environments", list_without),
    ):
        yield


@contextmanager
def swallows_errors() -> Iterator[None]:
    """Says "done" whatever has happened."""
    reconcile = handler._from_queue

    def done(*args: Any) -> Any:
        try:
            return reconcile(*args)
        except GroundcrewError:
            return None

    with mock.patch("endpoints.handler._from_queue", done):
        yield


CONTROLS: list[tuple[Variant, Callable[[], Iterator[Case]], str]] = [
    (creates_without_looking, lambda: cases(cross_account, Kind.KILLED_AFTER), "endpoints: too many"),
    (deletes_on_access_denied, lambda: cases(nothing_to_do, Kind.DENIED), "deleted without proof"),
    (swallows_errors, lambda: cases(cross_account, Kind.THROTTLED), "the failed call was swallowed"),
]


@pytest.mark.parametrize(("variant", "tried", "caught"), CONTROLS, ids=[control[0].__name__ for control in CONTROLS])
def test_a_broken_handler_is_caught(variant: Variant, tried: Callable[[], Iterator[Case]], caught: str) -> None:
    found = [problem for case in tried() for problem in problems(case, variant)]
    assert any(caught in problem for problem in found), found


@pytest.mark.parametrize(("variant", "tried", "caught"), CONTROLS, ids=[control[0].__name__ for control in CONTROLS])
def test_the_handler_that_is_not_broken_is_not(
    variant: Variant, tried: Callable[[], Iterator[Case]], caught: str
) -> None:
    assert [problem for case in tried() for problem in problems(case)] == []


def test_a_fault_that_does_not_fire_is_a_problem() -> None:
    assert "the fault did not fire" in problems(Case(nothing_to_do, Kind.DENIED, 1000, "none"))[0]

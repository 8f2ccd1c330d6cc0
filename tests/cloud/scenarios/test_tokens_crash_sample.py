"""A sample of what ``tests/faults`` does in process with every call: here on deployed functions, under enforced IAM.

A call goes wrong on the way from a request to a new token. Afterwards a token that opens the index is in place, without
anybody's help, and at most one version older than it is left, until the next rotation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cloud.scenarios.deployed import SPOKE, Deployed
from tests.cloud.scenarios.packages import TURN, Bound, Shelf
from tests.support.figures import Figure

WORKER, ROTATOR, MINTER = (f"groundcrew-tokens{name}-us" for name in ("", "-rotate", "-minter"))
COURIER, OBSERVER = "groundcrew-courier-us", "groundcrew-observer-us"
TRIES = 3  # of one call, by the SDK


@dataclass(frozen=True)
class Case:
    """The ``nth`` call of a role goes wrong, and each one after it up to ``times``."""

    role: str
    action: str
    kind: str
    nth: int = 1
    times: int = TRIES

    def __str__(self) -> str:
        return f"{self.kind} of {self.action} {self.nth} by {self.role}"


CASES = [
    Case(WORKER, "sqs:SendMessage", "drop", times=1),
    Case(WORKER, "sqs:SendMessage", "error"),
    Case(ROTATOR, "sts:AssumeRole", "throttle"),
    Case(OBSERVER, "airflow:GetEnvironment", "error", nth=2),
    Case(MINTER, "codeartifact:GetAuthorizationToken", "throttle"),
    Case(MINTER, "codeartifact:GetAuthorizationToken", "drop", times=1),
    Case(MINTER, "codeartifact:ReadFromRepository", "error", times=1),
    Case(COURIER, "s3:PutObject", "drop"),
    Case(COURIER, "s3:PutObject", "error"),
    Case(COURIER, "s3:GetObjectVersion", "error"),
    Case(ROTATOR, "events:PutEvents", "drop"),
    Case(ROTATOR, "events:PutEvents", "error"),
]


@pytest.fixture(scope="module")
def bound(deployment: Deployed) -> Iterator[Bound]:
    with Bound.made(deployment, SPOKE) as found:
        yield found
    deployment.clear()


@pytest.fixture(scope="module")
def shelf(deployment: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf.made(deployment, tmp_path_factory.mktemp("packages"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_call_fails(groundcrew: Deployed, shelf: Shelf, bound: Bound, figure: Figure, case: Case) -> None:
    with shelf.bound(SPOKE) as binding, bound.bound_to(binding):
        fault = {"role": case.role, "action": case.action, "kind": case.kind, "nth": case.nth, "times": case.times}
        groundcrew.cloud.add_fault(**fault)  # type: ignore[arg-type]
        bound.ask()
        groundcrew.until(bound.is_delivered, f"a token, in spite of {case}", turn=TURN)
        groundcrew.until_idle()
        assert [one["fired"] > 0 for one in groundcrew.cloud.faults()] == [True], case
        assert shelf.opens(bound.delivered()["token"]) == 200
        assert bound.versions() <= 2
        figure("calls that failed on the deployed cloud", 1)

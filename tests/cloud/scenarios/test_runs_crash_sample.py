"""A sample of what ``tests/faults`` does in process with every call: here on deployed functions, under enforced IAM.

A call goes wrong on the way from a request to the end of its run. The run is there once, and its end is told, without
anybody's help.
"""

from dataclasses import dataclass

import pytest

from tests.cloud.scenarios.airflows import Fleet
from tests.cloud.scenarios.deployed import Deployed
from tests.support.figures import Figure

ROUTER, WORKER, FOLLOWER, MACHINE = (f"groundcrew-runs{name}-us" for name in ("-router", "", "-follow", "-machine"))
OBSERVER, AIRFLOW = "groundcrew-observer-us", "groundcrew-airflow-us"
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


# Airflow is asked for the DAG, then for the run: the second call starts it.
BY_REST = [
    Case(ROUTER, "sqs:SendMessage", "drop"),
    Case(ROUTER, "sqs:SendMessage", "error"),
    Case(WORKER, "sts:AssumeRole", "throttle"),
    Case(OBSERVER, "airflow:GetEnvironment", "throttle"),
    Case(OBSERVER, "airflow:GetEnvironment", "drop"),
    *(Case(AIRFLOW, "airflow:InvokeRestApi", kind) for kind in ("throttle", "error", "drop")),
    *(Case(AIRFLOW, "airflow:InvokeRestApi", kind, nth=2) for kind in ("throttle", "error", "drop")),
    Case(AIRFLOW, "airflow:InvokeRestApi", "denied", times=1),
    Case(AIRFLOW, "airflow:InvokeRestApi", "denied", nth=2, times=1),
    Case(WORKER, "states:StartExecution", "drop"),
    Case(WORKER, "states:StartExecution", "error"),
    Case(WORKER, "events:PutEvents", "drop"),
    Case(WORKER, "events:PutEvents", "error"),
    Case(MACHINE, "lambda:InvokeFunction", "throttle", times=1),
    Case(FOLLOWER, "sts:AssumeRole", "error"),
    Case(FOLLOWER, "events:PutEvents", "drop"),
    Case(FOLLOWER, "events:PutEvents", "error"),
]
BY_COMMAND_LINE = [
    Case(AIRFLOW, "airflow:CreateCliToken", "throttle"),
    Case(AIRFLOW, "airflow:CreateCliToken", "drop", nth=2),
    Case(WORKER, "dynamodb:PutItem", "drop", times=1),
    Case(WORKER, "dynamodb:PutItem", "error"),
    Case(WORKER, "dynamodb:DeleteItem", "drop", times=1),
]


def struck(groundcrew: Deployed, fleet: Fleet, case: Case) -> None:
    """One run, through one fault, which has fired."""
    groundcrew.cloud.clear_faults()
    groundcrew.cloud.add_fault(role=case.role, action=case.action, kind=case.kind, nth=case.nth, times=case.times)
    request_id = fleet.ask_of(fleet.v3, wait=True)
    finished = fleet.until_told("DAG Run Finished", request_id, turn=3)
    groundcrew.until_idle()
    assert [fault["fired"] > 0 for fault in groundcrew.cloud.faults()] == [True], case
    assert finished["state"] == "success", case
    assert fleet.told("DAG Run Started", request_id), case
    assert fleet.told("DAG Run Rejected", request_id) == [], case
    assert len(fleet.runs(fleet.v3, request_id)) == 1, case


@pytest.mark.parametrize("case", BY_REST, ids=str)
def test_by_rest(groundcrew: Deployed, fleet: Fleet, figure: Figure, case: Case) -> None:
    struck(groundcrew, fleet, case)
    figure("calls that failed on the deployed cloud", 1)


@pytest.mark.parametrize("case", BY_COMMAND_LINE, ids=str)
def test_by_command_line(groundcrew: Deployed, fleet: Fleet, figure: Figure, case: Case) -> None:
    with groundcrew.without("groundcrew-airflow-us-east-1", fleet.v3.account, "airflow:InvokeRestApi"):
        struck(groundcrew, fleet, case)
    figure("calls that failed on the deployed cloud", 1)

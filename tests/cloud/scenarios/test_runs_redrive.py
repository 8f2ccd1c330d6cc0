"""What failed for too long is taken up again once the cause is mended, and starts nothing twice."""

from typing import Any

import pytest

from localcloud.installation import HUB, REGION
from tests.cloud.scenarios.airflows import Fleet, impatient
from tests.cloud.scenarios.deployed import Deployed


@pytest.mark.parametrize(
    ("queue", "role", "action", "kind"),
    [
        ("groundcrew-run-requests", "groundcrew-runs-router-us", "sqs:SendMessage", "drop"),
        ("groundcrew-runs", "groundcrew-runs-us", "events:PutEvents", "error"),
    ],
)
def test_a_dead_letter_is_redriven_and_starts_nothing_twice(
    groundcrew: Deployed, fleet: Fleet, queue: str, role: str, action: str, kind: str
) -> None:
    """The order was sent, the run was started, and the function never heard of it."""
    groundcrew.cloud.add_fault(role=role, action=action, kind=kind, times=1000)
    with impatient(groundcrew, queue):
        request_id = fleet.ask_of(fleet.v3)
        groundcrew.until(groundcrew.undelivered, "the dead letter", turn=30)
    groundcrew.until(lambda: fleet.runs(fleet.v3, request_id), "the run")
    groundcrew.cloud.clear_faults()
    groundcrew.until_idle()
    before = len(fleet.told("DAG Run Started", request_id))
    arn = f"arn:aws:sqs:{REGION}:{HUB}:groundcrew-runs-dead-letters"
    groundcrew.aws.client("sqs", HUB).start_message_move_task(SourceArn=arn)
    groundcrew.until(lambda: len(fleet.told("DAG Run Started", request_id)) > before, "the second try")
    assert fleet.told("DAG Run Started", request_id)[-1]["already"] is True
    groundcrew.until_idle()
    assert len(fleet.runs(fleet.v3, request_id)) == 1


def test_a_run_that_could_not_be_followed_is_followed_again(groundcrew: Deployed, fleet: Fleet) -> None:
    """Hours pass before the execution fails; its redrive goes on where it was."""
    groundcrew.cloud.add_fault(role="groundcrew-runs-machine", action="lambda:InvokeFunction", kind="error", times=1000)
    request_id = fleet.ask_of(fleet.v3, wait=True)
    states = groundcrew.aws.client("stepfunctions", HUB)
    machine = f"arn:aws:states:{REGION}:{HUB}:stateMachine:groundcrew-runs"

    def failed() -> list[dict[str, Any]]:
        listed = states.list_executions(stateMachineArn=machine, statusFilter="FAILED")["executions"]
        return list(listed)

    (execution,) = groundcrew.until(failed, "its failure", turn=900)
    assert len(fleet.runs(fleet.v3, request_id)) == 1
    groundcrew.cloud.clear_faults()
    states.redrive_execution(executionArn=execution["executionArn"])
    assert fleet.until_told("DAG Run Finished", request_id)["state"] == "success"

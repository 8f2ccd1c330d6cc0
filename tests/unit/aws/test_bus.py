"""Facts on the bus."""

import json
from typing import Any
from unittest import mock

import pytest

from groundcrew.aws import bus
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import TransientError
from groundcrew.events import Fact
from tests.support.stage import REGION, SPOKE, Stage
from tests.support.worlds import World


@pytest.mark.parametrize(("number", "calls"), [(0, 0), (1, 1), (10, 1), (11, 2), (25, 3)])
def test_facts_go_in_batches_of_ten(world: World, number: int, calls: int) -> None:
    world.bus("groundcrew")
    facts = [
        Fact("Endpoints Ready", EnvironmentRef(SPOKE, REGION, f"data-{n}"), {"endpoints": {}}) for n in range(number)
    ]
    bus.announce(facts, bus="groundcrew", region=REGION)
    made = world.aws.calls("events:PutEvents")
    assert [call.error for call in made] == [None] * calls
    entries = [entry for call in made for entry in call.attempt.params["Entries"]]
    names = [json.loads(entry["Detail"])["environment"]["name"] for entry in entries]
    assert names == [f"data-{n}" for n in range(number)]
    assert {(entry["EventBusName"], entry["Source"]) for entry in entries} <= {("groundcrew", "groundcrew")}


def test_a_fact_that_is_not_taken_is_an_error(stage: Stage) -> None:
    def partly(_caller: object, entries: list[Any]) -> dict[str, Any]:
        failed = {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}
        return {"FailedEntryCount": 1, "Entries": [failed, *({"EventId": "1"} for _ in entries[1:])]}

    with mock.patch.object(stage.aws.small, "_put_events", partly), pytest.raises(TransientError) as caught:
        bus.announce([Fact("Endpoints Ready"), Fact("Endpoints Ready")], bus="groundcrew", region=REGION)
    assert (caught.value.what, caught.value.cause) == (
        "1 events were not taken: ThrottlingException",
        "ThrottlingException",
    )

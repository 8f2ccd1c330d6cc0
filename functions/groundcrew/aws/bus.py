"""Announcing facts on Groundcrew's bus."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from groundcrew.aws.errors import translated
from groundcrew.aws.session import own_client
from groundcrew.errors import TransientError
from groundcrew.events import FACT, Fact

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient

AT_ONCE = 10
"""Entries of one ``PutEvents`` (EventBridge quota)."""


def announce(facts: Sequence[Fact], *, bus: str, region: str) -> None:
    """Put facts on the bus.

    Raises:
        TransientError: not all of them were taken.
    """
    if not facts:
        return
    client: EventBridgeClient = own_client("events", region)
    for start in range(0, len(facts), AT_ONCE):
        entries = [
            {
                "EventBusName": bus,
                "Source": FACT,
                "DetailType": fact.detail_type,
                "Detail": json.dumps(fact.as_detail()),
            }
            for fact in facts[start : start + AT_ONCE]
        ]
        with translated(f"events:PutEvents on {bus}"):
            answer = client.put_events(Entries=entries)  # type: ignore[arg-type]
        if answer["FailedEntryCount"]:
            codes = sorted({entry["ErrorCode"] for entry in answer["Entries"] if "ErrorCode" in entry})
            raise TransientError(
                f"{answer['FailedEntryCount']} events were not taken: {', '.join(codes)}", cause=codes[0]
            )

"""Announcing facts on Groundcrew's bus."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from groundcrew.aws.errors import translated
from groundcrew.aws.session import own_client
from groundcrew.errors import TransientError
from groundcrew.events import FACT, REQUEST, Fact

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


def ask(detail_type: str, detail: Mapping[str, Any], *, bus: str, region: str) -> None:
    """Put a request of the hub's own on the bus, for another part of Groundcrew.

    Raises:
        TransientError: it was not taken.
    """
    client: EventBridgeClient = own_client("events", region)
    entry = {"EventBusName": bus, "Source": REQUEST, "DetailType": detail_type, "Detail": json.dumps(detail)}
    with translated(f"events:PutEvents on {bus}"):
        answer = client.put_events(Entries=[entry])  # type: ignore[list-item]
    if answer["FailedEntryCount"]:
        code = answer["Entries"][0].get("ErrorCode", "Unknown")
        raise TransientError(f"a request was not taken: {code}", cause=code)

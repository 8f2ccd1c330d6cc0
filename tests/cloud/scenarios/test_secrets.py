"""No token in what the deployed functions have written, in all the scenarios before this one."""

import re
import time
from collections.abc import Iterator
from typing import Any

from localcloud.installation import HUB
from tests.cloud.scenarios.deployed import Deployed
from tests.support.figures import Figure

TOKEN = re.compile(r"cli-[0-9a-f]{48}|FwoGZX[0-9a-f]{128}|Bearer |Authorization:|X-Amz-Security-Token")
"""Tokens of command lines and of sessions as the local cloud makes them, and the headers they travel in."""

CONTROL = "/aws/lambda/groundcrew-control"


def written(logs: Any) -> Iterator[tuple[str, str]]:
    """Every line that a function of the hub has written, metrics included, with its log group."""
    for group in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/groundcrew-")["logGroups"]:
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
            yield from ((group["logGroupName"], event["message"]) for event in page["events"])


def test_no_function_has_written_a_token(groundcrew: Deployed, figure: Figure) -> None:
    lines = list(written(groundcrew.aws.client("logs", HUB)))
    assert len({group for group, _ in lines}) >= 1
    assert [line for line in lines if TOKEN.search(line[1])] == []
    figure("log lines of deployed functions without a token", len(lines))


def test_a_token_that_is_written_is_found(groundcrew: Deployed) -> None:
    logs = groundcrew.aws.client("logs", HUB)
    logs.create_log_group(logGroupName=CONTROL)
    try:
        logs.create_log_stream(logGroupName=CONTROL, logStreamName="control")
        line = {"timestamp": round(time.time() * 1000), "message": f"token cli-{'0a' * 24}"}
        logs.put_log_events(logGroupName=CONTROL, logStreamName="control", logEvents=[line])
        assert [group for group, text in written(logs) if TOKEN.search(text)] == [CONTROL]
    finally:
        logs.delete_log_group(logGroupName=CONTROL)

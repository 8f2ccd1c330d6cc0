"""The step of the exports' state machine that reads on through an environment's REST API: see ``exports.outside``."""

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from exports.outside import extract
from exports.outside_pace import CALLS_PER_SECOND, Pace
from groundcrew.aws import airflow
from groundcrew.aws.objects import Bucket
from groundcrew.aws.session import Roles
from groundcrew.environment import EnvironmentRef
from groundcrew.observability import about, observed
from groundcrew.settings import required, settings

RESERVE_SECONDS = 90.0
"""Left of an invocation for the last answer, with its retries, and for writing what was read."""


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Read on, and say how far it is; ``GROUNDCREW_EXPORTS_RATE``: calls per second, if not the default."""
    config = settings()
    bucket = Bucket.own(required(os.environ, _BUCKET)[_BUCKET], config.account, config.region)
    roles = Roles(config.partition, config.region, session_name="groundcrew-exports")
    environment = EnvironmentRef(**event["environment"])
    about(environment, event["export_id"])
    ends = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    rate = float(os.environ.get("GROUNDCREW_EXPORTS_RATE") or CALLS_PER_SECOND)

    def ask(path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        return airflow.invoke_rest_api(roles, environment, "GET", path, query)

    def put(key: str, body: bytes) -> None:
        bucket.put(key, body, content_type="application/gzip" if key.endswith(".gz") else "application/json")

    pace = Pace(time.monotonic, time.sleep, rate)
    return extract(event, ask, put, pace, lambda: time.monotonic() < ends, datetime.now(UTC))


_BUCKET = "GROUNDCREW_EXPORTS_BUCKET"

"""How jobs are named, so that what is asked twice is done once."""

import hashlib
from datetime import UTC, datetime

from groundcrew.environment import EnvironmentRef


def job_id(environment: EnvironmentRef, what: str, at: datetime) -> str:
    """Sorts by time; differs for whatever else is asked of the same environment at that time."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest(environment, what, 8)}"


def asked_name(environment: EnvironmentRef, request: str) -> str:
    """Of the execution that a request begins, whenever it comes; Step Functions keeps a name for 90 days.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    return f"asked-{digest(environment, request, 40)}"


def digest(environment: EnvironmentRef, what: str, length: int) -> str:
    """Hexadecimal digits."""
    return hashlib.sha256(f"{environment}/{what}".encode()).hexdigest()[:length]

"""Since when an environment's database has not been as its policy wants it: an object beside its reports."""

import json
from contextlib import suppress
from datetime import datetime

from cleanup.order import reports
from groundcrew.aws.objects import Bucket
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import AlreadyExists, PermanentError


def mark(bucket: Bucket, environment: EnvironmentRef, now: datetime) -> None:
    """Nothing is left that the policy wants gone."""
    bucket.put(_key(environment), json.dumps({"at": now.isoformat()}).encode())


def hours_behind(bucket: Bucket, environment: EnvironmentRef, now: datetime) -> float:
    """For how long that has not been so; an environment is given credit when it is first seen."""
    # Listed first: who may not list the whole bucket is told that a missing object is forbidden.
    if not bucket.keys(_key(environment)):
        with suppress(AlreadyExists):  # somebody was faster
            bucket.put(_key(environment), json.dumps({"at": now.isoformat()}).encode(), only_new=True)
        return 0.0
    try:
        _, content = bucket.get(_key(environment))
        at = datetime.fromisoformat(json.loads(content)["at"])
    except (ValueError, KeyError, TypeError) as error:
        raise PermanentError(
            f"{_key(environment)} is not what a clean-up writes", cause="UnreadableReport", remedy="Delete it."
        ) from error
    return max(0.0, (now - at).total_seconds() / 3600)


def _key(environment: EnvironmentRef) -> str:
    return f"{reports(environment)}converged.json"

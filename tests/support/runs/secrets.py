"""What must be in no log line and no event: planted where the product can meet it, and looked for."""

import json
from collections.abc import Mapping
from typing import Any

from localcloud.inprocess.services import SmallServices
from tests.support.stage import Stage

SECRET = "correct-horse-'battery'-staple"
"""In the conf of every order of a ``Hub``."""

SESSION_TOKEN = "session-token-of-a-spoke-role"
WORDS = ("Bearer", "Authorization", "X-Amz-Security-Token", "correct-horse", SESSION_TOKEN)

_assume_role = SmallServices._assume_role


def assume_role(services: SmallServices, params: Mapping[str, Any]) -> dict[str, Any]:
    """STS, with a session token that can be told from other words."""
    answer = _assume_role(services, params)
    answer["Credentials"]["SessionToken"] = SESSION_TOKEN
    return answer


def told(stage: Stage) -> list[str]:
    """The secrets that were logged or announced: those, and every token of a command line."""
    written = stage.log.getvalue() + json.dumps(stage.aws.events)
    return [secret for secret in (*WORDS, *stage.aws.front_door._tokens) if secret in written]

"""How the fleet's owner wants an environment's endpoints: the policy ``/groundcrew/endpoints/<name>``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from groundcrew.errors import PermanentError
from groundcrew.events import schema_error

NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")

DEFAULT = "default"
"""The policy of environments without the tag ``groundcrew:endpoints``; ``template.yaml`` makes it from its
parameters.
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """``admit``: all traffic of the environment's groups, or the two ports in use. ``sqs``: what to do when there is
    no way to SQS.
    """

    admit: Literal["all-traffic", "service-ports"] = "all-traffic"
    sqs: Literal["report", "create"] = "report"

    @staticmethod
    def parameter(name: str) -> str:
        """The parameter that holds the policy of that name.

        Raises:
            PermanentError: a policy cannot have such a name; it comes from a tag, so it may be anything.
        """
        if not NAME.fullmatch(name):
            raise PermanentError(
                f"the tag groundcrew:endpoints says {name!r}, which is no policy's name",
                cause="InvalidPolicy",
                remedy="Set the tag to 'off' or to the name of a policy: letters, digits, '.', '_' and '-'.",
            )
        return f"/groundcrew/endpoints/{name}"

    @classmethod
    def read(cls, name: str, document: Mapping[str, Any]) -> Self:
        """Read a policy document.

        Raises:
            PermanentError: it is not valid; there is no falling back to another one.
        """
        problem = schema_error(document, "policies/endpoints.json")
        if problem:
            raise PermanentError(
                f"the policy {cls.parameter(name)} is not valid: {problem}",
                cause="InvalidPolicy",
                remedy="Correct that parameter; events/schemas/policies/endpoints.json says how.",
            )
        return cls(**document)

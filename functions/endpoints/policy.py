"""How the fleet's owner wants an environment's endpoints: the policy ``/groundcrew/endpoints/<name>``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from groundcrew.errors import PermanentError
from groundcrew.events import schema_error

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

    @classmethod
    def read(cls, name: str, document: Mapping[str, Any]) -> Self:
        """Read a policy document.

        Raises:
            PermanentError: it is not valid; there is no falling back to another one.
        """
        problem = schema_error(document, "endpoints-policy.json")
        if problem:
            raise PermanentError(
                f"the policy /groundcrew/endpoints/{name} is not valid: {problem}",
                cause="InvalidPolicy",
                remedy="Correct that parameter; events/schemas/endpoints-policy.json says how.",
            )
        return cls(**document)

"""What AWS answers, translated into the two families of errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from groundcrew.errors import AccessDenied, AlreadyExists, NotFound, PermanentError, TransientError

THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "TooManyRequestsException",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "IncorrectState",  # EC2: the resource is still changing
        "ConditionalRequestConflict",  # S3: so is the object
        "OperationAborted",  # S3: so is the bucket
    }
)
"""Codes that the standard retry mode counts as throttling (botocore ``retries/standard.py``), and EC2's of a busy
resource.
"""

BROKEN = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerException",
        "ServiceUnavailable",
        "Unavailable",
        "RequestTimeout",
    }
)
"""Codes of a service that is in trouble itself, whatever status they come with."""

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure", "403"})

MISSING = frozenset(
    {"ResourceNotFoundException", "ParameterNotFound", "NoSuchBucket", "NoSuchKey", "NoSuchVersion", "404"}
)
"""The numbers, here and above, are S3's answers to HEAD: they have no body that could name a code."""


def translate(error: BotoCoreError | ClientError, doing: str) -> TransientError | PermanentError:
    """Say what a failed call means; ``doing`` names the call and where it was made."""
    if not isinstance(error, ClientError):
        return TransientError(f"{doing}: no answer ({type(error).__name__})", cause="NoAnswer")
    code = error.response.get("Error", {}).get("Code", "Unknown")
    message = error.response.get("Error", {}).get("Message", "")
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    what = f"{doing}: {code}: {message}"
    if code in THROTTLED or code in BROKEN or status == 429 or status >= 500:
        return TransientError(what, cause=code)
    if code in DENIED:
        return AccessDenied(
            what, cause=code, remedy="Update the stack that has the role; then look for a service control policy."
        )
    if code in MISSING or code.endswith(".NotFound"):
        return NotFound(what, cause=code)
    if code.endswith(".Duplicate"):
        return AlreadyExists(what, cause=code)
    return PermanentError(what, cause=code)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate what a call inside raises."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise translate(error, doing) from error

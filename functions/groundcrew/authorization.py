"""Who may ask for what: an account for its own environments, the hub for all, others by a grant."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.events import FACT, MWAA, REQUEST, Envelope, Fact, schema_error
from groundcrew.settings import Settings

Grants = Callable[[str], Mapping[str, Any] | None]
"""Account id -> its policy ``/groundcrew/grants/<account>``, or None."""


class RequestDenied(PermanentError):
    """Somebody asked for what is not theirs to ask."""


def authorize(envelope: Envelope, environment: EnvironmentRef, hub: str, grants: Grants) -> None:
    """Let an event through, or refuse it.

    Args:
        envelope: the event; EventBridge sets its account to the account of the bus it was first put on.
        environment: what it asks for.
        hub: the hub's account.
        grants: looked up only when neither owner nor hub asks.

    Raises:
        RequestDenied: the sender may not ask this.
        PermanentError: the sender's grant is not valid.
    """
    sender = envelope.account
    if envelope.source == FACT and sender == hub:
        return
    if envelope.source == MWAA and sender == environment.account:
        return
    if envelope.source == REQUEST and (
        sender in (environment.account, hub) or _granted(envelope, environment, grants(sender))
    ):
        return
    raise RequestDenied(
        f"account {sender} may not ask for {envelope.detail_type!r} of {environment}",
        cause="RequestDenied",
        remedy=f"If it may, put a grant into the parameter /groundcrew/grants/{sender}.",
    )


def denial(envelope: Envelope, environment: EnvironmentRef | None, error: RequestDenied) -> Fact:
    """What is announced of a request that was refused."""
    detail = {"request": envelope.detail_type, "sender": envelope.account, "reason": error.what}
    return Fact("Request Denied", environment, detail)


def require_looked_after(environment: EnvironmentRef, config: Settings) -> None:
    """Raise a PermanentError for an environment that is in no account and Region of this stack."""
    if environment.account not in config.spoke_accounts or environment.region not in config.spoke_regions:
        raise PermanentError(
            f"{environment} is in no account and Region that this stack looks after",
            cause="NotConfigured",
            remedy="Add the account to SpokeAccounts, the Region to SpokeRegions, and deploy the spoke there.",
        )


def _granted(envelope: Envelope, environment: EnvironmentRef, grant: Mapping[str, Any] | None) -> bool:
    if grant is None:
        return False
    problem = schema_error(grant, "policies/grants.json")
    if problem:
        raise PermanentError(
            f"the grant of account {envelope.account} is not valid: {problem}",
            cause="InvalidPolicy",
            remedy=f"Correct the parameter /groundcrew/grants/{envelope.account}.",
        )
    return envelope.detail_type in grant["requests"] and any(
        fnmatchcase(str(environment), pattern) for pattern in grant["environments"]
    )

"""How long an environment may be PENDING before somebody has to know, and what to say then. Pure."""

from typing import Literal

from endpoints.plan import Finding, Plan

Severity = Literal["blocked", "late", "urgent"]

URGENT_AFTER_HOURS = 48
"""MWAA gives up after 72 (botocore ``mwaa``, ``EndpointManagement``): a day is left to do something."""

REMEDIES = {
    "DatabaseServiceMissing": "MWAA must name the service: ask AWS Support.",
    "WebserverServiceMissing": "MWAA must name the service: ask AWS Support.",
    "EndpointNotAvailable": "Look at the endpoint's state and last error in the VPC console; ask AWS Support.",
    "MwaaDoesNotGoOn": "Check the subnets' network ACLs and the VPC's other endpoints (guide L7690); ask AWS Support.",
}


def severity(pending_for: float | None, late_after_hours: int, *, blocked: bool) -> Severity | None:
    """How bad it is: a person must act (``blocked``), it takes too long (``late``), or MWAA is about to give up
    (``urgent``).

    Args:
        pending_for: seconds in PENDING, or None if the environment is not.
        late_after_hours: how long waiting is nothing to speak of.
        blocked: whether a cause is known that waiting cannot cure.
    """
    hours = (pending_for or 0.0) / 3600
    if hours >= URGENT_AFTER_HOURS:
        return "urgent"
    if hours >= late_after_hours:
        return "late"
    return "blocked" if blocked else None


def waiting(plan: Plan, pending_for: float) -> Finding:
    """What to say of an environment that waits too long although nothing is known to be wrong."""
    return Finding(
        cause=plan.waits_for,
        evidence=f"the environment has been PENDING for {pending_for / 3600:.1f} hours: {plan.reason}",
        remedy=REMEDIES[plan.waits_for],
    )

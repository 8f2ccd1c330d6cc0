"""The worker of the queue ``endpoints``: an event about an environment → its VPC endpoints are as they should be."""

from dataclasses import asdict, replace
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from endpoints import watch
from endpoints.causes import explained
from endpoints.plan import Finding
from endpoints.planner import WAITING
from endpoints.reconcile import Outcome, Reconciler
from groundcrew.accept import accepted
from groundcrew.aws import bus
from groundcrew.aws.queue import SqsQueue
from groundcrew.aws.session import Roles
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.events import (
    FACT,
    GONE,
    MWAA,
    OBSERVED,
    RECONCILE,
    REQUEST,
    STATUS_CHANGE,
    Envelope,
    Fact,
)
from groundcrew.observability import count, logger, observed
from groundcrew.settings import Settings, settings
from groundcrew.work import LookAgain, refuse, work_through

KNOWN = {(MWAA, STATUS_CHANGE), (FACT, OBSERVED), (REQUEST, RECONCILE)}
"""Source and type of the events that there is something to do for; the rules of ``template.yaml`` pass on no others."""


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work through a batch of messages; or, invoked with one request, answer with the plans made for it."""
    if "Records" in event:
        roles = _roles(settings())
        return work_through(event, lambda envelope: _from_queue(envelope, Reconciler(settings(), roles)), SqsQueue())
    envelope = Envelope.read(event)
    outcome = _reconcile(envelope, Reconciler(settings(), _roles(settings())))
    return {"status": outcome.status, "plans": [plan.as_detail() for plan in outcome.plans]}


def _roles(config: Settings) -> Roles:
    return Roles(config.partition, config.region, session_name="groundcrew-endpoints")


def _from_queue(envelope: Envelope, reconciler: Reconciler) -> LookAgain | None:
    """Reconcile for a message, and say whether it has to stay in the queue."""
    outcome = _reconcile(envelope, reconciler)
    if outcome.refused or not _acts(envelope, reconciler.settings):
        return None
    if _severity(outcome, reconciler.settings) and not any(plan.actions for plan in outcome.plans):
        return None  # announced; the next sweep looks again, and says it again
    # MWAA says by an event that the environment is gone, and its API does not know it yet.
    said = envelope.detail.get("status", envelope.detail.get("Status"))
    early = said == GONE and outcome.status == "DELETING"
    if early or any(plan.look_again for plan in outcome.plans):
        return LookAgain(reconciler.settings.look_again_seconds)
    return None


def _reconcile(envelope: Envelope, reconciler: Reconciler) -> Outcome:
    """Observe, plan, act, announce; what cannot be done is announced with its remedy."""
    config = reconciler.settings
    environment = accepted(envelope, KNOWN, config)
    try:
        outcome = reconciler.plan(environment, envelope.now, _leftovers(envelope, config))
    except PermanentError as error:
        if not envelope.dry_run:
            seen = Outcome(reconciler.status, (), reconciler.pending_for, refused=(Finding.of(explained(error)),))
            _announce(config, *_facts(environment, seen, envelope, config))
        raise explained(error) from error
    _log(outcome)
    if _acts(envelope, config):
        refused = [error for plan in outcome.plans for error in reconciler.act(plan)]
        for refusal in refused:
            refuse(refusal)
        outcome = replace(outcome, refused=tuple(Finding.of(refusal) for refusal in refused))
    _announce(config, *_facts(environment, outcome, envelope, config))
    return outcome


def _leftovers(envelope: Envelope, config: Settings) -> tuple[str, ...]:
    """Accounts that the sweep names, of those that are looked after; MWAA's own event names none, for nobody vouches
    for its detail.
    """
    named = envelope.detail.get("leftovers", ()) if envelope.source == FACT else ()
    return tuple(account for account in named if account in config.spoke_accounts)


def _acts(envelope: Envelope, config: Settings) -> bool:
    return config.acts and not envelope.dry_run


def _facts(environment: EnvironmentRef, outcome: Outcome, envelope: Envelope, config: Settings) -> list[Fact]:
    """What there is to say; nothing, most of the time."""
    plans = outcome.plans
    details = [plan.as_detail() for plan in plans]
    planned = [Fact("Endpoints Planned", environment, {"status": outcome.status, "plans": details})]
    if envelope.dry_run:
        return planned
    return (planned if not config.acts and any(plan.actions for plan in plans) else []) + _verdict(
        environment, outcome, config
    )


def _verdict(environment: EnvironmentRef, outcome: Outcome, config: Settings) -> list[Fact]:
    """That a person has to do something, or nobody has to do anything any more."""
    plans = outcome.plans
    severity = _severity(outcome, config)
    if severity:
        count("EndpointsBlocked")
        detail = {
            "status": outcome.status,
            "severity": severity,
            "pending_seconds": round(outcome.pending_for or 0),
            "findings": [
                asdict(finding) for finding in outcome.findings or [watch.waiting(plans[0], outcome.pending_for or 0)]
            ],
            "ruled_out": _ruled_out(outcome),
        }
        return [Fact("Endpoints Blocked", environment, detail)]
    # MWAA may have moved on to CREATING by the time somebody looks again.
    if outcome.status in WAITING and all(plan.ready for plan in plans):
        count("EndpointsReady")
        serving = {purpose: endpoint_id for plan in plans for purpose, endpoint_id in plan.serving.items()}
        notes = [note for plan in plans for note in plan.notes]
        return [Fact("Endpoints Ready", environment, {"endpoints": serving} | ({"notes": notes} if notes else {}))]
    return []


def _ruled_out(outcome: Outcome) -> list[str]:
    """What the looks have ruled out, less what turned up when the plans were carried out."""
    found = {finding.cause for finding in outcome.findings}
    return [cause for plan in outcome.plans for cause in plan.ruled_out if cause not in found]


def _severity(outcome: Outcome, config: Settings) -> watch.Severity | None:
    return watch.severity(outcome.pending_for, config.late_after_hours, blocked=bool(outcome.findings))


def _announce(config: Settings, *facts: Fact) -> None:
    bus.announce(facts, bus=config.bus, region=config.region)


def _log(outcome: Outcome) -> None:
    for plan in outcome.plans:
        logger.info(
            "planned",
            status=outcome.status,
            owner=plan.account,
            reason=plan.reason,
            actions=len(plan.actions),
            findings=len(plan.findings),
        )

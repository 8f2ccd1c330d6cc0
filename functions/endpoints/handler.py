"""The worker of the queue ``endpoints``: an event about an environment → its VPC endpoints are as they should be."""

from dataclasses import asdict, replace
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from endpoints.plan import Finding
from endpoints.planner import WAITING
from endpoints.reconcile import Outcome, Reconciler
from groundcrew.authorization import RequestDenied, authorize
from groundcrew.aws import bus, parameters
from groundcrew.aws.queue import SqsQueue
from groundcrew.aws.session import Roles
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.events import GONE, MWAA, REQUEST, Envelope, Fact, environment_of, validate
from groundcrew.observability import about, count, logger, observed
from groundcrew.settings import Settings, settings
from groundcrew.work import LookAgain, refuse, work_through


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
    # MWAA says by an event that the environment is gone, and its API does not know it yet.
    early = envelope.detail.get("status") == GONE and outcome.status == "DELETING"
    if early or any(plan.look_again for plan in outcome.plans):
        return LookAgain(reconciler.settings.look_again_seconds)
    return None


def _reconcile(envelope: Envelope, reconciler: Reconciler) -> Outcome:
    """Observe, plan, act, announce; what cannot be done is announced with its remedy."""
    config = reconciler.settings
    environment = _accepted(envelope, config)
    try:
        outcome = reconciler.plan(environment, tuple(envelope.detail.get("leftovers", ())))
    except PermanentError as error:
        if not _dry(envelope):
            _announce(config, _blocked(environment, "", [Finding.of(error)]))
        raise
    _log(outcome)
    if _acts(envelope, config):
        refused = [error for plan in outcome.plans for error in reconciler.act(plan)]
        for refusal in refused:
            refuse(refusal)
        outcome = replace(outcome, refused=tuple(Finding.of(refusal) for refusal in refused))
    _announce(config, *_facts(environment, outcome, envelope, config))
    return outcome


def _accepted(envelope: Envelope, config: Settings) -> EnvironmentRef:
    """The environment that an event is about, if the event is valid and its sender may ask.

    Raises:
        PermanentError: it is not; then nothing is done, and only a denied request is announced.
    """
    if envelope.source != MWAA:
        validate(envelope)
    environment = environment_of(envelope)
    about(environment, str(envelope.detail.get("request_id", envelope.id)))
    try:
        authorize(
            envelope,
            environment,
            config.account,
            lambda account: parameters.document_or_none(f"/groundcrew/grants/{account}", config.region),
        )
    except RequestDenied as error:
        detail = {"request": envelope.detail_type, "sender": envelope.account, "reason": error.what}
        _announce(config, Fact("Request Denied", environment, detail))
        raise
    if environment.account not in config.spoke_accounts or environment.region not in config.spoke_regions:
        raise PermanentError(
            f"{environment} is in no account and Region that this stack looks after",
            cause="NotConfigured",
            remedy="Add the account to SpokeAccounts, the Region to SpokeRegions, and deploy the spoke there.",
        )
    return environment


def _dry(envelope: Envelope) -> bool:
    return envelope.source == REQUEST and envelope.detail.get("dry_run") is True


def _acts(envelope: Envelope, config: Settings) -> bool:
    return config.acts and not _dry(envelope)


def _facts(environment: EnvironmentRef, outcome: Outcome, envelope: Envelope, config: Settings) -> list[Fact]:
    """What there is to say; nothing, most of the time."""
    plans = outcome.plans
    if _dry(envelope) or (not config.acts and any(plan.actions for plan in plans)):
        details = [plan.as_detail() for plan in plans]
        return [Fact("Endpoints Planned", environment, {"status": outcome.status, "plans": details})]
    findings = [*(finding for plan in plans for finding in plan.findings), *outcome.refused]
    if findings:
        return [_blocked(environment, outcome.status, findings)]
    # MWAA may have moved on to CREATING by the time somebody looks again.
    if outcome.status in WAITING and all(plan.ready for plan in plans):
        count("EndpointsReady")
        serving = {purpose: endpoint_id for plan in plans for purpose, endpoint_id in plan.serving.items()}
        return [Fact("Endpoints Ready", environment, {"endpoints": serving})]
    return []


def _blocked(environment: EnvironmentRef, status: str, findings: list[Finding]) -> Fact:
    count("EndpointsBlocked")
    detail = {"status": status, "findings": [asdict(finding) for finding in findings]}
    return Fact("Endpoints Blocked", environment, detail)


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

"""The worker of the queue ``endpoints``: an event about an environment → its VPC endpoints are as they should be."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from endpoints.planner import WAITING
from endpoints.reconcile import Outcome, Reconciler, blocked
from groundcrew.authorization import RequestDenied, authorize
from groundcrew.aws import bus, parameters
from groundcrew.aws.queue import SqsQueue
from groundcrew.aws.session import Roles
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.events import MWAA, REQUEST, Envelope, Fact, environment_of, validate
from groundcrew.observability import about, count, logger, observed
from groundcrew.settings import Settings, settings
from groundcrew.work import LookAgain, work_through


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
    config = reconciler.settings
    outcome = _reconcile(envelope, reconciler)
    acted = config.acts and not _dry(envelope)
    if acted and any(plan.look_again for plan in outcome.plans):
        return LookAgain(config.look_again_seconds)
    return None


def _reconcile(envelope: Envelope, reconciler: Reconciler) -> Outcome:
    """Observe, plan, act, announce; what cannot be done is announced with its remedy."""
    config = reconciler.settings
    if envelope.source != MWAA:
        validate(envelope)
    environment = environment_of(envelope)
    about(environment, envelope.id)
    try:
        authorize(
            envelope,
            environment,
            config.account,
            lambda account: parameters.document_or_none(f"/groundcrew/grants/{account}", config.region),
        )
    except RequestDenied as error:
        _announce(
            config,
            Fact(
                "Request Denied",
                environment,
                {"request": envelope.detail_type, "sender": envelope.account, "reason": error.what},
            ),
        )
        raise
    try:
        outcome = reconciler.plan(environment, tuple(envelope.detail.get("leftovers", ())))
        _log(outcome)
        if config.acts and not _dry(envelope):
            for plan in outcome.plans:
                reconciler.act(plan)
    except PermanentError as error:
        finding = blocked(error)
        _announce(
            config,
            _blocked(
                environment, "", [{"cause": finding.cause, "evidence": finding.evidence, "remedy": finding.remedy}]
            ),
        )
        raise
    _announce(config, *_facts(environment, outcome, envelope, acts=config.acts))
    return outcome


def _dry(envelope: Envelope) -> bool:
    return envelope.source == REQUEST and envelope.detail.get("dry_run") is True


def _facts(environment: EnvironmentRef, outcome: Outcome, envelope: Envelope, *, acts: bool) -> list[Fact]:
    """What there is to say; nothing, most of the time."""
    details = [plan.as_detail() for plan in outcome.plans]
    if _dry(envelope) or (not acts and any(plan.actions for plan in outcome.plans)):
        return [Fact("Endpoints Planned", environment, {"status": outcome.status, "plans": details})]
    findings = [finding for detail in details for finding in detail["findings"]]
    if findings:
        return [_blocked(environment, outcome.status, findings)]
    # MWAA may have moved on to CREATING by the time somebody looks again.
    if outcome.status in WAITING and all(plan.ready for plan in outcome.plans):
        count("EndpointsReady")
        serving = {purpose: endpoint_id for plan in outcome.plans for purpose, endpoint_id in plan.serving.items()}
        return [Fact("Endpoints Ready", environment, {"endpoints": serving})]
    return []


def _blocked(environment: EnvironmentRef, status: str, findings: list[dict[str, str]]) -> Fact:
    count("EndpointsBlocked")
    return Fact("Endpoints Blocked", environment, {"status": status, "findings": findings})


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

"""The worker of the queue ``groundcrew-cleanup``: an event about an environment → its clean-up is begun, if due."""

from datetime import datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from cleanup.converged import hours_behind
from cleanup.order import FAILED, REQUESTED, Order, period
from cleanup.policy import Policy
from groundcrew.accept import accepted, swept_policy
from groundcrew.aws import airflow, bus, machines, parameters
from groundcrew.aws.objects import Bucket
from groundcrew.aws.queue import SqsQueue
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.errors import NotFound, PermanentError
from groundcrew.events import (
    FACT,
    MWAA,
    OBSERVED,
    REQUEST,
    STATUS_CHANGE,
    Envelope,
    Fact,
)
from groundcrew.jobs import asked_name, job_id
from groundcrew.observability import count, logger, measure_hours, observed
from groundcrew.settings import MetadataSettings, Settings, metadata_settings, settings
from groundcrew.shipping import withdraw
from groundcrew.work import LookAgain, keeping, work_through

KNOWN = {(MWAA, STATUS_CHANGE), (FACT, OBSERVED), (REQUEST, REQUESTED)}
"""Source and type of the events that there is something to do for; the rules of ``template.yaml`` pass on no others."""

READY = frozenset({"AVAILABLE", "UPDATE_FAILED"})
"""Statuses in which Airflow can be asked (botocore ``mwaa`` ``EnvironmentStatus``)."""

BUSY_SECONDS = 300
"""How long a request waits before it looks again at an environment that is not ready."""


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work through a batch of events."""
    config, more = settings(), metadata_settings()
    roles = Roles(config.partition, config.region, session_name="groundcrew-cleanup")
    return work_through(event, lambda envelope: _work(envelope, config, more, roles), SqsQueue())


def _work(envelope: Envelope, config: Settings, more: MetadataSettings, roles: Roles) -> LookAgain | None:
    """Begin what is due. A request that cannot be carried out is announced; the sweep comes back by itself."""
    ref = accepted(envelope, KNOWN, config)
    asked = envelope.source == REQUEST
    name = swept_policy(envelope, "cleanup")
    try:
        environment = airflow.get_environment(roles, ref)
        name = _policy_name(environment, asked=asked)
        if name is None:
            if environment.policy_name("cleanup") == "off" and environment.status in READY and config.acts:
                withdraw(environment, roles, "cleanup")
            return None
        if environment.status not in READY:
            logger.info("not ready", status=environment.status)
            return LookAgain(BUSY_SECONDS, swept=False) if asked else None
        parameter = f"/groundcrew/cleanup/{name}"
        policy = Policy.read(parameters.document(parameter, config.region), parameter)
    except NotFound as error:
        if not asked and error.cause != "MissingPolicy":
            return None  # deleted between the event and the look
        _announce(config, envelope, ref, error, name)
        raise
    except PermanentError as error:
        _announce(config, envelope, ref, error, name)
        raise
    if not asked:
        _measure(policy, ref, envelope.now, config, more)
        if not policy.may_run(envelope.now):
            return None
    order = _order(envelope, ref, name, policy)
    name = asked_name(ref, envelope.correlation_id) if asked else f"due-{order.cleanup_id}"
    machines.start(more.machine, name, order.as_state(), config.region)
    return None


def _policy_name(environment: Environment, *, asked: bool) -> str | None:
    """Nothing is cleaned without the tag: then there is none, and a request is refused."""
    name = environment.policy_name("cleanup")
    if name and name != "off":
        return name
    if not asked:
        return None
    raise PermanentError(
        f"{environment.ref} has no policy for clean-ups",
        cause="NoPolicy",
        remedy="Tag the environment groundcrew:cleanup=<name of a policy>.",
    )


def _order(envelope: Envelope, ref: EnvironmentRef, name: str, policy: Policy) -> Order:
    """The same order for the same request, and one for each of the policy's periods else; so it is begun once."""
    if envelope.source != REQUEST:
        began = period(envelope.now, policy.every_hours)
        return Order(
            environment=ref,
            cleanup_id=job_id(ref, "due", began),
            policy=name,
            reason="due",
            correlation_id=envelope.id,
            ordered_at=envelope.now,
        )
    return Order(
        environment=ref,
        cleanup_id=job_id(ref, envelope.correlation_id, envelope.now),
        policy=name,
        reason=envelope.detail.get("reason", "asked"),
        dry_run=envelope.dry_run,
        request_id=envelope.request_id,
        correlation_id=envelope.correlation_id,
        ordered_at=envelope.now,
    )


def _measure(policy: Policy, ref: EnvironmentRef, now: datetime, config: Settings, more: MetadataSettings) -> None:
    """For how long the environment is behind its policy; one that only reports never is."""
    if policy.deletes:
        bucket = Bucket.own(more.bucket, config.account, config.region)
        measure_hours("CleanupBehindHours", hours_behind(bucket, ref, now))


def _announce(
    config: Settings, envelope: Envelope, ref: EnvironmentRef, error: PermanentError, policy: str | None
) -> None:
    """What stops a request is announced, and what keeps an environment with a policy from ever being due."""
    asked = envelope.source == REQUEST
    if not asked and policy is None:
        return
    detail: dict[str, Any] = {
        "cleanup_id": job_id(ref, envelope.correlation_id, envelope.now),
        "policy": policy or "",
        "reason": envelope.detail.get("reason", "asked") if asked else "due",
        "engine": None,
        "airflow_version": None,
        "correlation_id": envelope.correlation_id,
        "request_id": envelope.request_id,
        "cause": error.cause,
        "evidence": error.what,
        "remedy": error.remedy,
        "tables": {},
        "seconds": 0,
        "report": None,
    }
    with keeping():
        bus.announce([Fact(FAILED, ref, detail)], bus=config.bus, region=config.region)
    count("CleanupsFailed")
    if error.cause in ("InvalidPolicy", "MissingPolicy") and not asked:
        count("PoliciesUnusable")

"""The worker of the queue ``groundcrew-exports``: an event about an environment → its export is begun, if due."""

from datetime import datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from exports.ask import REQUESTED, Ask
from exports.order import FAILED, Order
from exports.planner import READY, lag, overdue
from exports.policy import Policy
from groundcrew import manifests
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
from groundcrew.jobs import asked_name, digest, job_id
from groundcrew.observability import count, logger, measure, observed
from groundcrew.settings import MetadataSettings, Settings, metadata_settings, settings
from groundcrew.shipping import withdraw
from groundcrew.work import LookAgain, keeping, work_through

KNOWN = {(MWAA, STATUS_CHANGE), (FACT, OBSERVED), (REQUEST, REQUESTED)}
"""Source and type of the events that there is something to do for; the rules of ``template.yaml`` pass on no others."""


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work through a batch of events."""
    config, more = settings(), metadata_settings()
    roles = Roles(config.partition, config.region, session_name="groundcrew-exports")
    return work_through(event, lambda envelope: _work(envelope, config, more, roles), SqsQueue())


def _work(envelope: Envelope, config: Settings, more: MetadataSettings, roles: Roles) -> LookAgain | None:
    """Begin what is asked for or due. A request that cannot be is announced; the sweep comes back by itself."""
    ref = accepted(envelope, KNOWN, config)
    asked = envelope.source == REQUEST
    name = swept_policy(envelope, "exports")
    try:
        environment = airflow.get_environment(roles, ref)
        name = _policy_name(environment, asked=asked)
        if name is None:
            if environment.policy_name("exports") == "off" and environment.status in READY and config.acts:
                withdraw(environment, roles, "exports")
            return None
        parameter = f"/groundcrew/exports/{name}"
        policy = Policy.read(parameters.document(parameter, config.region), parameter)
        order = _asked(envelope, ref, name) if asked else None
    except NotFound as error:
        if not asked and error.cause != "MissingPolicy":
            return None  # deleted between the event and the look
        _announce(config, envelope, ref, error, name)
        raise
    except PermanentError as error:
        _announce(config, envelope, ref, error, name)
        raise
    if order:
        machines.start(more.machine, asked_name(ref, envelope.correlation_id), order.as_state(), config.region)
        return None
    bucket = Bucket.own(more.bucket, config.account, config.region)
    last = manifests.newest(bucket, ref, environment.created_at, envelope.now)
    measure("ExportLagSchedules", lag(policy, environment, last, envelope.now))
    if environment.status not in READY or (last and not overdue(policy, environment, last, envelope.now)):
        logger.info("nothing to do", status=environment.status)
        return None
    order = _due(envelope, ref, name)
    machines.start(more.machine, _slot(ref, last, envelope.now), order.as_state(), config.region)
    return None


def _policy_name(environment: Environment, *, asked: bool) -> str | None:
    """Nothing is exported without the tag: then there is none, and a request is refused."""
    name = environment.policy_name("exports")
    if name and name != "off":
        return name
    if not asked:
        return None
    raise PermanentError(
        f"{environment.ref} has no policy for exports",
        cause="NoPolicy",
        remedy="Tag the environment groundcrew:exports=<name of a policy>.",
    )


def _asked(envelope: Envelope, ref: EnvironmentRef, policy: str) -> Order:
    """The same order for the same request, so that it is begun once."""
    return Order(
        environment=ref,
        export_id=job_id(ref, envelope.correlation_id, envelope.now),
        policy=policy,
        correlation_id=envelope.correlation_id,
        ordered_at=envelope.now,
        ask=Ask.read(envelope.detail).as_json(),
        request_id=envelope.request_id,
    )


def _due(envelope: Envelope, ref: EnvironmentRef, policy: str) -> Order:
    return Order(
        environment=ref,
        export_id=job_id(ref, "due", envelope.now),
        policy=policy,
        correlation_id=envelope.id,
        ordered_at=envelope.now,
    )


def _slot(ref: EnvironmentRef, last: manifests.Manifest | None, now: datetime) -> str:
    """The name of what is due: begun once an hour, and anew as soon as there is a newer export to go on from."""
    return f"due-{digest(ref, last.export_id if last else 'first', 8)}-{now:%Y%m%dT%H}"


def _announce(
    config: Settings, envelope: Envelope, ref: EnvironmentRef, error: PermanentError, policy: str | None
) -> None:
    """What stops a request is announced, and what keeps an environment with a policy from ever being due."""
    asked = envelope.source == REQUEST
    if not asked and policy is None:
        return
    detail: dict[str, Any] = {
        "export_id": job_id(ref, envelope.correlation_id, envelope.now),
        "policy": policy or "",
        "reason": (envelope.detail.get("reason") or "somebody asked") if asked else "due",
        "engine": None,
        "airflow_version": None,
        "correlation_id": envelope.correlation_id,
        "request_id": envelope.request_id,
        "cause": error.cause,
        "evidence": error.what[:1000],
        "remedy": error.remedy,
    }
    with keeping():
        bus.announce([Fact(FAILED, ref, detail)], bus=config.bus, region=config.region)
    count("ExportsFailed")
    if error.cause in ("InvalidPolicy", "MissingPolicy") and not asked:
        count("PoliciesUnusable")

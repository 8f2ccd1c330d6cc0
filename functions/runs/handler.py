"""The worker of the queue ``groundcrew-runs``: an order → its DAG run is there, once, or it is said why it is not."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from groundcrew.aws import bus, machines
from groundcrew.aws.queue import SqsQueue
from groundcrew.aws.session import Roles
from groundcrew.errors import PermanentError
from groundcrew.events import Envelope, Fact
from groundcrew.observability import about, count, observed
from groundcrew.settings import Settings, settings
from groundcrew.work import LookAgain, keeping, work_through
from runs.job import Job, Started
from runs.order import REJECTED, STARTED, Order
from runs.settings import RunSettings, run_settings
from runs.watched import Watched


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work through a batch of orders."""
    config, more = settings(), run_settings()
    roles = Roles(config.partition, config.region, session_name="groundcrew-runs")
    return work_through(event, lambda envelope: _work(envelope, config, more, roles), SqsQueue())


def now() -> datetime:
    """The time by which orders expire."""
    return datetime.now(UTC)


def _work(envelope: Envelope, config: Settings, more: RunSettings, roles: Roles) -> LookAgain | None:
    """Do a job, and announce how it ended; a rejection is raised once it is announced."""
    with keeping():  # the router's own: what cannot be read came from elsewhere, or from another version
        order = Order.read(envelope)
    about(order.environment, order.correlation_id)
    try:
        outcome = Job(order, config, more, roles).do(now)
    except PermanentError as error:
        detail = {"sender": order.sender, "cause": error.cause, "evidence": error.what, "remedy": error.remedy}
        _announce(config, Fact(REJECTED, order.environment, order.about | detail))
        count("RunsRejected")
        raise
    if isinstance(outcome, LookAgain):
        return outcome
    if order.wait:
        watched = Watched.of(order, outcome.environment)
        with keeping():
            machines.start(more.follow_machine, watched.name, watched.as_state(), config.region)
    _announce(config, _fact(order, outcome))
    count("RunsStarted")
    return None


def _fact(order: Order, started: Started) -> Fact:
    detail = {
        "way": started.way,
        "airflow_version": started.environment.airflow_version,
        "logical_date": order.logical_date.isoformat() if order.logical_date else None,
        "already": started.already,
    }
    return Fact(STARTED, order.environment, order.about | detail)


def _announce(config: Settings, fact: Fact) -> None:
    with keeping():
        bus.announce([fact], bus=config.bus, region=config.region)

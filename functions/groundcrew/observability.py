"""The one logger and the one set of metrics; prose stays out of both, keys and outcomes go in."""

import json
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from groundcrew.environment import EnvironmentRef

# In ASCII, unlike by default: what a text quotes can neither start a line of its own nor make the line unwritable
# (half a surrogate pair cannot be encoded).
logger = Logger(service="groundcrew", json_serializer=partial(json.dumps, default=str, separators=(",", ":")))
metrics = Metrics(namespace="Groundcrew", service="groundcrew")


Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


def observed(handler: Handler) -> Handler:
    """Give a handler's log lines the context of the invocation, and write its metrics out at the end, if it counted
    anything.
    """

    @logger.inject_lambda_context(clear_state=True)
    @wraps(handler)
    def observing(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        try:
            return handler(event, context)
        finally:
            if metrics.metric_set:
                metrics.flush_metrics()

    return observing


def about_message(message_id: str) -> None:
    """Name the message that all following log lines are about, and forget what those before were about."""
    logger.remove_keys(["environment", "account", "region", "correlation_id"])
    logger.append_keys(message_id=message_id)


def about(environment: EnvironmentRef | None, correlation_id: str) -> None:
    """Name the environment, if it is one, and the request that all following log lines are about."""
    logger.append_keys(
        environment=environment.name if environment else None,
        account=environment.account if environment else None,
        region=environment.region if environment else None,
        correlation_id=correlation_id,
    )


def measure_hours(name: str, hours: float) -> None:
    """Record a duration in hours; CloudWatch has no such unit."""
    metrics.add_metric(name=name, unit="None", value=hours)


def measure(name: str, value: float) -> None:
    """Record a number that has no unit."""
    metrics.add_metric(name=name, unit="None", value=value)


def count(outcome: str, number: int = 1) -> None:
    """Count an outcome; the name says which (``EndpointsBlocked``), never about whom."""
    metrics.add_metric(name=outcome, unit="Count", value=number)

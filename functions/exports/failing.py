"""How a step of an export fails: what trying again cannot cure is announced, once, and ends the execution."""

from collections.abc import Iterator
from contextlib import contextmanager

from exports.order import FAILED, Order
from groundcrew.aws import bus
from groundcrew.errors import PermanentError
from groundcrew.events import Fact
from groundcrew.observability import count, logger
from groundcrew.settings import Settings


class ExportFailed(Exception):
    """The name by which ``statemachines/exports.asl.yaml`` knows that it need not try again; a redrive may."""


@contextmanager
def failing(order: Order, config: Settings) -> Iterator[None]:
    """Announce what is refused inside.

    Raises:
        ExportFailed: it was, and is announced.
    """
    try:
        yield
    except PermanentError as error:
        logger.error("cannot go on", cause=error.cause, error=error.what, remedy=error.remedy)
        detail = {"cause": error.cause, "evidence": error.what[:1000], "remedy": error.remedy}
        bus.announce([Fact(FAILED, order.environment, order.about | detail)], bus=config.bus, region=config.region)
        count("ExportsFailed")
        raise ExportFailed(f"{error.cause}: {error.what}"[:500]) from error

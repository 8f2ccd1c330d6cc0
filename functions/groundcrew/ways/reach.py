"""Reaching an environment's Airflow: by its REST API, and where that does not serve, by its command line."""

from collections.abc import Callable
from typing import TypeVar

from groundcrew.aws.locks import Locks
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment
from groundcrew.errors import GroundcrewError, PermanentError, TransientError
from groundcrew.observability import logger
from groundcrew.ways.cli import CliWay
from groundcrew.ways.rest import RestWay
from groundcrew.ways.seen import Way, WayClosed

Answer = TypeVar("Answer")

NO_ROUTE = frozenset({"NoAnswer", "NoWay", "RestDenied", "RestApiClientException"})
"""How it shows that a private web server is asked from outside its VPC; which of these it is, is not documented."""


class Reach:
    """The ways into one environment, the better one first."""

    def __init__(self, roles: Roles, environment: Environment, locks: Locks, *, in_vpc: bool) -> None:
        """``in_vpc``: this function has a place in a VPC, from which private web servers may be reached."""
        self._ways: tuple[Way, ...] = (RestWay(roles, environment), CliWay(roles, environment, locks))
        self._environment = environment
        self._in_vpc = in_vpc
        self._served = False  # by REST

    def ask(self, question: Callable[[Way], Answer]) -> tuple[Answer, str]:
        """The answer, and the name of the way that gave it.

        Raises:
            PermanentError: ``Unreachable``, or what Airflow refuses.
            TransientError: Airflow, or the road to it, is in trouble.
        """
        rest, cli = self._ways
        try:
            try:
                answer = question(rest)
                self._served = True
                return answer, rest.name
            except WayClosed as closed:
                if closed.cause == "RestDenied" and self._private and not self._in_vpc:
                    raise
                if closed.cause == "RestDenied" and self._served:  # a moment ago; the command line shows less
                    raise TransientError(closed.what, cause=closed.cause) from closed
                logger.info("by command line", cause=closed.cause, error=closed.what)
                return question(cli), cli.name
        except GroundcrewError as error:
            if self._private and not self._served and error.cause in (NO_ROUTE if not self._in_vpc else {"NoWay"}):
                raise self._unreachable(error) from error
            raise

    @property
    def _private(self) -> bool:
        return self._environment.webserver_access_mode == "PRIVATE_ONLY"

    def _unreachable(self, error: GroundcrewError) -> PermanentError:
        return PermanentError(
            f"the private web server of {self._environment.ref} cannot be reached from here: {error.what}",
            cause="Unreachable",
            remedy="Deploy the hub with VpcSubnetIds and VpcSecurityGroupIds of a VPC from which it can be reached.",
        )

"""The worker of the queue ``groundcrew-run-requests``: a request → one order for each environment that it means and may
mean, and a fact about whatever was not to be had.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from groundcrew.authorization import Grants, RequestDenied, authorize, denial, require_looked_after
from groundcrew.aws import bus, parameters, queue
from groundcrew.aws.session import Roles
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import AccessDenied, PermanentError, TransientError
from groundcrew.events import Envelope, Fact
from groundcrew.observability import about, count, observed
from groundcrew.places import Place, places
from groundcrew.settings import Settings, settings
from groundcrew.work import keeping, refuse, work_through
from runs.order import PLANNED, REJECTED, Order
from runs.request import Request, reason, rejection
from runs.resolver import Resolver
from runs.selection import Selector, chosen_places, require_known
from runs.settings import orders_url


@dataclass(slots=True)
class Outcome:
    """What becomes of a request: environments it means, and refusals, each of an environment or of more than one.

    ``failed``: where nobody could look now; the request comes back for these.
    """

    environments: list[EnvironmentRef] = field(default_factory=list)
    refusals: list[tuple[EnvironmentRef | None, PermanentError]] = field(default_factory=list)
    failed: list[TransientError] = field(default_factory=list)


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work through a batch of requests."""
    config = settings()
    router = Router(config, orders_url(), Resolver(Roles(config.partition, config.region, "groundcrew-runs-router")))
    return work_through(event, router.route, queue.SqsQueue(), router.unreadable)


def now() -> datetime:
    """The time by which requests expire."""
    return datetime.now(UTC)


class Router:
    """Routes the requests of one invocation."""

    def __init__(self, config: Settings, orders: str, resolver: Resolver) -> None:
        """``orders`` is the queue's URL."""
        self._config = config
        self._orders = orders
        self._resolver = resolver
        self._grants: Grants = cache(self._grant)

    def route(self, envelope: Envelope) -> None:
        """Order what is asked for, then say what is refused.

        Orders are sent even if some places could not be looked into; for these the request comes back until it
        expires, and whatever is ordered twice its worker recognises. Refusals are said once, when there is nothing
        left to try again.

        Raises:
            PermanentError: the request is not valid; it is announced.
            TransientError: some environments may be missing.
        """
        about(None, _id(envelope))
        try:
            request = Request.read(envelope, self._config, now())
            outcome = self._resolve(envelope, request)
        except PermanentError as error:
            self._announce([rejection(envelope, None, error)])
            raise
        orders = [request.order(environment) for environment in outcome.environments]
        self._send(orders)
        if outcome.failed and now() < request.expires_at:
            raise outcome.failed[0]
        outcome.refusals += [(None, _not_looked_into(failure)) for failure in outcome.failed]
        self._announce([_refusal(envelope, environment, refusal) for environment, refusal in outcome.refusals])
        for environment, refusal in outcome.refusals:
            about(environment, _id(envelope))
            refuse(refusal)

    def unreadable(self, message_id: str, error: PermanentError) -> None:
        """Announce a message that is no event, as a route may make one by mistake."""
        self._announce([Fact(REJECTED, None, {"correlation_id": message_id} | reason(error))])

    # ---------------------------------------------------------------------------------------------------- what is meant
    def _resolve(self, envelope: Envelope, request: Request) -> Outcome:
        outcome = Outcome()
        meant = request.targets
        if isinstance(meant, Selector):
            meant = self._select(envelope, meant, outcome)
        for environment in meant:
            try:
                authorize(envelope, environment, self._config.account, self._grants)
                require_looked_after(environment, self._config)
            except PermanentError as error:
                outcome.refusals.append((environment, error))
            else:
                outcome.environments.append(environment)
        return outcome

    def _select(self, envelope: Envelope, selector: Selector, outcome: Outcome) -> tuple[EnvironmentRef, ...]:
        """The environments that a selector means; what is in the way of finding them goes into the outcome."""
        fleet = places(self._config)
        chosen = self._open_to(envelope, chosen_places(selector, fleet), outcome)
        try:
            require_known(selector, fleet)
        except PermanentError as error:
            outcome.refusals.append((None, error))
        found = self._resolver.find(selector, chosen)
        outcome.refusals += found.refused
        outcome.failed += found.failed
        if not (found.environments or outcome.refusals or outcome.failed):
            outcome.refusals.append((None, _nothing()))
        return found.environments

    def _open_to(self, envelope: Envelope, chosen: list[Place], outcome: Outcome) -> list[Place]:
        """The places where an environment can be the sender's to ask for: a fleet is not searched for nothing."""
        sender = envelope.account
        if sender == self._config.account or self._grants(sender) is not None:
            return chosen
        own = [place for place in chosen if place.account == sender]
        if len(own) < len(chosen):
            others = RequestDenied(
                f"account {sender} may not ask for {envelope.detail_type!r} of other accounts' environments",
                cause="RequestDenied",
                remedy=f'Say "accounts": ["{sender}"], or put a grant into the parameter /groundcrew/grants/{sender}.',
            )
            outcome.refusals.append((None, others))
        return own

    def _grant(self, account: str) -> Mapping[str, Any] | None:
        with keeping(AccessDenied):
            return parameters.grants(self._config.region)(account)

    # ---------------------------------------------------------------------------------------------------- what is done
    def _send(self, orders: list[Order]) -> None:
        if not self._config.acts:
            self._announce([Fact(PLANNED, order.environment, order.about) for order in orders])
        elif orders:
            messages = (order.as_message(self._config.region) for order in orders)
            with keeping():
                queue.send(self._orders, messages, region=self._config.region)
            count("RunsOrdered", len(orders))

    def _announce(self, facts: list[Fact]) -> None:
        with keeping():
            bus.announce(facts, bus=self._config.bus, region=self._config.region)


def _refusal(envelope: Envelope, environment: EnvironmentRef | None, error: PermanentError) -> Fact:
    if isinstance(error, RequestDenied):
        return denial(envelope, environment, error)
    return rejection(envelope, environment, error)


def _nothing() -> PermanentError:
    return PermanentError(
        "the selector selects no environment",
        cause="NothingSelected",
        remedy="Compare it with the accounts, Regions and tags of the environments.",
    )


def _not_looked_into(failure: TransientError) -> PermanentError:
    return PermanentError(
        f"what the selector means there could not be seen before the request expired: {failure.what}",
        cause="Expired",
        remedy=failure.remedy
        or "Look whether the stack's SpokeAccounts and SpokeRegions name places that MWAA serves.",
    )


def _id(envelope: Envelope) -> str:
    """For log lines, which must not be as long as an id may be."""
    return envelope.id[:200]

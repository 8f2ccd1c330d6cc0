"""The worker of the queue ``groundcrew-token-rotations.fifo``: an order → every environment of its binding has a fresh
token, all from one mint; who could not be given one is said.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from groundcrew.aws import bus
from groundcrew.aws.packages import Repositories, check_index
from groundcrew.aws.queue import SqsQueue
from groundcrew.errors import PermanentError, TransientError
from groundcrew.events import Envelope, Fact
from groundcrew.observability import about, count, logger, observed
from groundcrew.settings import Settings, settings
from groundcrew.work import keeping, refuse, work_through
from tokens.binding import Binding
from tokens.causes import explained
from tokens.facts import failed, rotated
from tokens.look import Bindings, View
from tokens.order import Order
from tokens.plan import Deliver, Nothing, Refuse, Target
from tokens.planner import unfit
from tokens.settings import minter_arn
from tokens.survey import Survey, Trouble
from tokens.token import USER, Delivered, Token, document, requirements

LAST_TRY = 10
"""``maxReceiveCount`` of the queue (``template.yaml``): after it, a message is a dead letter."""


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Carry out the order in a batch of one."""
    last = any(int(record["attributes"]["ApproximateReceiveCount"]) >= LAST_TRY for record in event["Records"])
    return work_through(event, lambda envelope: Rotation(Survey(settings())).carry_out(envelope, last), SqsQueue())


@dataclass(slots=True)
class Rotation:
    """One order, carried out."""

    survey: Survey
    facts: list[Fact] = field(default_factory=list)

    @property
    def config(self) -> Settings:
        """Of this function."""
        return self.survey.config

    def carry_out(self, envelope: Envelope, last: bool) -> None:
        """Survey, mint, deliver, announce.

        Args:
            envelope: the order.
            last: nobody tries again after this, so what is still missing is announced, too.

        Raises:
            TransientError: some environments have no new token yet; the order comes back for them.
        """
        order = Order.read(envelope)
        about(order.forced, order.id)
        try:
            self._rotate(order, envelope.now)
        except (PermanentError, TransientError) as error:
            self.survey.troubles.append(Trouble(error))
        self._conclude(order, last)

    def _rotate(self, order: Order, now: datetime) -> None:
        binding = Bindings(self.config).get(order.binding)
        views = self.survey.views(binding, order, now)
        for view in views:
            if isinstance(view.plan, Refuse):
                self.survey.troubles.append(Trouble(_error(view.plan), view.ref, view.hours_left))
            elif (known := _delivered_before(view, order)) is not None:
                reason = "an earlier try of this order has delivered it"
                self.facts.append(rotated(view.ref, binding, known, view.target, reason, now))
        due: defaultdict[Target, list[View]] = defaultdict(list)
        for view in views:
            if isinstance(view.plan, Deliver):
                due[view.target].append(view)
        logger.info("surveyed", binding=binding.name, environments=len(views), targets_due=len(due))
        if not due:
            return
        try:
            token = self._mint(binding, order.at, now)
        except (PermanentError, TransientError) as error:
            for views in due.values():
                self._troubled(views, error)
            return
        for where, outcome in self.survey.at_targets(due, lambda where: self._put(binding, token, due[where])):
            if outcome is None:
                for view in due[where]:
                    known = Delivered.of(token, binding, view.ref.name)
                    self.facts.append(rotated(view.ref, binding, known, where, view.plan.reason, now))
            else:
                self._troubled(due[where], outcome)

    def _mint(self, binding: Binding, ordered_at: datetime, now: datetime) -> Token:
        """A token that was seen to open its repositories, so that none that works is replaced by one that does not."""
        wanted = Repositories(
            partition=self.config.partition,
            home_region=self.config.region,
            minter=minter_arn(),
            domain=binding.domain,
            owner=binding.owner,
            region=binding.region,
            names=binding.repositories,
        )
        try:
            secret, expires_at, endpoints = wanted.mint(binding.duration_seconds)
        except PermanentError as error:
            raise explained(error) from error
        count("TokensMinted")
        token = Token(secret, ordered_at, expires_at, tuple(f"{endpoint}simple/" for endpoint in endpoints))
        refusal = unfit(binding, token, now)
        if refusal:
            raise _error(refusal)
        if binding.verify == "index":
            for url in token.urls:
                check_index(url, USER, token.secret)
        return token

    def _put(self, binding: Binding, token: Token, views: list[View]) -> None:
        """Put the token where these environments read it."""
        first = views[0]
        known = Delivered.of(token, binding, first.ref.name)
        if first.target.kind == "requirements":
            content = requirements(token, binding)
        else:
            content = document(token, binding, known)
        self.survey.shelf(first.target).put(content, known, first.held)

    def _troubled(self, views: list[View], error: PermanentError | TransientError) -> None:
        self.survey.troubles += [Trouble(error, view.ref, view.hours_left) for view in views]

    def _conclude(self, order: Order, last: bool) -> None:
        """Say what was done and what was not; what may go better later comes back."""
        again = [trouble.error for trouble in self.survey.troubles if isinstance(trouble.error, TransientError)]
        said = [trouble for trouble in self.survey.troubles if last or isinstance(trouble.error, PermanentError)]
        for trouble in said:
            about(trouble.environment or order.forced, order.id)
            refuse(PermanentError(trouble.error.what, cause=trouble.error.cause, remedy=trouble.error.remedy))
            self.facts.append(failed(trouble.environment, order.binding, trouble.error, trouble.hours_left))
        count("TokensRotated", len(self.facts) - len(said))
        count("TokensFailed", len(said))
        with keeping():
            bus.announce(self.facts, bus=self.config.bus, region=self.config.region)
        if again:
            raise TransientError(again[0].what, cause=again[0].cause, remedy=again[0].remedy)


def _delivered_before(view: View, order: Order) -> Delivered | None:
    """The token that this order has brought already, by a try that may not have come to say so."""
    known = view.held.delivered if view.held and isinstance(view.plan, Nothing) else None
    return known if known and known.minted_at == order.at else None


def _error(refusal: Refuse) -> PermanentError:
    return PermanentError(refusal.reason, cause=refusal.cause, remedy=refusal.remedy)

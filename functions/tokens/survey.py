"""A binding's environments in all the accounts that it serves, and what lies at their targets; a few places side by
side, and none stops another.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from groundcrew.aws import airflow
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.errors import NotFound, PermanentError, TransientError
from groundcrew.observability import logger
from groundcrew.places import Place, places, side_by_side
from groundcrew.settings import Settings
from tokens.binding import Binding
from tokens.causes import explained
from tokens.look import View, bound_to, decided
from tokens.order import Order
from tokens.plan import Held, Target, target
from tokens.shelf import Shelf

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is in the way, of one environment or of all that there may be in a place."""

    error: PermanentError | TransientError
    environment: EnvironmentRef | None = None
    hours_left: float | None = None


@dataclass(slots=True)
class Survey:
    """One survey. A place's roles are used by one thread at a time."""

    config: Settings
    troubles: list[Trouble] = field(default_factory=list)
    _roles: dict[Place, Roles] = field(default_factory=dict)

    def views(self, binding: Binding, order: Order, now: datetime) -> list[View]:
        """Every environment that is bound and could be looked at; what could not, is in ``troubles``."""
        served = [place for place in places(self.config) if place.account in binding.accounts]
        by_target: defaultdict[Target, list[Environment]] = defaultdict(list)
        for _, listed in self._each(served, lambda place: place, lambda place: self._bound(place, binding)):
            if isinstance(listed, list):
                for environment in listed:
                    by_target[target(binding, environment)].append(environment)
            else:
                self.troubles.append(Trouble(listed))
        views: list[View] = []
        for where, found in self.at_targets(by_target, self._held):
            for environment in by_target[where]:
                if isinstance(found, tuple):
                    asked_at = order.at if order.forced == environment.ref else None
                    views.append(decided(binding, environment, where, found[0], now, asked_at))
                else:
                    self.troubles.append(Trouble(found, environment.ref))
        return views

    def at_targets(
        self, targets: Iterable[Target], act: Callable[[Target], Found]
    ) -> list[tuple[Target, Found | PermanentError | TransientError]]:
        """Do something at each target; what came of it, or what went wrong there."""
        return self._each(targets, lambda where: Place(where.account, where.region), act)

    def shelf(self, where: Target) -> Shelf:
        """The place of a target."""
        return Shelf(where, self._roles[Place(where.account, where.region)])

    def _held(self, where: Target) -> tuple[Held | None]:
        return (self.shelf(where).held(),)

    def _bound(self, place: Place, binding: Binding) -> list[Environment]:
        roles = self._roles[place]
        found = []
        for ref in airflow.list_environments(roles, place.account, place.region):
            try:
                environment = airflow.get_environment(roles, ref)
            except NotFound:  # deleted between list and look
                continue
            except (PermanentError, TransientError) as error:
                self.troubles.append(Trouble(error, ref))
                continue
            if bound_to(environment) == binding.name:
                found.append(environment)
        return found

    def _each(
        self, items: Iterable[Item], place_of: Callable[[Item], Place], act: Callable[[Item], Found]
    ) -> list[tuple[Item, Found | PermanentError | TransientError]]:
        by_place: defaultdict[Place, list[Item]] = defaultdict(list)
        for item in items:
            by_place[place_of(item)].append(item)
        for place in by_place:
            self._roles.setdefault(place, Roles(self.config.partition, self.config.region, "groundcrew-tokens"))

        def at_place(here: list[Item]) -> list[tuple[Item, Found | PermanentError | TransientError]]:
            return [(item, _attempt(act, item)) for item in here]

        return [outcome for outcomes in side_by_side(at_place, by_place.values()) for outcome in outcomes]


def _attempt(act: Callable[[Item], Found], item: Item) -> Found | PermanentError | TransientError:
    try:
        return act(item)
    except PermanentError as error:
        return explained(error)
    except TransientError as error:
        return error
    except Exception as error:
        # A mistake of ours must not keep everybody else from a token.
        logger.exception("failed")
        return TransientError(f"{item}: {type(error).__name__}", cause="Unexpected", remedy="Report this.")

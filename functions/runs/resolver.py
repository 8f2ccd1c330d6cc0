"""Finding the environments that a selector means, in the accounts and Regions where they may be."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from groundcrew.aws import airflow
from groundcrew.aws.session import Roles
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import GroundcrewError, NotFound, PermanentError, TransientError
from groundcrew.places import Place, side_by_side
from runs.selection import Selector, matches

Item = TypeVar("Item")
Sight = TypeVar("Sight")


@dataclass(frozen=True, slots=True)
class Found:
    """``environments`` that are meant, and what stood in the way of finding all of them: for good, of an environment or
    of a whole place, or for now.
    """

    environments: tuple[EnvironmentRef, ...]
    refused: tuple[tuple[EnvironmentRef | None, PermanentError], ...]
    failed: tuple[TransientError, ...]


class Resolver:
    """The eyes of one invocation: what was seen for one message is not looked at again for the next."""

    def __init__(self, roles: Roles) -> None:
        """Nothing is looked at yet."""
        self._roles = roles
        self._names: dict[Place, list[EnvironmentRef]] = {}
        self._tags: dict[EnvironmentRef, dict[str, str]] = {}

    def find(self, selector: Selector, places: Iterable[Place]) -> Found:
        """Look into these places; one that cannot be looked into stops no other."""
        listed, unlisted = _each(self._list, places)
        refs = [ref for refs in listed.values() for ref in refs]
        troubles: list[tuple[EnvironmentRef | None, GroundcrewError]] = [(None, error) for error in unlisted.values()]
        if selector.tags:
            tagged, unread = _each(self._read_tags, refs)
            refs = [ref for ref, tags in tagged.items() if matches(ref, tags, selector)]
            # What is not found was deleted between list and look.
            troubles += [(ref, error) for ref, error in unread.items() if not isinstance(error, NotFound)]
        return Found(
            environments=tuple(sorted(refs)),
            refused=tuple((ref, error) for ref, error in troubles if isinstance(error, PermanentError)),
            failed=tuple(error for _, error in troubles if isinstance(error, TransientError)),
        )

    def _list(self, place: Place) -> list[EnvironmentRef]:
        if place not in self._names:
            self._names[place] = airflow.list_environments(self._roles, place.account, place.region)
        return self._names[place]

    def _read_tags(self, ref: EnvironmentRef) -> dict[str, str]:
        if ref not in self._tags:
            self._tags[ref] = airflow.tags(self._roles, ref)
        return self._tags[ref]


def _each(
    look: Callable[[Item], Sight], items: Iterable[Item]
) -> tuple[dict[Item, Sight], dict[Item, GroundcrewError]]:
    """What each item shows, and why others do not."""
    seen: dict[Item, Sight] = {}
    unseen: dict[Item, GroundcrewError] = {}

    def attempt(item: Item) -> None:
        try:
            seen[item] = look(item)
        except GroundcrewError as error:
            unseen[item] = error

    side_by_side(attempt, items)
    return seen, unseen

"""Which environments a selector means. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.places import Place


@dataclass(frozen=True, slots=True)
class Selector:
    """What an environment must match: all of what is said. ``everything``: the whole fleet is meant, if it comes to
    that.
    """

    accounts: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)
    everything: bool = False

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read the selector of a request that its schema has let through.

        Raises:
            PermanentError: it says nothing.
        """
        if not document:
            raise PermanentError(
                "the selector says nothing",
                cause="EmptySelector",
                remedy='Select by "accounts", "regions" or "tags"; for the whole fleet say "all": true.',
            )
        return cls(
            accounts=frozenset(document.get("accounts", ())),
            regions=frozenset(document.get("regions", ())),
            tags=dict(document.get("tags", {})),
            everything=document.get("all", False),
        )


def chosen_places(selector: Selector, fleet: Collection[Place]) -> list[Place]:
    """Where to look for what a selector means.

    Raises:
        PermanentError: it comes to the whole fleet, and does not say so.
    """
    chosen = [place for place in fleet if _in_place(place, selector)]
    if len(chosen) == len(fleet) and not (selector.tags or selector.everything):
        raise PermanentError(
            "the selector selects every environment of the fleet",
            cause="SelectsEverything",
            remedy='If every environment is meant, say "all": true; else name fewer accounts or Regions, or tags.',
        )
    return chosen


def require_known(selector: Selector, fleet: Collection[Place]) -> None:
    """Raise a PermanentError for accounts and Regions that are named and not looked after."""
    unknown = [
        *sorted(selector.accounts - {place.account for place in fleet}),
        *sorted(selector.regions - {place.region for place in fleet}),
    ]
    if unknown:
        raise PermanentError(
            f"this stack does not look after {', '.join(unknown[:10])}{' and others' if len(unknown) > 10 else ''}",
            cause="NotConfigured",
            remedy="Add the account to SpokeAccounts, the Region to SpokeRegions, and deploy the spoke there.",
        )


def matches(environment: EnvironmentRef, tags: Mapping[str, str], selector: Selector) -> bool:
    """Whether an environment with these tags is meant."""
    return _in_place(Place(environment.account, environment.region), selector) and all(
        tags.get(key) == value for key, value in selector.tags.items()
    )


def _in_place(place: Place, selector: Selector) -> bool:
    return (not selector.accounts or place.account in selector.accounts) and (
        not selector.regions or place.region in selector.regions
    )

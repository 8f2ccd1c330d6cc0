"""Where environments are looked for: the accounts and Regions that the stack looks after."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from groundcrew.settings import Settings

AT_ONCE = 8
"""Looks side by side."""

Item = TypeVar("Item")
Sight = TypeVar("Sight")


@dataclass(frozen=True, slots=True)
class Place:
    """One spoke account in one Region."""

    account: str
    region: str

    def __str__(self) -> str:
        """Account and Region, for sentences."""
        return f"{self.account}/{self.region}"


def places(config: Settings) -> list[Place]:
    """All of them."""
    return [Place(account, region) for account in config.spoke_accounts for region in config.spoke_regions]


def side_by_side(look: Callable[[Item], Sight], items: Iterable[Item]) -> list[Sight]:
    """Look at each item, a few at a time; what a look raises is raised."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(look, items))

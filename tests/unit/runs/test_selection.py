"""Which environments a selector means."""

import pytest

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.places import Place
from runs.selection import Selector, chosen_places, matches, require_known
from tests.support.stage import HUB, SPOKE, SPOKE2

FLEET = [Place(account, region) for account in (HUB, SPOKE, SPOKE2) for region in ("us-east-1", "eu-west-3")]
ORDERS = EnvironmentRef(SPOKE, "us-east-1", "orders")
TAGS = {"team": "orders", "tier": "gold"}


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ({"all": True}, True),
        ({"accounts": [SPOKE]}, True),
        ({"accounts": [HUB, SPOKE], "regions": ["us-east-1"], "tags": {"team": "orders"}}, True),
        ({"accounts": [HUB], "tags": {"team": "orders"}}, False),
        ({"regions": ["eu-west-3"]}, False),
        ({"all": True, "regions": ["eu-west-3"]}, False),
        ({"tags": {"team": "orders", "tier": "gold"}}, True),
        ({"tags": {"team": "orders", "tier": "silver"}}, False),
        ({"tags": {"Team": "orders"}}, False),
        ({"tags": {"team": "Orders"}}, False),
        ({"tags": {"team": ""}}, False),
        ({"tags": {"more": ""}}, False),
    ],
)
def test_an_environment_must_match_all_that_is_said(selector: dict[str, object], meant: bool) -> None:
    assert matches(ORDERS, TAGS, Selector.read(selector)) is meant


@pytest.mark.parametrize(
    ("selector", "number"),
    [
        ({"all": True}, 6),
        ({"accounts": [SPOKE]}, 2),
        ({"regions": ["us-east-1"]}, 3),
        ({"accounts": [SPOKE, HUB], "regions": ["us-east-1"]}, 2),
        ({"tags": {"team": "orders"}}, 6),
        ({"accounts": ["444444444444"]}, 0),
        ({"accounts": [HUB, SPOKE, SPOKE2], "all": True}, 6),
    ],
)
def test_only_places_that_are_meant_are_looked_into(selector: dict[str, object], number: int) -> None:
    assert len(chosen_places(Selector.read(selector), FLEET)) == number


@pytest.mark.parametrize(
    "selector",
    [
        {"accounts": [HUB, SPOKE, SPOKE2]},
        {"regions": ["us-east-1", "eu-west-3"]},
        {"accounts": [HUB, SPOKE, SPOKE2, "4"]},
    ],
)
def test_the_whole_fleet_is_meant_only_if_that_is_said(selector: dict[str, list[str]]) -> None:
    with pytest.raises(PermanentError) as caught:
        chosen_places(Selector.read(selector), FLEET)
    assert caught.value.cause == "SelectsEverything"


def test_one_account_and_region_may_be_the_whole_fleet() -> None:
    with pytest.raises(PermanentError):
        chosen_places(Selector.read({"accounts": [HUB]}), [Place(HUB, "us-east-1")])
    assert chosen_places(Selector.read({"accounts": [HUB], "all": True}), [Place(HUB, "us-east-1")])


def test_what_is_not_looked_after_is_named() -> None:
    require_known(Selector.read({"accounts": [HUB], "regions": ["eu-west-3"]}), FLEET)
    with pytest.raises(PermanentError, match="444444444444, us-west-2") as caught:
        require_known(Selector.read({"accounts": [HUB, "444444444444"], "regions": ["us-west-2"]}), FLEET)
    assert caught.value.cause == "NotConfigured"
    many = [f"{number:012}" for number in range(1_000)]
    with pytest.raises(PermanentError, match=r"and others$") as caught:
        require_known(Selector.read({"accounts": many}), FLEET)
    assert len(caught.value.what) < 250

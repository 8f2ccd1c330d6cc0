from dataclasses import replace

import pytest

from groundcrew.errors import PermanentError
from groundcrew.settings import Settings

ENV = {
    "AWS_REGION": "eu-west-3",
    "GROUNDCREW_ACCOUNT": "111111111111",
    "GROUNDCREW_PARTITION": "aws",
    "GROUNDCREW_BUS": "groundcrew",
    "GROUNDCREW_STACK": "gc",
    "GROUNDCREW_MODE": "act",
    "GROUNDCREW_LOOK_AGAIN_SECONDS": "30",
    "GROUNDCREW_LATE_AFTER_HOURS": "4",
    "GROUNDCREW_SPOKE_ACCOUNTS": "111111111111, 222222222222,",
    "GROUNDCREW_SPOKE_REGIONS": "eu-west-3",
}


def test_settings_are_what_the_template_sets() -> None:
    found = Settings.from_env(ENV)
    assert (found.region, found.look_again_seconds) == ("eu-west-3", 30)
    assert (found.spoke_accounts, found.spoke_regions) == (("111111111111", "222222222222"), ("eu-west-3",))


@pytest.mark.parametrize("named", ["222222222222", "222222222222,111111111111", "111111111111,222222222222"])
def test_the_hub_is_always_looked_after_and_once(named: str) -> None:
    found = Settings.from_env(ENV | {"GROUNDCREW_SPOKE_ACCOUNTS": named})
    assert found.spoke_accounts == ("111111111111", "222222222222")


@pytest.mark.parametrize("missing", sorted(ENV))
@pytest.mark.parametrize("empty", [True, False])
def test_a_variable_that_is_missing_or_empty_is_named(missing: str, empty: bool) -> None:
    env = {key: value for key, value in ENV.items() if key != missing} | ({missing: ""} if empty else {})
    with pytest.raises(PermanentError, match=missing.removeprefix("GROUNDCREW_").removeprefix("AWS_")) as caught:
        Settings.from_env(env)
    assert caught.value.cause == "Misconfigured"


def test_all_missing_variables_are_named_at_once() -> None:
    with pytest.raises(PermanentError) as caught:
        Settings.from_env({})
    assert caught.value.what == f"not set: {', '.join(sorted(ENV))}"


def test_the_stack_tag_is_unique_to_account_region_and_stack() -> None:
    assert Settings.from_env(ENV).stack_tag == "111111111111/eu-west-3/gc"


@pytest.mark.parametrize(("mode", "acts"), [("act", True), ("report", False), ("ACT", False)])
def test_only_the_mode_act_acts(mode: str, acts: bool) -> None:
    assert replace(Settings.from_env(ENV), mode=mode).acts is acts

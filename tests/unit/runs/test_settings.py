import os
from unittest import mock

import pytest

from groundcrew.errors import PermanentError
from runs.settings import RunSettings, orders_url

ENV = {
    "GROUNDCREW_LOCKS_TABLE": "groundcrew-locks",
    "GROUNDCREW_IN_VPC": "true",
    "GROUNDCREW_FOLLOW_MACHINE": "arn:aws:states:us-east-1:111111111111:stateMachine:groundcrew-runs",
}


def test_settings_are_what_the_template_sets() -> None:
    found = RunSettings.from_env(ENV)
    assert (found.locks_table, found.in_vpc, found.follow_machine) == (
        "groundcrew-locks",
        True,
        ENV["GROUNDCREW_FOLLOW_MACHINE"],
    )
    assert not RunSettings.from_env(ENV | {"GROUNDCREW_IN_VPC": "false"}).in_vpc


def test_what_looks_at_a_run_does_not_start_the_state_machine() -> None:
    followed = {name: value for name, value in ENV.items() if name != "GROUNDCREW_FOLLOW_MACHINE"}
    assert RunSettings.from_env(followed).follow_machine == ""


@pytest.mark.parametrize("missing", ["GROUNDCREW_LOCKS_TABLE", "GROUNDCREW_IN_VPC"])
def test_a_variable_that_is_missing_is_named(missing: str) -> None:
    with pytest.raises(PermanentError, match=missing):
        RunSettings.from_env(ENV | {missing: ""})


def test_the_router_is_told_the_queue_of_the_orders() -> None:
    with mock.patch.dict(os.environ, {"GROUNDCREW_RUNS_QUEUE": "https://sqs/1/groundcrew-runs"}):
        assert orders_url.__wrapped__() == "https://sqs/1/groundcrew-runs"
    with mock.patch.dict(os.environ, clear=True), pytest.raises(PermanentError, match="GROUNDCREW_RUNS_QUEUE"):
        orders_url.__wrapped__()

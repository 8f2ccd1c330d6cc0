"""What the state machine keeps between two looks, and how long it waits for the next."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.ways.seen import RunRef
from runs.follow import LONGEST_WAIT, LOOKS, SHORTEST_WAIT, pause
from runs.settings import RunSettings
from runs.watched import Watched
from tests.support.runs.stories import DATE, REF, environment, order

moments = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))


@given(moments, st.none() | moments, st.text(), st.integers(min_value=0, max_value=LOOKS))
def test_what_is_written_is_read(since: datetime, date: datetime | None, request_id: str, looks: int) -> None:
    ref = RunRef("load", "groundcrew__1", since, date)
    watched = Watched(REF, ref, request_id, "event-1", "3.3.1", looks)
    assert Watched.read(json.loads(json.dumps(watched.as_state()))) == watched


def test_it_is_made_of_an_order() -> None:
    asked = order(logical_date=DATE)
    watched = Watched.of(asked, environment(airflow_version="3.3.1"))
    assert watched.ref == RunRef(asked.dag_id, asked.run_id, asked.requested_at, DATE)
    assert watched.about == asked.about
    assert (watched.environment, watched.airflow_version, watched.looks) == (REF, "3.3.1", 0)


def test_one_run_has_one_name() -> None:
    """Whoever asks, and however often: Step Functions starts no second execution of that name."""
    first = Watched.of(order(), environment())
    assert first.name == Watched.of(order(correlation_id="again", wait=True), environment()).name
    assert first.name == replace(first, looks=7).name
    others = [
        order(run_id="other"),
        order(dag_id="other"),
        order(environment=EnvironmentRef(REF.account, REF.region, "d")),
    ]
    names = {first.name, *(Watched.of(other, environment()).name for other in others)}
    assert len(names) == 4


@given(st.from_regex(r"\A[a-zA-Z][0-9a-zA-Z\-_]{0,79}\Z"))
def test_a_name_is_one_that_step_functions_takes(name: str) -> None:
    made = Watched.of(order(environment=EnvironmentRef(REF.account, REF.region, name)), environment()).name
    assert len(made) <= 80
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_waits_grow_to_five_minutes() -> None:
    waits = [pause(looks) for looks in range(1, LOOKS + 1)]
    assert waits[:3] == [SHORTEST_WAIT, 6, 8]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT
    assert sum(wait < LONGEST_WAIT for wait in waits) < 20
    assert timedelta(days=7) < timedelta(seconds=sum(waits)) < timedelta(days=8)


def test_the_settings_come_from_the_environment() -> None:
    env = {"GROUNDCREW_LOCKS_TABLE": "locks", "GROUNDCREW_IN_VPC": "true", "GROUNDCREW_FOLLOW_MACHINE": "arn"}
    assert RunSettings.from_env(env) == RunSettings(locks_table="locks", in_vpc=True, follow_machine="arn")
    assert not RunSettings.from_env(env | {"GROUNDCREW_IN_VPC": "false"}).in_vpc
    with pytest.raises(PermanentError, match="GROUNDCREW_IN_VPC, GROUNDCREW_LOCKS_TABLE") as caught:
        RunSettings.from_env({})
    assert (caught.value.cause, bool(caught.value.remedy)) == ("Misconfigured", True)

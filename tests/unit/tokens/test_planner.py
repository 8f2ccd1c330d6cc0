"""Every rule of the planner, by name: (binding, what was seen, now) → what to do about a token."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from groundcrew.environment import Environment, EnvironmentRef
from tests.support.stage import HUB, REGION, SPOKE, SPOKE2
from tokens.binding import Binding
from tokens.plan import Deliver, Held, Nothing, Refuse, Seen, as_detail, target
from tokens.planner import decide, hours_left, unfit
from tokens.token import Delivered, Token

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SECRET_ARN = f"arn:aws:secretsmanager:{REGION}:{HUB}:secret:groundcrew/tokens/data"
DOCUMENT: dict[str, Any] = {"domain": "packages", "owner": HUB, "repositories": ["data"], "accounts": [SPOKE]}


def binding(name: str = "data", **more: Any) -> Binding:
    return Binding.read(name, DOCUMENT | more, REGION)


def environment(**changes: Any) -> Environment:
    usual = Environment(EnvironmentRef(SPOKE, REGION, "orders"), "arn", "AVAILABLE", bucket="airflow-orders")
    return replace(usual, **changes)


def delivered(hours: float = 11, **changes: Any) -> Delivered:
    """A token with so many hours left."""
    end = NOW + timedelta(hours=hours)
    usual = Delivered("data", binding().fingerprint, "orders", end - timedelta(hours=12), end)
    return replace(usual, **changes)


def held(hours: float = 11, **changes: Any) -> Held:
    return Held(delivered(hours, **changes))


def test_a_fresh_token_is_left() -> None:
    plan = decide(binding(), Seen(environment(), held()), NOW)
    assert plan == Nothing("the token is fresh: it lives 11.0 h more")


@pytest.mark.parametrize("status", ["DELETING", "DELETED", "CREATE_FAILED"])
def test_an_environment_that_ends_needs_none(status: str) -> None:
    assert decide(binding(), Seen(environment(status=status), None), NOW) == Nothing(f"the environment is {status}")


@pytest.mark.parametrize("status", ["CREATING", "PENDING", "UPDATING", "UPDATE_FAILED", "MAINTENANCE"])
def test_a_container_may_start_at_any_other_time(status: str) -> None:
    plan = decide(binding(), Seen(environment(status=status), None), NOW)
    assert plan == Deliver("there is no token")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (held(7.9), "the token lives 7.9 h more"),
        (held(0), "the token expired at 2026-11-27T12:00:00+00:00"),
        (held(-30), "the token expired at 2026-11-26T06:00:00+00:00"),
        (held(14), "the token there claims to live longer than any can"),
        (held(fingerprint="another"), "the binding has changed"),
        (held(binding="old"), "the token there is one of the binding old"),
        (held(-1, binding="old", environment="billing"), "the token there is one of the binding old"),
        (Held(None), "what lies there is not known to be a token of ours"),
    ],
)
def test_what_is_replaced(found: Held, why: str) -> None:
    assert decide(binding(), Seen(environment(), found), NOW) == Deliver(why)


def test_one_that_is_asked_for_again_is_replaced_once() -> None:
    found = held(11)
    minted = found.delivered.minted_at if found.delivered else NOW
    asked = decide(binding(), Seen(environment(), found), NOW, minted + timedelta(seconds=1))
    assert asked == Deliver("a new one was asked for; the present one lives 11.0 h more")
    assert isinstance(decide(binding(), Seen(environment(), found), NOW, minted), Nothing)


@pytest.mark.parametrize(
    ("of", "about", "found", "cause"),
    [
        (binding(accounts=[SPOKE2]), environment(), None, "NotServed"),
        (binding(), environment(bucket=""), None, "NoBucket"),
        (binding(delivery="requirements"), environment(), Held(None, replaceable=False), "ForeignFile"),
        (binding(), environment(), held(3, binding="old", environment="billing"), "TwoBindings"),
    ],
)
def test_what_is_refused(of: Binding, about: Environment, found: Held | None, cause: str) -> None:
    plan = decide(of, Seen(about, found), NOW)
    assert isinstance(plan, Refuse)
    assert plan.cause == cause
    assert plan.reason
    assert plan.remedy


def test_a_bucket_of_the_bindings_serves_an_environment_without_one() -> None:
    shared = binding(bucket={"name": "packages", "account": HUB, "region": REGION})
    assert isinstance(decide(shared, Seen(environment(bucket=""), None), NOW), Deliver)


def test_a_token_that_is_old_the_moment_it_is_minted_is_not_delivered() -> None:
    token = Token("s", NOW, NOW + timedelta(minutes=20), ())
    refusal = unfit(binding(), token, NOW)
    assert refusal is not None
    assert (refusal.cause, "lives 0.3 h; 12 h were asked for" in refusal.reason) == ("ShortLived", True)
    assert unfit(binding(), replace(token, expires_at=NOW + timedelta(hours=12)), NOW) is None


@pytest.mark.parametrize(
    ("found", "hours"),
    [
        (None, 0),
        (Held(None), 0),
        (held(11), 11),
        (held(-1), 0),
        (held(14), 0),
        (held(binding="old"), 0),
        (held(fingerprint="another"), 0),
    ],
)
def test_what_does_not_open_the_bindings_repositories_counts_for_nothing(found: Held | None, hours: float) -> None:
    assert hours_left(binding(), found, NOW) == hours


@pytest.mark.parametrize(
    ("of", "place"),
    [
        (binding(), "s3://airflow-orders/groundcrew/tokens/orders.json"),
        (binding(delivery="requirements"), "s3://airflow-orders/dags/codeartifact.txt"),
        (binding(delivery="secret", secret=SECRET_ARN), SECRET_ARN),
        (
            binding(bucket={"name": "packages", "account": HUB, "region": REGION}),
            "s3://packages/groundcrew/tokens/data.json",
        ),
    ],
)
def test_where_a_token_belongs(of: Binding, place: str) -> None:
    assert str(target(of, environment())) == place


def test_how_plans_are_announced() -> None:
    assert as_detail(Nothing("fresh")) == {"action": "nothing", "reason": "fresh"}
    assert as_detail(Deliver("old")) == {"action": "deliver", "reason": "old"}
    refusal = {"action": "refuse", "cause": "Cause", "reason": "reason", "remedy": "remedy"}
    assert as_detail(Refuse("Cause", "reason", "remedy")) == refusal

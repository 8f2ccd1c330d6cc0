from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from groundcrew.authorization import RequestDenied, authorize
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.events import Envelope

HUB, OWNER, OTHER = "111111111111", "222222222222", "333333333333"
DATA = EnvironmentRef(OWNER, "us-east-1", "data")
NOW = datetime(2026, 11, 22, tzinfo=UTC)
ASKED = "Endpoint Reconcile Requested"


def allowed(source: str, sender: str, grant: Mapping[str, Any] | None = None) -> bool:
    envelope = Envelope("1", source, ASKED, sender, "us-east-1", NOW, NOW, {})
    try:
        authorize(envelope, DATA, HUB, lambda account: grant if account == OTHER else None)
    except RequestDenied:
        return False
    return True


@pytest.mark.parametrize(
    ("source", "sender", "expected"),
    [
        ("groundcrew.request", OWNER, True),
        ("groundcrew.request", HUB, True),
        ("groundcrew.request", OTHER, False),
        ("aws.airflow", OWNER, True),
        ("aws.airflow", HUB, False),
        ("aws.airflow", OTHER, False),
        ("groundcrew", HUB, True),
        ("groundcrew", OWNER, False),
        ("groundcrew", OTHER, False),
        ("aws.airflow-serverless", OWNER, False),
        ("groundcrew.airflow", OWNER, False),
        ("", OWNER, False),
    ],
)
def test_who_may_ask(source: str, sender: str, expected: bool) -> None:
    assert allowed(source, sender) is expected


@pytest.mark.parametrize(
    ("environments", "requests", "expected"),
    [
        (["222222222222/us-east-1/data"], [ASKED], True),
        (["222222222222/*/data"], [ASKED], True),
        (["222222222222/us-east-1/d?ta"], [ASKED], True),
        (["*"], [ASKED], True),
        (["444444444444/*", "222222222222/*"], ["Other Requested", ASKED], True),
        (["222222222222/eu-west-3/*"], [ASKED], False),
        (["222222222222/us-east-1/DATA"], [ASKED], False),
        (["*"], ["Metadata Export Requested"], False),
        (["*"], ["*"], False),
    ],
)
def test_a_grant_is_for_environments_and_requests(environments: list[str], requests: list[str], expected: bool) -> None:
    grant = {"environments": environments, "requests": requests}
    assert allowed("groundcrew.request", OTHER, grant) is expected


@pytest.mark.parametrize("source", ["groundcrew", "aws.airflow"])
def test_a_grant_is_for_requests_only(source: str) -> None:
    assert not allowed(source, OTHER, {"environments": ["*"], "requests": [ASKED]})


@pytest.mark.parametrize(
    "grant",
    [
        {},
        {"environments": ["*"]},
        {"requests": [ASKED]},
        {"environments": "*", "requests": [ASKED]},
        # fnmatch gives brackets a meaning, a reader may take other characters for one
        *(
            {"environments": [pattern], "requests": [ASKED]}
            for pattern in ("[0-9]*", "[!3]*", "", "*,*", "222 *", "*\n")
        ),
    ],
)
def test_an_invalid_grant_stops_the_job_loudly(grant: dict[str, Any]) -> None:
    with pytest.raises(PermanentError) as caught:
        allowed("groundcrew.request", OTHER, grant)
    assert caught.value.cause == "InvalidPolicy"


@pytest.mark.parametrize("sender", [OWNER, HUB])
def test_grants_are_not_looked_up_for_who_may_ask_anyway(sender: str) -> None:
    def never(account: str) -> None:
        raise AssertionError(account)

    authorize(Envelope("1", "groundcrew.request", ASKED, sender, "us-east-1", NOW, NOW, {}), DATA, HUB, never)

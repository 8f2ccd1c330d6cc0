"""A request is read completely and strictly, and becomes orders that read back the same."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.events import Envelope, schema, schema_error
from runs.order import Order
from runs.request import LARGEST_CONF, SPEAKABLE, Request, rejection
from runs.selection import Selector
from tests.support.runs.desk import asking
from tests.support.stage import REGION, SETTINGS, SPOKE, SPOKE2

NOW = datetime(2026, 11, 18, 12, 0, 5, tzinfo=UTC)
ASKED = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
ORDERS = EnvironmentRef(SPOKE, REGION, "orders")


def read(event: dict[str, Any], now: datetime = NOW) -> Request:
    return Request.read(Envelope.read(event), SETTINGS, now)


def refusal(event: dict[str, Any]) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        read(event)
    assert caught.value.what
    assert caught.value.remedy
    assert len(caught.value.what) < 600
    return caught.value


# ----------------------------------------------------------------------------------------------------- what may be said
def test_most_may_be_left_out() -> None:
    assert read(asking(["orders"])) == Request(
        targets=(ORDERS,),
        request_id="request-1",
        dag_id="nightly",
        run_id="groundcrew__request-1",
        conf={},
        logical_date=None,
        note="",
        if_paused="reject",
        expires_at=ASKED + timedelta(hours=6),
        wait=False,
        sender=SPOKE,
        correlation_id="request-1",
        requested_at=ASKED,
    )


def test_all_may_be_said() -> None:
    event = asking(
        ["orders"],
        request_id="ticket-1",
        run_id="by_hand",
        conf={"day": [1, {"a": None}]},
        logical_date="2026-11-18T01:00:00.25+02:00",
        note="because",
        if_paused="queue",
        expires_in=60,
        wait=True,
    )
    assert read(event) == Request(
        targets=(ORDERS,),
        request_id="ticket-1",
        dag_id="nightly",
        run_id="by_hand",
        conf={"day": [1, {"a": None}]},
        logical_date=datetime(2026, 11, 17, 23, 0, 0, 250_000, tzinfo=UTC),
        note="because",
        if_paused="queue",
        expires_at=ASKED + timedelta(minutes=1),
        wait=True,
        sender=SPOKE,
        correlation_id="request-1",
        requested_at=ASKED,
    )


def test_a_run_id_follows_from_the_request_id() -> None:
    assert read(asking(["orders"], request_id="chain-1")).run_id == "groundcrew__chain-1"
    longest = read(asking(["orders"], request_id="x" * 200)).run_id
    assert schema_error({"request_id": "x" * 200} | rejected(longest), "dag-run-rejected.json") is None


def rejected(run_id: str) -> dict[str, str]:
    return {"run_id": run_id, "correlation_id": "1", "cause": "x", "evidence": "x", "remedy": "x"}


@pytest.mark.parametrize("key", sorted(SPEAKABLE))
def test_what_facts_repeat_is_what_the_schemas_allow(key: str) -> None:
    for name in ("requested", "ordered", "rejected"):
        pattern = schema(f"dag-run-{name}.json")["properties"][key]["pattern"]
        assert pattern == f"^{SPEAKABLE[key].pattern}$"


# --------------------------------------------------------------------------------------------------------- environments
@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("orders", ORDERS),
        ("arn", EnvironmentRef(SPOKE, REGION, "arn")),
        (f"arn:aws:airflow:eu-west-3:{SPOKE2}:environment/orders", EnvironmentRef(SPOKE2, "eu-west-3", "orders")),
        ({"account": SPOKE2, "region": "eu-west-3", "name": "lab"}, EnvironmentRef(SPOKE2, "eu-west-3", "lab")),
    ],
)
def test_an_environment_is_named_in_three_ways(named: Any, meant: EnvironmentRef) -> None:
    assert read(asking([named])).targets == (meant,)


def test_a_plain_name_is_one_of_the_senders_account_and_region() -> None:
    event = asking(["orders"], SPOKE2) | {"region": "eu-west-3"}
    assert read(event).targets == (EnvironmentRef(SPOKE2, "eu-west-3", "orders"),)


def test_who_is_named_twice_is_asked_once() -> None:
    named = ["orders", ORDERS.arn("aws"), ORDERS.as_detail(), "billing", "orders"]
    assert read(asking(named)).targets == (ORDERS, EnvironmentRef(SPOKE, REGION, "billing"))


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
def test_another_partition_is_out_of_reach(partition: str) -> None:
    error = refusal(asking(["orders", ORDERS.arn(partition)]))
    assert (error.cause, partition in error.what) == ("InvalidEnvironment", True)


@pytest.mark.parametrize("region", ["", "nowhere", "us-east-1\n", "\ud800"])
def test_a_plain_name_needs_an_event_with_a_region(region: str) -> None:
    assert refusal(asking(["orders"]) | {"region": region}).cause == "InvalidEnvironment"
    assert read(asking([ORDERS.arn("aws")]) | {"region": region}).targets == (ORDERS,)


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ({"all": True}, Selector(everything=True)),
        ({"accounts": [SPOKE, SPOKE]}, Selector(accounts=frozenset({SPOKE}))),
        ({"regions": [REGION], "tags": {"a": ""}}, Selector(regions=frozenset({REGION}), tags={"a": ""})),
    ],
)
def test_environments_may_be_selected(selector: dict[str, Any], meant: Selector) -> None:
    assert read(asking(selector)).targets == meant


def test_a_selector_that_says_nothing() -> None:
    assert refusal(asking({})).cause == "EmptySelector"


# ---------------------------------------------------------------------------------------------------------------- times
@pytest.mark.parametrize("time", ["2027-11-18T12:00:00Z", "9999-12-31T23:00:00Z", "soon"])
def test_a_request_cannot_come_from_the_future(time: str) -> None:
    """Its sender chooses the event's time: it would never expire, and its own run would look like an older one."""
    request = read(asking(["orders"]) | {"time": time}, now=NOW)
    assert request.requested_at == NOW
    assert request.expires_at == NOW + timedelta(hours=6)


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1969-01-01T00:00:00Z"]
)
def test_a_request_of_another_age_has_expired(time: str) -> None:
    request = read(asking(["orders"]) | {"time": time})
    assert request.expires_at < NOW
    assert Order.read(Envelope.read(request.order(ORDERS).as_envelope(REGION))) == request.order(ORDERS)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026-11-18", "2026-11-18T12:00:00", "2026-11-18 12:00:00Z", "2026-11-18T12:00Z", "1795000000"),
        *("2026-11-18T24:00:00Z", "2026-11-18T12:60:00Z", "2026-11-18T12:00:60Z", "2026-11-18T12:00:00+24:00"),
        *(
            "2026-11-18T12:00:00.1234567Z",
            "2026-11-18T12:00:00z",
            "2026-11-18T12:00:00Z\n",
            "\uff12026-11-18T12:00:00Z",
        ),
        *("2026-02-30T12:00:00Z", "2026-13-01T12:00:00Z", "2026-00-01T12:00:00Z", "0000-01-01T00:00:00Z"),
        *("1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
    ],
)
def test_a_logical_date_is_a_moment_that_airflow_can_have(text: str) -> None:
    assert refusal(asking(["orders"], logical_date=text)).cause == "InvalidRequest"


# ----------------------------------------------------------------------------------------------------------------- conf
def sized(size: int) -> dict[str, str]:
    return {"x": "y" * (size - len('{"x":""}'))}


def nested(depth: int) -> Any:
    return json.loads('{"a":[' * (depth // 2) + "{}" * (depth % 2) + "]}" * (depth // 2))


def test_conf_may_be_as_large_as_it_may() -> None:
    assert len(json.dumps(read(asking(["orders"], conf=sized(LARGEST_CONF))).conf)) == LARGEST_CONF + 1  # a space
    assert "100001 bytes" in refusal(asking(["orders"], conf=sized(LARGEST_CONF + 1))).what
    # as ASCII: six characters each
    assert "bytes" in refusal(asking(["orders"], conf={"x": "ä" * 20_000})).what


def test_the_largest_order_is_a_message() -> None:
    astral = "\U0001f600"
    request = read(asking(["orders"], conf=sized(LARGEST_CONF), note=astral * 700, request_id="x" * 200))
    assert len(request.order(ORDERS).as_message(REGION)) < 120_000


def test_conf_may_be_as_deep_as_it_may() -> None:
    assert read(asking(["orders"], conf=nested(50))).conf
    for depth in (51, 500):
        assert f"{depth} deep" in refusal(asking(["orders"], conf=nested(depth))).what


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_conf_has_numbers_that_json_has(number: str) -> None:
    assert "finite" in refusal(asking(["orders"], conf=json.loads(f'{{"a": [{number}]}}'))).what


@pytest.mark.parametrize("conf", [{"a": "\x00"}, {"\x00": 1}, {"a": [["\ud800"]]}, {"a": {"\udfff": 1}}])
def test_conf_has_text_that_a_database_can_store(conf: dict[str, Any]) -> None:
    assert "surrogate" in refusal(asking(["orders"], conf=conf)).what


def test_conf_may_speak_of_such_text() -> None:
    conf = {"\\u0000": "\\ud800", "pair": "\U0001f600"}
    assert read(asking(["orders"], conf=conf)).conf == conf


@pytest.mark.parametrize("note", ["\x00", "a\ud800b", "x" * 701, 7, None])
def test_a_note_is_text_that_a_database_can_store(note: Any) -> None:
    assert refusal(asking(["orders"], note=note)).cause == "InvalidRequest"


# ------------------------------------------------------------------------------------------------------------------ ids
@pytest.mark.parametrize("event_id", ["", "a b", "x" * 201, "é", "1\n", "../x"])
def test_an_events_id_that_cannot_be_in_a_run_id_needs_a_request_id(event_id: str) -> None:
    error = refusal(asking(["orders"]) | {"id": event_id})
    assert (error.cause, "request_id" in error.remedy) == ("InvalidRequest", True)
    assert read(asking(["orders"], request_id="1") | {"id": event_id}).run_id == "groundcrew__1"


def test_a_rejection_repeats_what_can_be_repeated() -> None:
    error = PermanentError("because", cause="Because", remedy="Do not.")
    event = asking(["orders"], dag_id="a b", run_id=["x"])
    assert rejection(Envelope.read(event), ORDERS, error).as_detail() == {
        "environment": ORDERS.as_detail(),
        "request_id": "request-1",
        "correlation_id": "request-1",
        "sender": SPOKE,
        "cause": "Because",
        "evidence": "because",
        "remedy": "Do not.",
    }
    known = rejection(Envelope.read(asking(["orders"])), None, error).as_detail()
    assert (known["dag_id"], known["run_id"]) == ("nightly", "groundcrew__request-1")


# --------------------------------------------------------------------------------------------------------------- orders
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(
    conf=st.dictionaries(TEXT, JSON, max_size=4),
    request_id=st.from_regex(SPEAKABLE["request_id"], fullmatch=True),
    dag_id=st.from_regex(re.compile(SPEAKABLE["dag_id"].pattern, re.ASCII), fullmatch=True),
    note=TEXT,
    logical_date=st.none() | st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC)),
    expires_in=st.integers(60, 43_200),
    if_paused=st.sampled_from(["reject", "unpause", "queue"]),
    wait=st.booleans(),
)
def test_an_order_reads_back_as_it_was_written(logical_date: datetime | None, **detail: Any) -> None:
    dated = {"logical_date": logical_date.isoformat()} if logical_date else {}
    order = read(asking(["orders"], **detail, **dated)).order(ORDERS)
    message = order.as_message("eu-west-3")
    assert message.isascii()
    assert Order.read(Envelope.read(json.loads(message))) == order
    assert (order.logical_date, order.conf) == (logical_date, detail["conf"])


@pytest.mark.parametrize(
    "change",
    [
        {"source": "groundcrew.request"},
        {"detail-type": "DAG Run Requested"},
        {"detail": {}},
        {"detail": {"conf": None}},
        {"detail": {"expires_at": "2026-11-18T12:00:00"}},
        {"detail": {"expires_at": "2026-02-30T12:00:00Z"}},
        {"detail": {"logical_date": "soon"}},
        {"detail": {"dag_id": ".."}},
        {"detail": {"more": 1}},
    ],
)
def test_what_is_no_order_is_refused(change: dict[str, Any]) -> None:
    event = read(asking(["orders"])).order(ORDERS).as_envelope(REGION)
    detail = event["detail"] | change["detail"] if change.get("detail") else change.get("detail", event["detail"])
    with pytest.raises(PermanentError) as caught:
        Order.read(Envelope.read(event | change | {"detail": detail}))
    assert caught.value.cause in ("UnknownEvent", "InvalidRequest")

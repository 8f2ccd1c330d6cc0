"""Whoever may start DAGs can start this one with any conf; whoever may write an order may write anything into it."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundcrew_cleaning.order import LARGEST_BYTES, Ask, Order, OrderError

NOW = datetime(2026, 11, 27, 5, tzinfo=UTC)
ID = "20261127T043000Z-0a1b2c3d"
RUN = f"groundcrew__{ID}"
SHA256 = "0" * 64
PLACE: dict[str, Any] = {
    "bucket": "groundcrew-exports-111111111111-us-east-1",
    "owner": "111111111111",
    "account": "222222222222",
    "region": "us-east-1",
    "environment": "orders",
    "opt_in": [],
}
SAID: dict[str, Any] = {
    "cleanup_id": ID,
    "place": PLACE,
    "mode": "delete",
    "policy": {"days": {"default": 30}},
    "covered": {"log": {"column": "dttm", "until": "2026-11-27T04:00:00+00:00"}},
    "seconds": 1800,
    "until": (NOW + timedelta(hours=1)).isoformat(),
}


def order(content: bytes, here: str = "orders") -> Order:
    return Order.of(content, Ask(ID, SHA256), here, NOW)


def test_what_is_ordered() -> None:
    found = order(json.dumps(SAID).encode())
    assert (found.deletes, found.policy, found.covered) == (True, SAID["policy"], SAID["covered"])
    assert found.seconds == 1800
    assert found.report_key == f"extracts/222222222222/us-east-1/orders/{ID}/cleanup.json"


def test_it_has_no_more_time_than_is_left() -> None:
    assert order(json.dumps({**SAID, "until": (NOW + timedelta(minutes=5)).isoformat()}).encode()).seconds == 300


def test_to_report_deletes_nothing() -> None:
    assert not order(json.dumps({**SAID, "mode": "report"}).encode()).deletes


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in SAID.items() if key != name}


REFUSED: list[tuple[str, Any]] = [
    ("other members", []),
    ("other members", None),
    *(("other members", without(name)) for name in SAID),
    ("other members", {**SAID, "sql": "delete from dag"}),
    ("another id", {**SAID, "cleanup_id": "20261127T043000Z-ffffffff"}),
    ("place", {**SAID, "place": "here"}),
    ("place", {**SAID, "place": {**PLACE, "bucket": "a/../b"}}),
    ("place", {**SAID, "place": {**PLACE, "environment": "orders/../other"}}),
    ("another environment's", {**SAID, "place": {**PLACE, "environment": "payments"}}),
    ("mode", {**SAID, "mode": True}),
    ("mode", {**SAID, "mode": ["delete"]}),
    ("policy", {**SAID, "policy": "all"}),
    ("covered", {**SAID, "covered": None}),
    ("covered", {**SAID, "covered": {"log": {"column": "dttm"}}}),
    ("covered", {**SAID, "covered": {"log": {"column": 3, "until": "2026-11-27T04:00:00+00:00"}}}),
    ("no time zone", {**SAID, "covered": {"log": {"column": "dttm", "until": "2026-11-27"}}}),
    ("seconds", {**SAID, "seconds": 0}),
    ("seconds", {**SAID, "seconds": -1}),
    ("seconds", {**SAID, "seconds": True}),
    ("seconds", {**SAID, "seconds": 1e9}),
    ("seconds", {**SAID, "seconds": 10**9}),
    ("seconds", {**SAID, "seconds": "60"}),
    ("time is up", {**SAID, "until": NOW.isoformat()}),
    ("time is up", {**SAID, "until": "2020-01-01T00:00:00+00:00"}),
    ("no time zone", {**SAID, "until": "2026-11-28T00:00:00"}),
    ("no time zone", {**SAID, "until": "tomorrow"}),
    ("no time zone", {**SAID, "until": None}),
]


@pytest.mark.parametrize(("why", "said"), REFUSED, ids=str)
def test_what_is_refused(why: str, said: Any) -> None:
    with pytest.raises(OrderError, match=why):
        order(json.dumps(said).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b"NaN", b'"\\ud800"'])
def test_what_is_no_order_at_all(content: bytes) -> None:
    with pytest.raises(OrderError):
        order(content)


@pytest.mark.parametrize("here", ["", "payments", "Orders", "orders "])
def test_an_environment_that_is_another_one_or_does_not_know_its_name(here: str) -> None:
    with pytest.raises(OrderError, match="another environment's"):
        order(json.dumps(SAID).encode(), here)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@given(name=st.sampled_from(sorted(SAID)), value=anything)
def test_any_json_in_a_member_is_taken_as_it_should_be_or_refused(name: str, value: Any) -> None:
    try:
        found = order(json.dumps({**SAID, name: value}).encode())
    except OrderError:
        return
    assert found.place.environment == "orders"
    assert 0 < found.seconds <= 86_400


ASKS: list[tuple[Any, str, int]] = [
    ({}, RUN, 1),
    (None, RUN, 1),
    ([ID, SHA256], RUN, 1),
    ({"cleanup_id": ID}, RUN, 1),
    ({"cleanup_id": ID, "sha256": SHA256, "mode": "delete"}, RUN, 1),
    ({"cleanup_id": "../place", "sha256": SHA256}, "groundcrew__../place", 1),
    ({"cleanup_id": f"{ID}\n", "sha256": SHA256}, f"{RUN}\n", 1),
    ({"cleanup_id": [ID], "sha256": SHA256}, RUN, 1),
    ({"cleanup_id": ID, "sha256": SHA256[1:]}, RUN, 1),
    ({"cleanup_id": ID, "sha256": None}, RUN, 1),
    ({"cleanup_id": ID, "sha256": SHA256}, "manual__2026-11-27T04:30:00+00:00", 1),
    ({"cleanup_id": ID, "sha256": SHA256}, f"{RUN}__1", 1),
    ({"cleanup_id": ID, "sha256": SHA256}, RUN, 2),
]


@pytest.mark.parametrize(("conf", "run_id", "attempt"), ASKS, ids=str)
def test_a_run_that_may_not_ask(conf: Any, run_id: str, attempt: int) -> None:
    with pytest.raises(OrderError):
        Ask.of(conf, run_id, attempt)


def test_a_refusal_never_repeats_a_value() -> None:
    with pytest.raises(OrderError) as refused:
        Ask.of({"cleanup_id": "s3cret", "sha256": SHA256}, RUN, 1)
    assert "s3cret" not in str(refused.value)
    with pytest.raises(OrderError) as refused:
        order(json.dumps({**SAID, "mode": "s3cret", "until": "s3cret"}).encode())
    assert "s3cret" not in str(refused.value)


def asked(content: bytes) -> Ask:
    return Ask.of({"cleanup_id": ID, "sha256": hashlib.sha256(content).hexdigest()}, RUN, 1)


def test_the_order_that_was_shipped(tmp_path: Path) -> None:
    (tmp_path / f"{ID}.json").write_bytes(b"an order")
    assert asked(b"an order").shipped(tmp_path, patience=0) == b"an order"


@pytest.mark.parametrize("lies", [b"another order", b"", None])
def test_no_order_of_that_digest(tmp_path: Path, lies: bytes | None) -> None:
    if lies is not None:
        (tmp_path / f"{ID}.json").write_bytes(lies)
    with pytest.raises(OrderError, match="no order of that id and digest"):
        asked(b"an order").shipped(tmp_path, patience=0)


def test_an_order_that_is_too_large_is_not_even_read(tmp_path: Path) -> None:
    with (tmp_path / f"{ID}.json").open("wb") as file:
        file.truncate(LARGEST_BYTES * 1_000)  # a hole: it takes no room
    with pytest.raises(OrderError, match="too large"):
        asked(b"an order").shipped(tmp_path, patience=0)


def test_an_order_that_comes_late_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As slowly as the folder is copied."""

    def copied(_seconds: float) -> None:
        (tmp_path / f"{ID}.json").write_bytes(b"an order")

    monkeypatch.setattr("groundcrew_cleaning.order.time.sleep", copied)
    assert asked(b"an order").shipped(tmp_path) == b"an order"

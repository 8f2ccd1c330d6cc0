import json
import os
import pickle
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundcrew_metadata import pickles
from groundcrew_metadata.pickles import UndecodedError, from_encoded, from_pickle

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.integers(2, 5))
def test_whatever_is_made_of_jsons_types(value: Any, protocol: int) -> None:
    assert json.loads(from_pickle(pickle.dumps(value, protocol))) == value


@given(VALUES)
def test_json_text_stays_as_it_is(value: Any) -> None:
    text = json.dumps(value, indent=1)
    assert from_encoded(text.encode()) == text


def test_what_json_has_no_numbers_for() -> None:
    value = {"a": float("nan"), "b": [float("inf"), -float("inf")], "c": "NaN", "d": ["x Infinity", 'y"NaN'], "e": 1.5}
    expected = {"a": "NaN", "b": ["Infinity", "-Infinity"], "c": "NaN", "d": ["x Infinity", 'y"NaN'], "e": 1.5}
    assert json.loads(from_pickle(pickle.dumps(value))) == expected
    assert json.loads(from_encoded(json.dumps(value).encode())) == expected
    assert from_pickle(pickle.dumps(float("nan"))) == '"NaN"'
    assert from_pickle(pickle.dumps([-float("inf")])) == '["-Infinity"]'


def test_an_xcom_that_was_pickled() -> None:
    assert from_encoded(pickle.dumps({"rows": 3})) == '{"rows": 3}'


class Evil:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("protocol", range(6))
def test_no_code_in_a_pickle_runs(tmp_path: Path, protocol: int) -> None:
    data = pickle.dumps({"k": Evil(tmp_path / "it ran")}, protocol)
    for decode in (from_pickle, from_encoded):
        with pytest.raises(UndecodedError):
            decode(data)
    assert not (tmp_path / "it ran").exists()
    pickle.loads(data)
    assert (tmp_path / "it ran").exists()  # else nothing is proven


def _endless() -> object:
    value: list[Any] = []
    value.append(value)
    return value


def _deep() -> bytes:
    return b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."


UNDECODED = {
    "an object": pickle.dumps(datetime(2026, 1, 1, tzinfo=UTC)),
    "a subclass": pickle.dumps(OrderedDict(a=1)),
    "bytes": pickle.dumps(b"x"),
    "a set": pickle.dumps({1}),
    "no text": pickle.dumps("\ud800"),
    "no end": pickle.dumps(_endless()),
    "too deep": _deep(),
    "nothing": b"",
    "cut off": pickle.dumps({"k": "value"})[:-4],
    "a persistent id": b"\x80\x02U\x01xQ.",
    "memory that is not there": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
}


@pytest.mark.parametrize("data", UNDECODED.values(), ids=list(UNDECODED))
def test_what_is_not(data: bytes) -> None:
    with pytest.raises(UndecodedError):
        from_pickle(data)


@pytest.mark.parametrize("data", [b"", b"not json", b"\xff\xfe", b"{", b"[" * 100_000])
def test_what_is_no_xcom(data: bytes) -> None:
    with pytest.raises(UndecodedError):
        from_encoded(data)


def test_a_few_bytes_that_unfold_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    value: object = float("nan")
    for _ in range(100):
        value = [value, value]
    monkeypatch.setattr(pickles, "LONGEST", 10)
    with pytest.raises(UndecodedError):
        from_pickle(pickle.dumps(value))
    with pytest.raises(UndecodedError):
        from_pickle(pickle.dumps("x" * 20))
    assert from_pickle(pickle.dumps("x" * 8)) == f'"{"x" * 8}"'

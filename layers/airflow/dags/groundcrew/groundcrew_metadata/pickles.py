"""JSON text of what Airflow 2 keeps as bytes, without running any code that is in them."""

import io
import json
import pickle
from typing import Any, NoReturn

LONGEST = 8 << 20
"""Characters of a JSON text; objects that hold one another can unfold without end."""

_ENCODER = json.JSONEncoder(ensure_ascii=False)
_NO_NUMBERS = ("NaN", "-Infinity", "Infinity")
_PICKLED = b"\x80"  # how a pickle of protocol 2 or later begins, and no JSON text


class UndecodedError(ValueError):
    """It is not made of JSON's own types, or is not what it should be at all."""


class _Plain(pickle.Unpickler):
    """Takes objects of the built-in types only: whatever else a pickle holds names a global."""

    def find_class(self, _module: str, _name: str) -> NoReturn:
        raise UndecodedError

    def persistent_load(self, _pid: Any) -> NoReturn:
        raise UndecodedError


def from_pickle(data: bytes) -> str:
    """The JSON text of a pickled object; raises ``UndecodedError``.

    What JSON has no numbers for becomes text: "NaN", "Infinity", "-Infinity".
    """
    try:
        return _text(_Plain(io.BytesIO(data)).load())
    except Exception as error:  # a broken pickle raises nearly anything
        raise UndecodedError from error


def from_encoded(data: bytes) -> str:
    """The JSON text of an XCom's value: itself, or of what was pickled; raises ``UndecodedError``."""
    if data.startswith(_PICKLED):
        return from_pickle(data)
    no_numbers = []

    def constant(word: str) -> float:
        no_numbers.append(word)
        return float(word)

    try:
        text = data.decode()
        value = json.loads(text, parse_constant=constant)
        return _text(value) if no_numbers else text
    except (ValueError, RecursionError) as error:
        raise UndecodedError from error


def _text(value: Any) -> str:
    text, length = [], 0
    # Piece by piece, each number a piece's end, so that the longest is not exceeded by much before it is noticed.
    for piece in _ENCODER.iterencode(value):
        text.append(_with_word(piece) if piece.endswith(_NO_NUMBERS) else piece)
        length += len(piece)
        if length > LONGEST:
            raise UndecodedError
    whole = "".join(text)
    whole.encode()  # a lone surrogate is no text
    return whole


def _with_word(piece: str) -> str:
    word = next(word for word in _NO_NUMBERS if piece.endswith(word))
    return f'{piece.removesuffix(word)}"{word}"'

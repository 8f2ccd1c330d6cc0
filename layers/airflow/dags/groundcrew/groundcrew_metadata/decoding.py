"""Lines of CSV whose last column is bytes get JSON text there, or nothing."""

from collections.abc import Callable
from functools import lru_cache

from groundcrew_metadata.declaration import As, Column
from groundcrew_metadata.pickles import UndecodedError, from_encoded, from_pickle

REMEMBERED = 1024
"""Values: most runs have the conf of others, above all none. Longer than ``SHORT`` bytes none is remembered."""

SHORT = 4096

_DECODERS: dict[As | None, Callable[[bytes], str]] = {As.PICKLE: from_pickle, As.ENCODED: from_encoded}


class Decoding:
    """Between PostgreSQL and the parts; counts what could not be decoded, and so is exported as NULL."""

    def __init__(self, column: Column, take: Callable[[bytes], object]) -> None:
        self.undecoded = 0
        self._column = column
        self._next = take
        self._decode = _DECODERS[column.held]
        self._remembered = lru_cache(REMEMBERED)(self._field)
        self._header = True

    def take(self, line: bytes) -> None:
        """One line; the column is its last field, as PostgreSQL writes bytes: in hexadecimal digits, never quoted."""
        if self._header:
            self._header = False
            self._next(line)
            return
        before, comma, field = line[:-1].rpartition(b",")
        if field:
            field = self._remembered(field) if len(field) < SHORT else self._field(field)
            self.undecoded += not field
        self._next(before + comma + field + b"\n")

    def _field(self, field: bytes) -> bytes:
        """What takes the place of a value: a quoted text, or nothing."""
        try:
            text = self._decode(bytes.fromhex(field[2:].decode()))
        except UndecodedError:
            return b""
        return b'"' + text.encode().replace(b'"', b'""') + b'"'


def decoded_column(columns: tuple[Column, ...]) -> Column | None:
    """The column whose bytes are decoded: the last one, if any (``test_declared.py`` sees to that)."""
    return columns[-1] if columns[-1].held in _DECODERS else None

"""Rows of answers become parts: compressed CSV as PostgreSQL's COPY writes it, so that both engines are read alike."""

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from exports.outside_columns import SAID, Row, columns
from groundcrew_metadata.declaration import Kind
from groundcrew_metadata.parts import LEVEL, PART_BYTES, Part

Put = Callable[[str, bytes], None]
"""Writes an object: a key below the export's prefix, and its body."""

_GZIP = 31  # zlib's word for the largest window, with the header of gzip
_ENDS = {datetime.max: "infinity", datetime.min: "-infinity"}
_SPECIAL = frozenset('",\r\n')


@dataclass
class Table:
    """The parts of one table: the number of the last one, and those that count."""

    number: int = 0
    rows: int = 0
    parts: list[Part] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        return {"number": self.number, "rows": self.rows, "parts": list(self.parts)}


class Writer:
    """Writes the rows of one table; what it holds becomes a part when it is large enough, or by ``end``."""

    def __init__(self, name: str, version: str, prefix: str, table: Table, put: Put) -> None:
        self._columns = columns(name, version)
        self._readers = [(SAID[name][column.name].read, FORMATS[column.kind]) for column in self._columns]
        self._prefix = f"{prefix}/{name}"
        self._table = table
        self._put = put
        self._body = bytearray()
        self._compressor: Any = None
        self._rows = 0

    def take(self, rows: Sequence[Row]) -> None:
        """Rows, as an answer has them."""
        if not rows:
            return
        self._add("".join(self._line(row) for row in rows))
        self._rows += len(rows)
        if len(self._body) >= PART_BYTES:
            self._flush()

    def end(self, *, whole: bool) -> None:
        """Write what is held; if the table is ``whole``, it has one part at least."""
        if self._rows or (whole and not self._table.parts):
            self._flush()

    def _line(self, row: Row) -> str:
        return ",".join(form(read(row)) for read, form in self._readers) + "\n"

    def _add(self, lines: str) -> None:
        if self._compressor is None:
            self._compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
            lines = ",".join(column.name for column in self._columns) + "\n" + lines
        self._body += self._compressor.compress(lines.encode())

    def _flush(self) -> None:
        self._add("")
        body = bytes(self._body + self._compressor.flush())
        self._table.number += 1
        key = f"{self._prefix}/part-{self._table.number:05d}.csv.gz"
        self._put(key, body)
        part = Part(key=key, rows=self._rows, bytes=len(body), sha256=hashlib.sha256(body).hexdigest())
        self._table.parts.append(part)
        self._table.rows += self._rows
        self._body, self._compressor, self._rows = bytearray(), None, 0


def _text(value: Any) -> str:
    """A field: NULL is nothing, the empty string two quotes."""
    if value is None:
        return ""
    text = str(value)
    if not text or text == "\\." or not _SPECIAL.isdisjoint(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _boolean(value: Any) -> str:
    return "" if value is None else "t" if value else "f"


def _double(value: Any) -> str:
    return "" if value is None else repr(float(value)).removesuffix(".0")


def _json(value: Any) -> str:
    return "" if value is None else _text(json.dumps(value, ensure_ascii=False))


def _timestamp(value: Any) -> str:
    """ISO 8601 in any zone, as PostgreSQL prints it in UTC; the infinities are shown as the ends of Python's time."""
    if value is None:
        return ""
    moment = datetime.fromisoformat(value)
    if moment.replace(tzinfo=None) in _ENDS:
        return _ENDS[moment.replace(tzinfo=None)]
    moment = moment.astimezone(UTC)
    fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return f"{moment.isoformat(' ', 'seconds')[:19]}{fraction}+00"


FORMATS: Mapping[Kind, Callable[[Any], str]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _text,
    Kind.BIGINT: _text,
    Kind.UUID: _text,
    Kind.DOUBLE: _double,
    Kind.BOOLEAN: _boolean,
    Kind.JSON: _json,
    Kind.TIMESTAMP: _timestamp,
}

"""What a database holds in its declared columns, read another way than the engine's: psql, and COPY's text format."""

import json
import math
import pickle
import subprocess
from collections.abc import Callable, Iterator, Mapping

from groundcrew_metadata.declaration import As, Table
from localcloud.airflow import installed

Row = Mapping[str, str | None]

_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SETTINGS = "-c timezone=UTC -c datestyle=ISO -c extra_float_digits=1 -c bytea_output=hex"


def rows(conninfo: str, table: Table, version: str, where: str = "true") -> list[Row]:
    """The rows that an export should carry, its values as an export has them."""
    columns = table.columns_of(version)
    names = ", ".join(f'"{column.name}"' for column in columns)
    sql = f'copy (select {names} from "{table.name}" where {where}) to stdout'
    command = [str(installed.psql()), "-qX", "-v", "ON_ERROR_STOP=1", "-c", sql, f"{conninfo} options='{_SETTINGS}'"]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()
    return [
        {
            column.name: _HELD[column.held](value) if column.held and value is not None else value
            for column, value in zip(columns, _values(line), strict=True)
        }
        for line in printed.split("\n")[:-1]
    ]


def differences(left: list[Row], right: list[Row], key: tuple[str, ...]) -> list[str]:
    """Where two sets of rows differ, by key: rows of one only, rows that are there twice, values."""
    found: list[str] = []
    by_key: list[dict[tuple[str | None, ...], Row]] = []
    for side in (left, right):
        rows = {tuple(row[column] for column in key): row for row in side}
        if len(rows) < len(side):
            found.append("rows are there twice")
        by_key.append(rows)
    for one in sorted(set(by_key[0]) ^ set(by_key[1]), key=repr):
        found.append(f"{one} is only {'here' if one in by_key[0] else 'there'}")
    for one in sorted(set(by_key[0]) & set(by_key[1]), key=repr):
        here, there = (rows[one] for rows in by_key)
        for column in dict.fromkeys((*here, *there)):
            values = here.get(column, "no such column"), there.get(column, "no such column")
            if values[0] != values[1]:
                found.append(f"{one} {column}: {values[0]!r}, {values[1]!r}")
    return found


def _values(line: str) -> Iterator[str | None]:
    for field in line.split("\t"):
        yield None if field == "\\N" else "".join(_unescaped(field))


def _unescaped(field: str) -> Iterator[str]:
    characters = iter(field)
    for character in characters:
        if character == "\\":
            escaped = next(characters)
            yield _ESCAPES.get(escaped, escaped)
        else:
            yield character


def _local(value: str) -> str:
    return value if value.endswith("infinity") else f"{value}+00"


def _pickled(value: str) -> str | None:
    """By the real unpickler, which would run what our own test has pickled, and the C encoder."""
    try:
        return _json(pickle.loads(bytes.fromhex(value[2:])))
    except Exception:
        return None


def _encoded(value: str) -> str | None:
    data = bytes.fromhex(value[2:])
    if data[:1] == b"\x80":
        return _pickled(value)
    try:
        text = data.decode()
        value = json.loads(text)
    except ValueError:
        return None
    return _json(value) if "NaN" in text else text


def _json(value: object) -> str | None:
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)
    text.encode()
    return text


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return value


_HELD: Mapping[As, Callable[[str], str | None]] = {As.LOCAL: _local, As.PICKLE: _pickled, As.ENCODED: _encoded}

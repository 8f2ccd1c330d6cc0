"""Rows for Airflow's tables, of any version: made from its schema and a seed, with every value that is easily spoilt.

Row n of a table points to row n of the tables it references, so foreign keys hold and unique constraints do, too.
"""

import itertools
import json
import pickle
import random
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from groundcrew_metadata import declared
from localcloud.airflow import installed
from localcloud.airflow.schemas import Column, Table

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

TEXTS = (
    *("plain", "", " ", "NULL", "\\N", "\\.", "\\", '"', 'say "no"', "a,b", ",", "two\nlines", "cr\r\nlf", "\r", "\n"),
    *(
        "tab\there",
        "ünïcødé",
        "日本語",
        "🙂🙃",
        "e\u0301",
        "\u2028",
        "\ufeff",
        "\x01\x7f",
        "'; drop table log",
        "%s {0} :x",
        "t",
    ),
)
DOUBLES = ("0", "-0", "0.1", "1e-300", "1.7976931348623157e308", "3.141592653589793", "NaN", "Infinity", "-Infinity")
TIMESTAMPS = (
    *("infinity", "-infinity", "1970-01-01 00:00:00+00", "0044-03-15 12:00:00+00 BC", "2026-03-29 02:30:00.5+02"),
)
JSONS = (
    *(
        "null",
        "0",
        '""',
        "[]",
        "{}",
        '{"a": 1}',
        '{ "spaced" :  [1 , 2] }',
        '"say \\"no\\""',
        '{"nl": "a\\nb", "t": "\\t"}',
    ),
    *('{"ünï": "🙂"}', "12345678901234567890", "1.10", '{"a": 1, "a": 2}', '{"deep": [[[[{}]]]]}'),
)
CONFS: tuple[object, ...] = (
    *(
        {},
        None,
        {"k": 1},
        {"text": 'a "quoted"\nline, ünï 🙂'},
        {"nested": [1, 2.5, None, True, {"x": []}]},
        [1, 2],
        "text",
        7,
    ),
    *({"nan": float("nan"), "up": [float("inf")], "down": -float("inf")}, {"word": "NaN", "Infinity": "Infinity"}),
    *({"tuple": (1, 2)}, {1: "int key"}),
)
UNDECODED: tuple[object, ...] = (
    *({"when": datetime(2026, 1, 1, tzinfo=UTC)}, {"bytes": b"\x00"}, {"set": {1}}, {"surrogate": "\ud800"}),
)
"""Confs that are not made of JSON's types, or are no text."""

XCOMS = (*(text.encode() for text in JSONS), b'{"nan": NaN, "inf": [-Infinity]}', b"", b"not json", b"\xff\xfe")
_BROKEN = (b"", b"\x80", b"\x80\x05\x95", b"not a pickle", b"\x80\x04N", pickle.dumps(datetime)[:-1])


def order(tables: Mapping[str, Table]) -> list[str]:
    """The declared tables, and those they cannot do without; what is pointed to comes first."""
    found: list[str] = []

    def visit(name: str) -> None:
        table = tables[name]
        for reference in table.references:
            if reference.table != name and _needed(table, reference.columns):
                visit(reference.table)
        if name not in found:
            found.append(name)

    for name in declared.TABLES:
        if name in tables:
            visit(name)
    return found


Adjust = Callable[[str, int, dict[str, str | None]], None]
"""Changes a row, given its table and number, before others point to it."""


def fill(conninfo: str, tables: Mapping[str, Table], rows: int, seed: int = 0, adjust: Adjust | None = None) -> None:
    """Put as many rows into each table, whatever it held before."""
    made: dict[str, list[dict[str, str | None]]] = {}
    for name in order(tables):
        made[name] = list(_rows(name, tables[name], made, rows, seed))
        for number, row in enumerate(made[name]):
            if adjust:
                adjust(name, number, row)
    everything = ", ".join(f'"{name}"' for name in made)
    script = [f"set client_min_messages to warning;\ntruncate {everything} cascade;\n"]
    for name, lines in made.items():
        columns = ", ".join(f'"{column}"' for column in tables[name].columns)
        script.append(f'copy "{name}" ({columns}) from stdin;\n')
        script += ("\t".join(map(_copied, row.values())) + "\n" for row in lines)
        script.append("\\.\n")
    command = [str(installed.psql()), "-qX", "-v", "ON_ERROR_STOP=1", "--single-transaction", conninfo]
    done = subprocess.run(command, input="".join(script).encode(), capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode())


def _rows(
    name: str, table: Table, made: Mapping[str, list[dict[str, str | None]]], rows: int, seed: int
) -> Iterator[dict[str, str | None]]:
    dice = random.Random(f"{seed} {name}")
    values = {column: _values(f"{name}.{column}", kind, dice) for column, kind in table.columns.items()}
    for number in range(rows):
        row: dict[str, str | None] = {column: next(values[column]) for column in table.columns}
        for column in (*table.key, *_UNIQUE.get(name, ())):
            row[column] = _unique(table.columns[column], row[column], number)
        for reference in table.references:
            if reference.table in made and reference.table != name:
                parent = made[reference.table][number]
                row.update(zip(reference.columns, (parent[column] for column in reference.pointed), strict=True))
            else:
                row.update(dict.fromkeys(reference.columns))
        yield row


def _needed(table: Table, columns: Iterable[str]) -> bool:
    return any(not table.columns[column].nullable for column in columns)


def _values(name: str, column: Column, dice: random.Random) -> Iterator[str | None]:
    """Without end: each special value in turn, then others as well; NULL where it may be."""
    make = _KINDS[column.kind]
    special = list(_SPECIAL.get(name, _BY_KIND.get(column.kind, ())))
    for value in itertools.chain(special, iter(lambda: None, 0)):
        if value is not None:
            yield value
        elif column.nullable and dice.random() < 0.2:
            yield None
        else:
            yield dice.choice(special) if special and dice.random() < 0.5 else make(dice)


def _unique(column: Column, value: str | None, number: int) -> str:
    if column.kind == "integer":
        return str(number + 1)
    if column.kind == "uuid":
        return f"00000000-0000-0000-0000-{number:012}"
    if column.kind.startswith("timestamp"):
        return (BEGIN + timedelta(hours=number, microseconds=number)).isoformat()
    return f"{value}{number}"


def _moment(dice: random.Random) -> str:
    return (BEGIN + timedelta(microseconds=dice.randrange(300 * 86400 * 10**6))).isoformat()


_KINDS: Mapping[str, Callable[[random.Random], str]] = {
    "character varying": lambda dice: f"text {dice.randrange(1000)}",
    "text": lambda dice: f"text {dice.randrange(1000)}\n" * dice.randrange(1, 5),
    "integer": lambda dice: str(dice.randrange(-(2**31), 2**31)),
    "bigint": lambda dice: str(dice.randrange(-(2**63), 2**63)),
    "double precision": lambda dice: repr(dice.uniform(-1e6, 1e6)),
    "boolean": lambda dice: dice.choice("tf"),
    "timestamp with time zone": _moment,
    "timestamp without time zone": lambda dice: _moment(dice).removesuffix("+00:00"),
    "json": lambda dice: json.dumps({"n": dice.random(), "text": dice.choice(TEXTS)}, ensure_ascii=False).replace(
        r"\u0000", ""
    ),
    "jsonb": lambda dice: json.dumps({"n": dice.randrange(10**9)}),
    "uuid": lambda dice: str(dice.getrandbits(128).to_bytes(16).hex()),
    "bytea": lambda dice: _hex(pickle.dumps({"n": dice.randrange(10**6)})),
    "interval": lambda dice: f"{dice.randrange(1000)} seconds",
}


def _hex(data: bytes) -> str:
    return f"\\x{data.hex()}"


_BY_KIND: Mapping[str, Iterable[str]] = {
    "character varying": TEXTS,
    "text": TEXTS,
    "integer": ("0", "-1", "2147483647", "-2147483648"),
    "double precision": DOUBLES,
    "timestamp with time zone": TIMESTAMPS,
    "timestamp without time zone": ("infinity", "2026-03-29 02:30:00.000001"),
    "json": JSONS,
}
# Columns of unique constraints besides the primary keys: one of each is enough.
_UNIQUE: Mapping[str, Iterable[str]] = {"dag_run": ("dag_id",), "dataset": ("uri",), "slot_pool": ("pool",)}
_SPECIAL: Mapping[str, Iterable[str]] = {
    "dag_run.conf": [_hex(pickle.dumps(conf)) for conf in (*CONFS, *UNDECODED)] + [_hex(data) for data in _BROKEN],
    "xcom.value": [_hex(data) for data in XCOMS] + [_hex(pickle.dumps(conf)) for conf in (*CONFS, *UNDECODED)],
}


def _copied(value: str | None) -> str:
    """As COPY's text format has it."""
    if value is None:
        return "\\N"
    for character, escaped in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        value = value.replace(character, escaped)
    return value

"""Parts become Parquet value by value, or not at all."""

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from exports.parquet import Writer, Written
from groundcrew.errors import PermanentError
from groundcrew_metadata.declaration import Column, Kind

COLUMNS = (
    Column("number", Kind.INTEGER), Column("text", Kind.TEXT), Column("at", Kind.TIMESTAMP),
    Column("ratio", Kind.DOUBLE), Column("json", Kind.JSON), Column("uuid", Kind.UUID), Column("flag", Kind.BOOLEAN),
    Column("big", Kind.BIGINT),
)  # fmt: skip
HEADER = "number,text,at,ratio,json,uuid,flag,big\n"
UUID = "6f0e8a1a-0000-4000-8000-000000000001"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with Writer(tmp_path) as opened:
        yield opened


def written(writer: Writer, folder: Path, content: bytes) -> Written:
    part = folder / "part.csv.gz"
    part.write_bytes(gzip.compress(content))
    return writer.write(part, COLUMNS, {"account": "it's"}, datetime(2026, 11, 27, tzinfo=UTC), "at", "out.parquet")


def rows(file: Written) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        names = 'number, text, "at"::varchar, ratio::varchar, json, uuid, flag, big, account, exported_at::varchar'
        return connection.execute(f"select {names} from read_parquet('{file.path}')").fetchall()


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ('1,"",,,,,,', (1, "", None, None, None, None, None, None)),
        (
            '-2147483648,"a\nb,""q""",infinity,NaN,null,,t,',
            (-(2**31), 'a\nb,"q"', "infinity", "nan", "null", None, True, None),
        ),
        (
            '2,"x\r\ny",-infinity,-Infinity,"{""x"": ""NaN""}",' + UUID + ",f,9223372036854775807",
            (2, "x\r\ny", "-infinity", "-inf", '{"x": "NaN"}', UUID, False, 2**63 - 1),
        ),
        (
            '3,"\\.",0044-03-15 12:00:00+00 BC,-0,"",,,',
            (3, "\\.", "0044-03-15 (BC) 12:00:00+00", "-0.0", "", None, None, None),
        ),
        (
            ",NULL,2026-11-27 04:30:00.123456+00,1e-300,,,,",
            (None, "NULL", "2026-11-27 04:30:00.123456+00", "1e-300", None, None, None, None),
        ),
        (
            ",ünï 🙂,2026-11-27 04:30:00.5+00,0.1,,,,",
            (None, "ünï 🙂", "2026-11-27 04:30:00.5+00", "0.1", None, None, None, None),
        ),
    ],
)
def test_a_value_stays_what_it_is(writer: Writer, tmp_path: Path, line: str, values: tuple[Any, ...]) -> None:
    file = written(writer, tmp_path, (HEADER + line + "\n").encode())
    assert rows(file) == [(*values, "it's", "2026-11-27 00:00:00+00")]


def test_a_header_alone_is_no_rows(writer: Writer, tmp_path: Path) -> None:
    file = written(writer, tmp_path, HEADER.encode())
    assert (file.rows, file.first, file.last) == (0, None, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"number,text\n1,a\n",
        HEADER.replace("number,text", "text,number").encode(),
        *(
            (HEADER + line + "\n").encode()
            for line in (
                "1.5,,,,,,,",
                "one,,,,,,,",
                "01,,,,,,,",
                "2147483648,,,,,,,",
                ",,2026-99-01 00:00:00+00,,,,,",
                ",,,a,,,,",
                ",,,,,no,,",
                ",,,,,,true,",
                ",,,,,,1,",
                ",,,,,,,9223372036854775808",
                ",,",
                ",,,,,,,,x",
                ',"open,,,,,,',
                ',"a"b,,,,,,',
            )
        ),
        HEADER.encode() + b",\xff\xfe,,,,,,\n",
    ],
)
def test_what_is_not_as_declared_is_refused_without_quoting_it(writer: Writer, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(PermanentError) as caught:
        written(writer, tmp_path, content)
    assert caught.value.cause == "UnreadablePart"
    assert "one" not in caught.value.what.split()


def test_what_is_no_gzip_is_refused(writer: Writer, tmp_path: Path) -> None:
    part = tmp_path / "part.csv.gz"
    part.write_bytes(HEADER.encode())
    with pytest.raises(PermanentError, match="no gzip"):
        writer.write(part, COLUMNS, {}, datetime(2026, 11, 27, tzinfo=UTC), None, "out.parquet")

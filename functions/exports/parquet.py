"""Parts become Parquet: every value is read strictly, as the type that is declared for its column, or it is refused.

The only module that imports DuckDB, which comes with a layer of its own, to the one function that uses this.
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from groundcrew.errors import PermanentError
from groundcrew_metadata.declaration import Column, Kind

MEMORY_MB = 512
LONGEST_LINE = 16 << 20
"""Bytes of a row: a conf, a log line or an XCom of that size is none."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file of Parquet: its rows, and the first and the last moment in its time column."""

    path: Path
    rows: int
    first: datetime | None
    last: datetime | None


class Writer:
    """DuckDB, in memory, with two threads and little of that memory."""

    def __init__(self, folder: Path) -> None:
        """``folder`` takes what does not fit into memory, and the Parquet files."""
        import duckdb  # noqa: PLC0415 - 40 MB that only this function needs

        self._folder = folder
        config: Any = {"threads": 2, "memory_limit": f"{MEMORY_MB}MB", "temp_directory": str(folder / "duckdb")}
        self._error = duckdb.Error
        self._connection = duckdb.connect(":memory:", config=config)
        self._connection.execute("set preserve_insertion_order = false")  # a part's rows have none
        self._connection.execute("set TimeZone = 'UTC'")
        self._connection.execute("set autoload_known_extensions = false")  # nothing is fetched from anywhere

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def write(
        self,
        part: Path,
        columns: Sequence[Column],
        about: dict[str, str],
        exported_at: datetime,
        time: str | None,
        name: str,
    ) -> Written:
        """Read one part, and write it as Parquet with the columns of ``about`` and ``exported_at`` added to each row.

        Raises:
            PermanentError: ``UnreadablePart``: another header, another number of columns, or a value that is not of
                its column's type.
        """
        require_header(part, columns)
        declared = ", ".join(f"{_text(column.name)}: 'VARCHAR'" for column in columns)
        added = [f"{_text(value)} as {key}" for key, value in about.items()]
        added.append(f"TIMESTAMPTZ {_text(exported_at.isoformat())} as exported_at")
        values = ", ".join([*map(_value, columns), *added])
        source = (
            f"read_csv({_text(str(part))}, auto_detect = false, header = true, delim = ',', quote = '\"', "
            f"escape = '\"', nullstr = '', allow_quoted_nulls = false, strict_mode = true, compression = 'gzip', "
            f"new_line = '\\n', null_padding = false, ignore_errors = false, max_line_size = {LONGEST_LINE}, "
            f"buffer_size = {2 * LONGEST_LINE}, columns = {{{declared}}})"
        )
        path = self._folder / name
        try:
            connection = self._connection.cursor()  # of its own: parts are written side by side
            how = "format parquet, compression zstd, compression_level 1"
            connection.execute(f"copy (select {values} from {source}) to {_text(str(path))} ({how})")  # noqa: S608 - declared names only
            ends = f"min({_name(time)}), max({_name(time)})" if time else "null, null"
            seen = connection.execute(f"select count(*), {ends} from read_parquet({_text(str(path))})").fetchone()  # noqa: S608
        except self._error as error:
            # Only the kind: the message quotes the line, which may hold anything.
            raise unreadable(f"{type(error).__name__}") from None
        if seen is None:
            raise unreadable("nothing was written")
        rows, first, last = seen
        return Written(path, int(rows), first, last)


_NO = "error('not of its type')"


def require_header(part: Path, columns: Sequence[Column]) -> None:
    """Refuse a part whose first line does not name the declared columns, in order: DuckDB would skip it unread.

    Raises:
        PermanentError: ``UnreadablePart``.
    """
    wanted = ",".join(column.name for column in columns) + "\n"
    try:
        with gzip.open(part, "rb") as lines:
            header = lines.read(len(wanted))
    except (OSError, EOFError) as error:
        raise unreadable(f"it is no gzip ({type(error).__name__})") from None
    if header != wanted.encode():
        raise unreadable("its columns are not the declared ones")


def unreadable(why: str) -> PermanentError:
    """Of a part, without its content."""
    return PermanentError(
        f"a part cannot be read: {why}",
        cause="UnreadablePart",
        remedy="Ask for the export again; if it fails again, look whether the environment's Airflow was upgraded.",
    )


def _value(column: Column) -> str:
    """A column's text as its declared type. DuckDB's own casts are kinder than they should be: they round 1.5 to an
    integer and take ``yes`` for a boolean; and it says ``(BC)`` after the date where PostgreSQL ends with ``BC``.
    """
    name = _name(column.name)
    match column.kind:
        case Kind.TEXT | Kind.JSON:  # JSON as its text: no engine of queries could say more of it, and none reads NaN
            return name
        case Kind.INTEGER | Kind.BIGINT:
            number = f"cast({name} as {column.kind.value})"
            value = f"case when cast({number} as varchar) = {name} then {number} when {name} is not null then {_NO} end"
        case Kind.BOOLEAN:
            value = f"case {name} when 't' then true when 'f' then false else if({name} is null, null, {_NO}) end"
        case Kind.TIMESTAMP:
            moved = f"regexp_replace({name}, '^([^ ]+) (.*) BC$', '\\1 (BC) \\2')"
            value = f"cast(case when ends_with({name}, ' BC') then {moved} else {name} end as TIMESTAMPTZ)"
        case Kind.UUID:
            value = f"cast(cast({name} as UUID) as VARCHAR)"  # Athena reads none of Parquet's own kind
        case Kind.DOUBLE:
            value = f"cast({name} as DOUBLE)"
    return f"{value} as {name}"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

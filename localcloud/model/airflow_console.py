"""What the `airflow` command of the double writes: its answers, and the log lines and warnings around them."""

import datetime as dt
import json
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

_SITE = "/usr/local/airflow/.local/lib/python3.11/site-packages/airflow"
_GRAPHVIZ = "Could not import graphviz. Rendering graph to the graphical format will not be possible."


def warnings(version: str) -> str:
    """What every command has on stderr."""
    return f"{_SITE}/cli/commands/dag_command.py:48 UserWarning: {_GRAPHVIZ}\n" if version.startswith("2.") else ""


def log(version: str, now: dt.datetime, *, triggers: bool) -> str:
    """What a command has on stdout before its answer: on 2.x only one that triggers, on 2.7 in colours."""
    if not version.startswith("2."):
        where = f"[py.warnings] category=UserWarning filename={_SITE}/cli/commands/dag_command.py lineno=57"
        return f"{now.isoformat().replace('+00:00', 'Z')} [warning  ] {_GRAPHVIZ} {where}\n"
    stamp = now.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    text = "Loaded API auth backend: airflow.api.auth.backend.session"
    if not triggers:
        return ""
    if version.startswith("2.7"):
        return f"[\x1b[34m{stamp}\x1b[0m] {{\x1b[34m__init__.py:\x1b[0m42}} INFO\x1b[0m - {text}\x1b[0m\n"
    return f"[{stamp}] {{__init__.py:43}} INFO - {text}\n"


def answer(version: str, rows: Sequence[Mapping[str, Any]], output: str) -> str:
    """JSON in one line, or a table; NotImplementedError for the other formats."""
    separator = "T" if version.startswith("2.7") else " "
    texts = [{key: _plain(value, separator) for key, value in row.items()} for row in rows]
    if output == "json":
        return json.dumps(texts) + "\n"
    if output != "table":
        raise NotImplementedError(f"The double prints no {output}")
    if not rows:
        return "No data found\n"
    cells = [[_cell(value) for value in row.values()] for row in texts]
    widths = [max(map(len, column)) for column in zip(list(rows[0]), *cells, strict=True)]
    lines = [" | ".join(map(str.ljust, line, widths)) for line in (list(rows[0]), *cells)]
    return "\n".join([lines[0], "=+=".join("=" * width for width in widths), *lines[1:], "", ""])


def _plain(value: Any, separator: str) -> Any:
    """As Airflow's console prepares values: everything is text, but null and what holds other values."""
    match value:
        case None:
            return None
        case dict():
            return {key: _plain(item, separator) for key, item in value.items()}
        case list():
            return [_plain(item, separator) for item in value]
        case dt.datetime():
            return value.isoformat(sep=separator)
        case _:
            return str(value)


def _cell(value: Any) -> str:
    return ",".join(map(_cell, value)) if isinstance(value, list) else str(value)


def failure(text: str) -> str:
    """A traceback that ends with ``text``."""
    frames = [traceback.FrameSummary("/usr/local/airflow/.local/bin/airflow", 8, "<module>", line="sys.exit(main())")]
    return "".join(["Traceback (most recent call last):\n", *traceback.format_list(frames), f"{text}\n"])

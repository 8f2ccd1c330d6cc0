"""What Airflow 2.x says of a request before it does anything: the OpenAPI document's checks, then the code's own."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any

Query = Mapping[str, Any]

TRIGGER = {"dag_run_id": "string?", "logical_date": "date-time?", "execution_date": "date-time?",
           "conf": "object", "note": "string?"}  # fmt: skip
READ_ONLY = ("dag_id", "start_date", "end_date", "last_scheduling_decision", "run_type", "state", "external_trigger")
LIST = {
    "order_by": "string", "page_offset": "integer>=0", "page_limit": "integer>=1", "dag_ids": "array",
    "states": "array",
    **{f"{name}_{end}": "date-time" for name in ("execution_date", "start_date", "end_date") for end in ("gte", "lte")},
    "updated_at_gte": "date-time", "updated_at_lte": "date-time",  # accepted and ignored
}  # fmt: skip
_PYTHON_TYPES = {"string": str, "date-time": str, "object": dict, "array": list, "boolean": bool, "integer": int}
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)
_PAGE = 100  # `[api] maximum_page_limit` and `fallback_page_limit`


class Problem(Exception):
    """An error answer."""

    def __init__(self, status: int, title: str | None, detail: str | None, kind: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.kind = status, title, detail, kind


def bad(detail: str | None, title: str | None = "Bad Request") -> Problem:
    """400."""
    return Problem(400, title, detail, "BadRequest")


def only(query: Query, allowed: Iterable[str]) -> None:
    if extra := [name for name in query if name not in allowed]:
        raise bad(f"Extra query parameter(s) {', '.join(extra)} not in spec", None)


def page(query: Query) -> tuple[int, int]:
    """Offset and limit of a GET; more than a page is a page, and 0 is the default."""
    numbers = {}
    for name in ("offset", "limit"):
        try:
            numbers[name] = int(query.get(name, 0))
        except ValueError:
            raise bad(f"Wrong type, expected 'integer' for query parameter '{name}'") from None
    if numbers["offset"] < 0:
        raise bad(f"{numbers['offset']} is less than the minimum of 0")
    if numbers["limit"] < 0:
        raise bad(None, "Page limit must be a positive integer")
    return numbers["offset"], min(numbers["limit"] or _PAGE, _PAGE)


def boolean(query: Query, name: str) -> bool:
    text = str(query[name]).lower()
    if text not in ("true", "false"):
        raise bad(f"Wrong type, expected 'boolean' for query parameter '{name}'")
    return text == "true"


def typed(body: Any, schema: Mapping[str, str], read_only: Iterable[str] = ()) -> None:
    """What the OpenAPI document says of a body: types, formats, minima, read-only members."""
    if body is None:
        raise bad("Request body must not be empty")
    if not isinstance(body, dict):
        raise bad(f"{body!r} is not of type 'object'")
    for name, value in body.items():
        if name in read_only:
            raise bad(f"Property is read-only - '{name}'")
        if name in schema:
            _check(name, value, schema[name])


def _check(name: str, value: Any, rule: str) -> None:
    kind, _, minimum = rule.rstrip("?").partition(">=")
    if value is None and rule.endswith("?"):
        return
    wrong = not isinstance(value, _PYTHON_TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")
    if wrong:
        raise bad(f"{value!r} is not of type '{'string' if kind == 'date-time' else kind}' - '{name}'")
    if kind == "date-time" and not (_DATE_TIME.fullmatch(value) and _exists(value)):
        raise bad(f"{value!r} is not a 'date-time' - '{name}'")
    if minimum and value < int(minimum):
        raise bad(f"{value!r} is less than the minimum of {minimum} - '{name}'")


def _exists(text: str) -> bool:
    try:
        date(text)
    except ValueError:
        return False
    return True


def date(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text.upper())


def unknown(body: Mapping[str, Any], known: Iterable[str]) -> dict[str, list[str]]:
    return {name: ["Unknown field."] for name in body if name not in known}


def mistakes(body: Mapping[str, Any]) -> dict[str, list[str]]:
    """What the code itself says of a body that starts a run."""
    errors: dict[str, list[str]] = {}
    asked = body.get("logical_date", body.get("execution_date", ""))
    if "dag_run_id" in body and body["dag_run_id"] is None:
        errors["dag_run_id"] = ["Field may not be null."]
    elif len(body.get("dag_run_id", "")) > 250:
        errors["dag_run_id"] = ["Longer than maximum length 250."]
    if asked is None:
        errors["logical_date"] = ["Field may not be null."]
    elif asked != asked.upper():  # the document allows t and z
        errors["logical_date"] = ["Not a valid datetime."]
    if len(body.get("note") or "") > 1000:
        errors["note"] = ["Longer than maximum length 1000."]
    return errors | unknown(body, TRIGGER)

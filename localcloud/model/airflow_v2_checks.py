"""What Airflow 3.x says of a request before it does anything: the answers of FastAPI and pydantic, every mistake."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

Query = Mapping[str, Any]

STATES = ("queued", "running", "success", "failed")
# member -> kind; ! is required, ? may be null
TRIGGER = {
    "dag_run_id": "str?", "data_interval_start": "aware?", "data_interval_end": "aware?", "logical_date": "aware?!",
    "run_after": "aware?", "conf": "dict?", "note": "str?", "partition_key": "str?",
}  # fmt: skip
PATCH_DAG = {"is_paused": "bool!"}
LIST = {
    "order_by": "str?", "page_offset": "natural", "page_limit": "natural", "dag_ids": "list?", "states": "states?",
    **{
        f"{name}_{end}": f"{kind}?"
        for name, kind in (("run_after", "aware"), ("logical_date", "aware"), ("start_date", "aware"),
                           ("end_date", "aware"), ("duration", "number"))
        for end in ("gte", "gt", "lte", "lt")
    },
}  # fmt: skip
_PLAIN: dict[str, tuple[Any, str, str]] = {  # Python's type, pydantic's error, its word
    "str": (str, "string_type", "string"),
    "dict": (dict, "dict_type", "dictionary"),
    "list": (list, "list_type", "list"),
    "states": (list, "list_type", "list"),
    "number": ((int, float), "float_type", "number"),
    "bool": (bool, "bool_type", "boolean"),
}
_PAGE, MOST = 50, 100  # `[api] fallback_page_limit` and `maximum_page_limit`

Mistake = dict[str, Any]


class Problem(Exception):
    """An error answer."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


def page(query: Query, most: int | None = MOST) -> tuple[int, int]:
    """Offset and limit of a GET; more than the most, if there is one, is the most, and 0 is 0."""
    numbers, mistakes = {}, []
    for name, default in (("limit", _PAGE), ("offset", 0)):
        numbers[name], found = _natural(str(query.get(name, default)), ["query", name])
        mistakes += found
    if mistakes:
        raise Problem(422, mistakes)
    return numbers["offset"], numbers["limit"] if most is None else min(numbers["limit"], most)


def read(body: Any, schema: Mapping[str, str]) -> dict[str, Any]:
    """The members of a body, times as datetimes; 422 with every mistake."""
    if body is None:
        raise Problem(422, [_mistake("missing", ["body"], "Field required", None)])
    if not isinstance(body, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise Problem(422, [_mistake("model_attributes_type", ["body"], message, body)])
    values, mistakes = {}, []
    for name, rule in schema.items():
        if name in body:
            values[name], found = _value(body[name], rule, ["body", name])
            mistakes += found
        elif rule.endswith("!"):
            mistakes.append(_mistake("missing", ["body", name], "Field required", body))
    for name in body:
        if name not in schema:
            mistakes.append(_mistake("extra_forbidden", ["body", name], "Extra inputs are not permitted", body[name]))
    if mistakes:
        raise Problem(422, mistakes)
    return values


def _mistake(kind: str, where: list[Any], message: str, given: Any, **context: Any) -> Mistake:
    mistake = {"type": kind, "loc": where, "msg": message, "input": given}
    return {**mistake, "ctx": context} if context else mistake


def _value(given: Any, rule: str, where: list[Any]) -> tuple[Any, list[Mistake]]:
    kind = rule.rstrip("!").rstrip("?")
    if given is None and "?" in rule:
        return None, []
    match kind:
        case "aware":
            return _aware(given, where)
        case "natural":
            return _natural(given, where)
        case "list" | "states" if isinstance(given, list):
            return given, [
                mistake for place, item in enumerate(given) for mistake in _item(kind, item, [*where, place])
            ]
    python, error, what = _PLAIN[kind]
    if isinstance(given, python) and not (isinstance(given, bool) and kind == "number"):
        return given, []
    message = f"Input should be a valid {what}"
    if kind == "bool" and isinstance(given, str):
        error, message = "bool_parsing", f"{message}, unable to interpret input"
    return None, [_mistake(error, where, message, given)]


def _item(kind: str, item: Any, where: list[Any]) -> list[Mistake]:
    if kind == "states" and item is not None and item not in STATES:
        expected = "'queued', 'running', 'success' or 'failed'"
        return [_mistake("enum", where, f"Input should be {expected}", item, expected=expected)]
    return _value(item, "str", where)[1] if kind == "list" else []


def _natural(given: Any, where: list[Any]) -> tuple[int, list[Mistake]]:
    try:
        number = int(given)
    except (TypeError, ValueError):
        message = "Input should be a valid integer, unable to parse string as an integer"
        return 0, [_mistake("int_parsing", where, message, given)]
    if number < 0:
        return 0, [
            _mistake("greater_than_equal", where, "Input should be greater than or equal to 0", given, ge=0),
        ]
    return number, []


def _aware(given: Any, where: list[Any]) -> tuple[dt.datetime | None, list[Mistake]]:
    """A time with its zone; numbers are seconds since the epoch. (pydantic says more precisely what is wrong.)"""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return dt.datetime.fromtimestamp(given, dt.UTC), []
    try:
        found = dt.datetime.fromisoformat(given.upper() if isinstance(given, str) else given)
    except (TypeError, ValueError):
        message = "Input should be a valid datetime or date, input is too short"
        return None, [_mistake("datetime_from_date_parsing", where, message, given, error="input is too short")]
    if found.tzinfo is None:
        return None, [_mistake("timezone_aware", where, "Input should have timezone info", given)]
    return found, []

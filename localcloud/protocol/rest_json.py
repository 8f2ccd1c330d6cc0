"""The REST-JSON protocol of MWAA: which operation a path means, its parameters, its answer."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import unquote

from botocore.model import OperationModel

from localcloud.protocol import models

Query = Mapping[str, Sequence[str]]


@cache
def _routes(service: str) -> list[tuple[str, re.Pattern[str], OperationModel]]:
    routes = []
    for name in models.service(service).operation_names:
        operation = models.operation(service, name)
        path = re.sub(r"\{(\w+)\+?\}", r"(?P<\1>.+)", operation.http["requestUri"])
        routes.append((str(operation.http["method"]), re.compile(path), operation))
    return routes


def parse(service: str, method: str, path: str, query: Query, body: bytes) -> tuple[OperationModel, dict[str, Any]]:
    """The operation and its parameters; KeyError for a path that means none. ``path`` may be percent-encoded."""
    for verb, pattern, operation in _routes(service):
        match = pattern.fullmatch(path.rstrip("/")) if verb == method else None
        if match:
            return operation, _params(operation, match.groupdict(), query, body)
    raise KeyError(f"{method} {path}")


def _params(operation: OperationModel, uri: Mapping[str, str], query: Query, body: bytes) -> dict[str, Any]:
    shape: Any = operation.input_shape
    given = json.loads(body) if body else {}
    params: dict[str, Any] = {}
    for name, member in shape.members.items():
        wire = str(member.serialization.get("name", name))
        match member.serialization.get("location"):
            case "uri":
                params[name] = unquote(uri[wire])
            case "querystring" if wire in query:
                params[name] = list(query[wire]) if member.type_name == "list" else query[wire][0]
            case None if wire in given:
                params[name] = given[wire]
    return params


def serialize(operation: OperationModel, result: Mapping[str, Any]) -> bytes:
    """The answer's JSON; None values and what the output shape does not know are left out."""
    shape = operation.output_shape
    return b"{}" if shape is None else json.dumps(_known(shape, result)).encode()


def _known(shape: Any, value: Any) -> Any:
    if getattr(shape, "is_document_type", False):
        return value
    if shape.type_name == "structure":
        members = shape.members
        return {key: _known(members[key], item) for key, item in value.items() if item is not None and key in members}
    if shape.type_name == "list":
        return [_known(shape.member, item) for item in value]
    return value


def error(code: str, message: str, members: Mapping[str, Any] | None = None) -> tuple[dict[str, str], bytes]:
    """Headers and body of an error answer (its type travels in a header) with the members of its own."""
    body = json.dumps({"message": message, **(members or {})}).encode()
    return {"x-amzn-ErrorType": code, "Content-Type": "application/json"}, body

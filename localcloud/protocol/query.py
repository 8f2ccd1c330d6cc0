"""The Query protocols (EC2's and the older one of STS): a form in, XML out."""

import datetime as dt
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.model import OperationModel, Shape

Tree = dict[str, Any]


def form(body: str | bytes) -> dict[str, str]:
    """The fields of a form body."""
    text = body.decode() if isinstance(body, bytes) else body
    return dict(parse_qsl(text, keep_blank_values=True))


def parse(operation: OperationModel, fields: Mapping[str, str]) -> dict[str, Any]:
    """The operation's parameters, in botocore's names and types, from flat fields such as ``Filter.1.Value.2``."""
    tree: Tree = {}
    for name, value in fields.items():
        node = tree
        *parents, leaf = name.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    shape = operation.input_shape
    ec2 = operation.metadata["protocol"] == "ec2"
    return {} if shape is None else _structure(shape, tree, ec2)


def _structure(shape: Any, tree: Tree, ec2: bool) -> dict[str, Any]:
    found = {}
    for name, member in shape.members.items():
        wire = _wire_name(name, member, ec2)
        if wire in tree:
            found[name] = _value(member, tree[wire], ec2)
    return found


def _wire_name(name: str, member: Shape, ec2: bool) -> str:
    """https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html (names resolve to queryName, else capitalised)"""
    if not ec2:
        return str(member.serialization.get("name", name))
    if "queryName" in member.serialization:
        return str(member.serialization["queryName"])
    wire = str(member.serialization.get("name", name))
    return wire[:1].upper() + wire[1:]


def _value(shape: Any, raw: Any, ec2: bool) -> Any:
    match shape.type_name:
        case "structure":
            return _structure(shape, raw, ec2)
        case "list":
            items = raw if ec2 or shape.serialization.get("flattened") else raw.get("member", {})
            return [_value(shape.member, items[key], ec2) for key in sorted(items, key=int)] if items else []
        case "boolean":
            return raw == "true"
        case "integer" | "long":
            return int(raw)
        case "float" | "double":
            return float(raw)
        case _:
            return raw


def serialize(operation: OperationModel, result: Mapping[str, Any], request_id: str) -> bytes:
    """The answer's XML; what the output shape does not know is left out."""
    ec2 = operation.metadata["protocol"] == "ec2"
    shape = operation.output_shape
    inner = "" if shape is None else members(shape, result, ec2)
    namespace = operation.metadata.get("xmlNamespace", "")
    root = f"{operation.name}Response"
    if ec2:
        return f'<{root} xmlns="{namespace}"><requestId>{request_id}</requestId>{inner}</{root}>'.encode()
    if shape is not None and (wrapper := shape.serialization.get("resultWrapper")):
        inner = f"<{wrapper}>{inner}</{wrapper}>"
    metadata = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    return f'<{root} xmlns="{namespace}">{inner}{metadata}</{root}>'.encode()


def members(shape: Any, values: Mapping[str, Any], ec2: bool = False) -> str:
    """The XML of a structure's members, without the structure's own tag."""
    known = shape.members
    parts = []
    for name, value in values.items():
        if value is not None and name in known:
            member = known[name]
            parts.append(_element(member, str(member.serialization.get("name", name)), value, ec2))
    return "".join(parts)


def _element(shape: Any, tag: str, value: Any, ec2: bool) -> str:
    match shape.type_name:
        case "structure":
            return f"<{tag}>{members(shape, value, ec2)}</{tag}>"
        case "list":
            if shape.serialization.get("flattened"):
                return "".join(_element(shape.member, tag, item, ec2) for item in value)
            item_tag = str(shape.member.serialization.get("name", "item" if ec2 else "member"))
            items = "".join(_element(shape.member, item_tag, item, ec2) for item in value)
            return f"<{tag}>{items}</{tag}>"
        case "boolean":
            return f"<{tag}>{str(bool(value)).lower()}</{tag}>"
        case "timestamp":
            return f"<{tag}>{iso(value)}</{tag}>"
        case _:
            return f"<{tag}>{escape(str(value))}</{tag}>"


def iso(value: Any) -> str:
    """A time (seconds since the epoch, or text as it is) the way XML answers spell it."""
    if isinstance(value, str):
        return value
    return dt.datetime.fromtimestamp(float(value), dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def error_answer(ec2: bool, code: str, message: str, request_id: str) -> bytes:
    """An error answer: EC2's envelope or the Query protocol's."""
    inner = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if ec2:
        return (
            f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>{request_id}</RequestID></Response>".encode()
        )
    error = f"<Error><Type>Sender</Type>{inner}</Error>"
    return f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>".encode()

"""The REST-XML protocol of S3: an operation's parameters from a request, its answer."""

import base64
import datetime as dt
import re
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Mapping, Sequence
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from botocore.awsrequest import AWSPreparedRequest
from botocore.model import OperationModel

from localcloud.model.errors import AwsError
from localcloud.protocol import query

Query = Mapping[str, Sequence[str]]


def parse(
    operation: OperationModel, bucket: str, key: str, fields: Query, headers: Mapping[str, str], body: bytes
) -> dict[str, Any]:
    """The parameters of an operation on a bucket, or on a key in it; header names are in small letters."""
    shape: Any = operation.input_shape
    uri = {"Bucket": bucket, "Key": unquote(key)}
    params: dict[str, Any] = {}
    for name, member in shape.members.items():
        wire = str(member.serialization.get("name", name))
        match member.serialization.get("location"):
            case "uri":
                params[name] = uri[wire]
            case "querystring" if wire in fields:
                params[name] = _typed(member, fields[wire][0])
            case "header" if wire.lower() in headers:
                params[name] = _typed(member, headers[wire.lower()])
            case "headers":
                prefix = wire.lower()
                params[name] = {
                    header.removeprefix(prefix): text for header, text in headers.items() if header.startswith(prefix)
                }
    payload = shape.serialization.get("payload")
    if payload and body:
        member = shape.members[payload]
        params[payload] = _tree(member, ET.fromstring(body)) if member.type_name == "structure" else body
    return params


def _typed(shape: Any, text: str) -> Any:
    match shape.type_name:
        case "integer" | "long":
            return int(text)
        case "boolean":
            return text == "true"
        case _:
            return text


def _tree(shape: Any, element: ET.Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, member in shape.members.items():
        wire = str(member.serialization.get("name", name))
        children = [child for child in element if re.sub(r"^\{.*\}", "", child.tag) == wire]
        if not children:
            continue
        if member.type_name == "list":
            found[name] = [_tree(member.member, child) for child in children]
        elif member.type_name == "structure":
            found[name] = _tree(member, children[0])
        else:
            found[name] = _typed(member, children[0].text or "")
    return found


def serialize(operation: OperationModel, result: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Headers and body of an answer; what the output shape does not know is left out."""
    shape: Any = operation.output_shape
    if shape is None:
        return {}, b""
    headers: dict[str, str] = {}
    inner = {}
    for name, value in result.items():
        if value is None or name not in shape.members:
            continue
        member = shape.members[name]
        wire = str(member.serialization.get("name", name))
        match member.serialization.get("location"):
            case "header":
                headers[wire] = _header(member, value)
            case "headers":
                headers |= {wire + key: text for key, text in value.items()}
            case _:
                inner[name] = value
    payload = shape.serialization.get("payload")
    if payload:
        return headers, inner.get(payload, b"")
    body = query.members(shape, inner)
    namespace = operation.metadata.get("xmlNamespace", "http://s3.amazonaws.com/doc/2006-03-01/")
    tag = f"{operation.name}Result"
    return headers, f'<{tag} xmlns="{namespace}">{body}</{tag}>'.encode() if body else b""


def _header(shape: Any, value: Any) -> str:
    match shape.type_name:
        case "timestamp":
            return format_datetime(dt.datetime.fromtimestamp(float(value), dt.UTC), usegmt=True)
        case "boolean":
            return str(bool(value)).lower()
        case _:
            return str(value)


def error(code: str, message: str) -> bytes:
    """An error answer: S3's, without an envelope."""
    return f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>".encode()


def parameters(operation: OperationModel, request: AWSPreparedRequest) -> dict[str, Any]:
    """The parameters of a request, whether its bucket is in the host's name or in the path."""
    url = urlsplit(request.url)
    host, path = url.hostname or "", url.path.lstrip("/")
    bucket, separator, _ = host.partition(".s3.")
    if not separator:
        bucket, _, path = path.partition("/")
    named: list[tuple[str, Any]] = [*request.headers.items()]
    headers = {name.lower(): value.decode() if isinstance(value, bytes) else str(value) for name, value in named}
    fields = parse_qs(url.query, keep_blank_values=True)
    body = _body(request.body, headers)
    return parse(operation, unquote(bucket), path, fields, headers, body)


def _body(sent: Any, headers: Mapping[str, str]) -> bytes:
    raw: Any = sent.read() if hasattr(sent, "read") else sent or b""
    content = raw.encode() if isinstance(raw, str) else bytes(raw)
    return unchunked(content) if "aws-chunked" in headers.get("content-encoding", "") else content


def unchunked(content: bytes) -> bytes:
    """What an ``aws-chunked`` body carries, held against the checksum in its trailer.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
    """
    found = b""
    while True:
        size, _, content = content.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if length == 0:
            break
        found, content = found + content[:length], content[length + 2 :]
    name, _, checksum = content.strip().partition(b":")
    if name == b"x-amz-checksum-crc32" and base64.b64decode(checksum) != zlib.crc32(found).to_bytes(4, "big"):
        raise AwsError("BadDigest", "The CRC32 you specified did not match the calculated checksum.", 400)
    return found

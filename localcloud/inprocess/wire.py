"""HTTP of the in-process cloud: botocore's prepared requests in, its responses out."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from localcloud.inprocess.faults import Kind
from localcloud.model.network import Record
from localcloud.protocol import models, query, rest_json, rest_xml


@dataclass(frozen=True)
class Wire:
    """How one service speaks."""

    service: str  # botocore's name
    prefix: str  # IAM's name
    family: str  # ec2, query, json, rest or xml

    def parse(self, name: str, request: AWSPreparedRequest) -> Record:
        """The operation's parameters."""
        if self.family == "xml":
            return rest_xml.parameters(models.operation(self.service, name), request)
        body = request.body or b""
        if not isinstance(body, bytes):
            body = str(body).encode()
        if self.family == "rest":
            url = urlsplit(request.url)
            return rest_json.parse(self.service, request.method, url.path, parse_qs(url.query), body)[1]
        if self.family == "json":
            loaded: Record = json.loads(body)
            return loaded
        return query.parse(models.operation(self.service, name), query.form(body))

    def ok(self, url: str, name: str, result: Record) -> AWSResponse:
        """The answer of an operation."""
        if self.family == "xml":
            headers, body = rest_xml.serialize(models.operation(self.service, name), result)
            return response(url, 200, body, headers)
        if self.family == "rest":
            return response(url, 200, rest_json.serialize(models.operation(self.service, name), result))
        if self.family == "json":
            return response(url, 200, json.dumps(result).encode())
        return response(url, 200, query.serialize(models.operation(self.service, name), result, "in-process"))

    def failure(self, fault: Kind) -> tuple[int, str]:
        """Status and code of an answer that a fault gives; no code if it gives none."""
        return _FAILURES.get(fault, {}).get(self.family, (0, ""))

    def error(
        self, url: str, status: int, code: str, message: str, members: Mapping[str, Any] | None = None
    ) -> AWSResponse:
        """An error answer; its own ``members`` are those of REST services only."""
        if self.family == "xml":
            return response(url, status, rest_xml.error(code, message))
        if self.family == "rest":
            headers, body = rest_json.error(code, message, members)
            return response(url, status, body, headers)
        if self.family == "json":
            return response(url, status, json.dumps({"__type": code, "message": message}).encode())
        return response(url, status, query.error_answer(self.family == "ec2", code, message, "in-process"))


_FAILURES: dict[Kind, dict[str, tuple[int, str]]] = {  # by protocol: HTTP status and code
    Kind.THROTTLED: {
        "ec2": (503, "RequestLimitExceeded"), "query": (400, "Throttling"), "json": (400, "ThrottlingException"),
        "rest": (429, "ThrottlingException"), "xml": (503, "SlowDown"),
    },
    Kind.SERVER_ERROR: {
        "ec2": (500, "InternalError"), "query": (500, "InternalFailure"), "json": (500, "InternalServerException"),
        "rest": (500, "InternalServerException"), "xml": (500, "InternalError"),
    },
    Kind.DENIED: {
        "ec2": (403, "UnauthorizedOperation"), "query": (403, "AccessDenied"), "json": (403, "AccessDeniedException"),
        "rest": (403, "AccessDeniedException"), "xml": (403, "AccessDenied"),
    },
}  # fmt: skip
WIRES = {  # by botocore's hyphenated service id, as `before-send` names it
    "ec2": Wire("ec2", "ec2", "ec2"),
    "sts": Wire("sts", "sts", "query"),
    "ssm": Wire("ssm", "ssm", "json"),
    "sqs": Wire("sqs", "sqs", "json"),
    "sfn": Wire("stepfunctions", "states", "json"),
    "dynamodb": Wire("dynamodb", "dynamodb", "json"),
    "eventbridge": Wire("events", "events", "json"),
    "mwaa": Wire("mwaa", "airflow", "rest"),
    "secrets-manager": Wire("secretsmanager", "secretsmanager", "json"),
    "s3": Wire("s3", "s3", "xml"),
    "codeartifact": Wire("codeartifact", "codeartifact", "rest"),
}


def header(request: AWSPreparedRequest, name: str) -> str:
    """A request header as text, empty if it is missing."""
    value = request.headers.get(name, b"")
    return value.decode() if isinstance(value, bytes) else str(value)


class _Raw(BytesIO):
    """A body in the form AWSResponse reads."""

    def stream(self, *_args: Any, **_options: Any) -> Iterator[bytes]:
        yield self.read()


def response(url: str, status: int, body: bytes, headers: dict[str, str] | None = None) -> AWSResponse:
    """What came back from ``url``."""
    return AWSResponse(url, status, HTTPHeaders.from_dict(headers or {}), _Raw(body))


def bodiless(answer: AWSResponse) -> AWSResponse:
    """The answer to a HEAD request: what it says has no body, not even an error's."""
    return response(answer.url, answer.status_code, b"", dict(answer.headers.items()))

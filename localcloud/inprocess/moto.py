"""The in-process cloud with moto behind it: the same journal, faults and clients, and moto's answers.

moto is not started: it would answer behind the journal's back. Its handler gets the requests from here instead, with
the account that asks, as moto's header for that says.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import botocore.parsers
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from moto.core.base_backend import BackendDict
from moto.core.models import botocore_stubber

from localcloud.inprocess.aws import Answered, InProcessAws
from localcloud.inprocess.faults import Attempt
from localcloud.inprocess.wire import Wire, response
from localcloud.protocol import models


@dataclass
class MotoAws(InProcessAws):
    """moto for the services that it models faithfully, our own doubles for the others."""

    services: ClassVar[frozenset[str]] = frozenset(
        {"dynamodb", "ec2", "events", "s3", "secretsmanager", "sqs", "ssm", "stepfunctions"}
    )
    """By botocore's names. STS stays ours: it gives out the keys by which the journal knows who asks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        BackendDict.reset()

    def respond(self, wire: Wire, name: str, attempt: Attempt, request: AWSPreparedRequest) -> Answered:
        """Let moto run the operation."""
        if wire.service not in self.services:
            return super().respond(wire, name, attempt, request)
        request.headers["x-moto-account-id"] = attempt.account
        if rewind := getattr(request.body, "seek", None):
            rewind(0)  # the journal has read it
        found = botocore_stubber.process_request(request)
        if found is None:
            raise NotImplementedError(f"moto does not answer {attempt.operation}")
        status, headers, body = found
        content = body.encode() if isinstance(body, str) else body
        answer = response(request.url, status, content, {key: str(value) for key, value in headers.items()})
        return Answered(answer, None, _error(wire, name, answer, content) if status >= 400 else None)


def _error(wire: Wire, name: str, answer: AWSResponse, content: bytes) -> str:
    parser = botocore.parsers.create_parser(models.service(wire.service).resolved_protocol)
    shape: Any = models.operation(wire.service, name).output_shape  # None is taken, too
    parsed = parser.parse({"status_code": answer.status_code, "headers": answer.headers, "body": content}, shape)
    return str(parsed["Error"]["Code"])

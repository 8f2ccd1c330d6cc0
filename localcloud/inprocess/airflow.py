"""The command lines of environments, in process: what is sent to ``/aws_mwaa/cli`` of their host names."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from localcloud.inprocess.faults import Attempt, Killed, Kind
from localcloud.inprocess.wire import header, response
from localcloud.model.front_door import FrontDoor, Token, cli_action

Send = Callable[[AWSPreparedRequest], AWSResponse]

_HOSTS = ".airflow.amazonaws.com"
_STATUS = {Kind.THROTTLED: 503, Kind.SERVER_ERROR: 500, Kind.DENIED: 403}
_READS = ("list", "airflow-cli:version")


def command_lines(run: Send, stock: Any) -> Any:
    """botocore's ``URLLib3Session.send``, with the web servers of environments answered by ``run``."""

    def send(session: Any, request: AWSPreparedRequest) -> AWSResponse:
        host = urlsplit(request.url).hostname or ""
        answer: AWSResponse = run(request) if host.endswith(_HOSTS) else stock(session, request)
        return answer

    return send


def airflow_reads(params: Mapping[str, Any]) -> bool:
    """Is this an InvokeRestApi that changes nothing?"""
    return params.get("Method") == "GET" or str(params.get("Path", "")).endswith("/list")


@dataclass
class Command:
    """One request of a command."""

    door: FrontDoor
    request: AWSPreparedRequest
    token: Token | None = field(init=False)
    attempt: Attempt = field(init=False)

    def __post_init__(self) -> None:
        self.token = self.door.token(header(self.request, "Authorization"))
        body = self.request.body or b""
        text = body.decode() if isinstance(body, bytes) else str(body)
        environment = self.token.environment if self.token else None
        self.attempt = Attempt(
            cli_action(text),
            environment.caller.account if environment else "",
            environment.caller.region if environment else "",
            self.token.visitor.principal if self.token else "",
            {"Name": environment.name if environment else "", "Command": text},
            uuid.uuid4().hex,
        )

    def run(self, fault: Kind | None) -> AWSResponse | None:
        """The web server's answer; None if the command does not get there."""
        if fault in _STATUS:
            return response(self.request.url, _STATUS[fault], b"injected")
        if fault is not None and not fault.takes_effect:
            return None
        url = urlsplit(self.request.url)
        if self.token and not (self.token.reaches and url.hostname == self.token.environment.hostname):
            return None
        if url.path != "/aws_mwaa/cli":
            return response(self.request.url, 404, b"Not Found")
        return response(self.request.url, *self.door.cli(self.token, str(self.attempt.params["Command"])))

    def result(self, answer: AWSResponse | None) -> tuple[bool, str | None]:
        """Did it change something, as far as the answer says, and what went wrong?"""
        if answer is None or answer.status_code != 200:
            return False, f"HTTP {answer.status_code}" if answer else "no answer"
        return not self.attempt.operation.split(" ")[-1].startswith(_READS), None

    def outcome(self, fault: Kind | None, answer: AWSResponse | None) -> AWSResponse:
        """What the caller gets; raises what the network or the process would."""
        url = self.request.url
        match fault:
            case Kind.TIMED_OUT_AFTER:
                raise ReadTimeoutError(endpoint_url=url)
            case Kind.RESET_BEFORE:
                raise ConnectionClosedError(endpoint_url=url)
            case Kind.KILLED_BEFORE | Kind.KILLED_AFTER:
                raise Killed(self.attempt.operation)
        if answer is None:
            raise EndpointConnectionError(endpoint_url=url)
        return answer

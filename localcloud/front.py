"""What stands in front of every service: it says who calls what, and lets calls go wrong on purpose."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from ministack import app as ministack
from ministack.core import iam_actions
from ministack.core.responses import request_scope
from ministack.core.router import extract_access_key_id, extract_region

from localcloud.cloud import Call, Cloud
from localcloud.control import Control
from localcloud.faults import Fault
from localcloud.hooks import identity

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CONTROL = "/_localcloud/"
# Requests to us are plain HTTP; for policies (aws:SecureTransport), TLS ends just before.
TLS_ENDED_HERE = (b"x-forwarded-proto", b"https")
# status and code of a throttled call, where it is not ThrottlingException:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/throttling.html and the services' common errors
THROTTLED = {
    "ec2": (503, "RequestLimitExceeded"),
    "s3": (503, "SlowDown"),
    "lambda": (429, "TooManyRequestsException"),
    **dict.fromkeys(("airflow", "codeartifact"), (429, "ThrottlingException")),
    **dict.fromkeys(("sts", "iam", "sns", "cloudformation", "monitoring"), (400, "Throttling")),
    "sqs": (403, "RequestThrottled"),
}
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
DENIED_BY_SCP = "User: {} is not authorized to perform: {} with an explicit deny in a service control policy"
BROKEN = {
    **dict.fromkeys(("ec2", "s3"), "InternalError"),
    **dict.fromkeys(("airflow", "codeartifact"), "InternalServerException"),
    "dynamodb": "InternalServerError",
}


class Front:
    """An ASGI application around ministack's."""

    def __init__(self, cloud: Cloud, control: Control) -> None:
        self.cloud = cloud
        self.control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await ministack.app(scope, receive, send)
            return
        body = await _whole(receive)
        if scope["path"].startswith(CONTROL):
            status, answer = await asyncio.to_thread(self.control.answer, scope["path"].removeprefix(CONTROL), body)
            await _send(send, status, {"content-type": "application/json"}, answer)
            return
        await self._serve({**scope, "headers": [*scope["headers"], TLS_ENDED_HERE]}, body, receive, send)

    async def _serve(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        request = _Request(scope, body)
        fault = self.cloud.faults.strike(request.caller, request.action) if request.action else None
        identity.current_fault.set(fault.kind if fault else None)
        identity.current_request.set((request.id, request.trace))
        pending = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        async def swallow(_message: Message) -> None:
            return None

        match fault:
            case Fault(kind="throttle" | "error" | "denied" | "denied by scp"):
                self._record(request, fault)
                await _send(send, *request.failure(fault))
            case Fault(kind="drop"):  # it takes effect, and the caller never hears of it
                await ministack.app(scope, replay, swallow)
                # no length: the answer is chunked, so that its end is seen to be missing
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"{", "more_body": True})
                raise ConnectionAbortedError("the answer was dropped on purpose")
            case _:
                if fault is not None:
                    await asyncio.sleep(fault.seconds)
                await ministack.app(scope, replay, send)

    def _record(self, request: "_Request", fault: Fault) -> None:
        now = self.cloud.clock.now()
        self.cloud.calls.add(
            Call(
                now,
                request.caller,
                request.account,
                request.region,
                request.action,
                request.resource(),
                False,
                fault.kind,
                request=request.id,
                trace=request.trace,
            )
        )


class _Request:
    """Who asks for what, as far as the request itself says; nothing is verified here."""

    def __init__(self, scope: Scope, body: bytes) -> None:
        self.method, self.path, self.body = scope["method"], scope["path"], body
        self.headers = {key.decode().lower(): value.decode("latin-1") for key, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        key = extract_access_key_id(self.headers, query) or ""
        self.caller = identity.caller_of(key)
        self.id = uuid.uuid4().hex
        # SDKs in a function send its invocation's: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html
        self.trace = self.headers.get("x-amzn-trace-id")
        self.account = self.caller.split(":")[4] if self.caller.startswith("arn:") else self.caller
        self.region = str(extract_region(self.headers, query))
        self.parameters = ministack._routing_params(self.method, self.path, self.headers, body, query)
        self.service = str(ministack.detect_service(self.method, self.path, self.headers, self.parameters))
        try:
            action = iam_actions.extract_iam_action(
                self.service, self.method, self.path, self.headers, body, self.parameters
            )
        except (ValueError, KeyError):  # malformed; the service itself will say so
            action = None
        self.action = str(action or "")

    def resource(self) -> str:
        with request_scope(self.account, self.region):
            return str(
                iam_actions.extract_resource_arn(
                    self.service,
                    self.method,
                    self.path,
                    self.headers,
                    self.body,
                    self.parameters,
                    self.region,
                    self.account,
                )
            )

    def failure(self, fault: Fault) -> tuple[int, dict[str, str], bytes]:
        """The service's own error envelope: JSON, query or EC2 XML, REST, or CBOR, as the request came."""
        status, code = 403, ""
        if fault.kind == "throttle":
            status, code = THROTTLED.get(self.service, (400, "ThrottlingException"))
        elif fault.kind == "error":
            status, code = 500, BROKEN.get(self.service, "InternalFailure")
        message = "injected fault" if code else ""
        if fault.kind == "denied by scp":
            message = DENIED_BY_SCP.format(self.caller, self.action)
        stock_status, headers, body = iam_actions.access_denied_response(
            self.service, self.action, self.caller, str(uuid.uuid4()),
            error_code=code, message=message, headers=self.headers, resource_arn=self.resource(),
        )  # fmt: skip
        return status if code else stock_status, headers, body


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    encoded = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})

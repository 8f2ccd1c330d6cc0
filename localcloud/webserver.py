"""The command lines of all environments, served over TLS on 127.0.0.1: POST /aws_mwaa/cli.

One listener for all of them: which environment is meant, the token says.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from localcloud.cloud import Call, Cloud
from localcloud.faults import Fault
from localcloud.model.front_door import CliAnswer, FrontDoor, Token, cli_action
from localcloud.tls import Authority

PATH = "/aws_mwaa/cli"
_REFUSALS: dict[str, CliAnswer] = {
    "throttle": (503, b"Service Unavailable"),
    "error": (500, b"Internal Server Error"),
    "denied": (403, b'{"message": "Forbidden"}'),
    "denied by scp": (403, b'{"message": "Forbidden"}'),
}


class WebServer:
    """The listener."""

    def __init__(self, cloud: Cloud, authority: Authority) -> None:
        self.cloud = cloud
        self.door: FrontDoor | None = None  # there before the first function runs
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.socket = authority.context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self._server.serve_forever, daemon=True, name="localcloud-webserver").start()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    def answer(self, authorization: str, command: str) -> CliAnswer | None:
        """HTTP status and body; None where the answer gets lost."""
        assert self.door is not None
        token = self.door.token(authorization)
        fault = self._strike(token, command)
        if fault and fault.kind in _REFUSALS:
            return _REFUSALS[fault.kind]
        answer = self.door.cli(token, command, fault.seconds if fault else 0.0)
        return None if fault and fault.kind == "drop" else answer

    def _strike(self, token: Token | None, command: str) -> Fault | None:
        """The fault this command meets; the command becomes a call in the log, of whoever asked for the token."""
        if token is None:
            return None
        who, action = token.visitor, cli_action(command)
        fault = self.cloud.faults.strike(who.principal, action)
        caller, arn = token.environment.caller, token.environment.arn
        allowed = fault is None or fault.kind not in _REFUSALS
        self.cloud.calls.add(
            Call(
                self.cloud.clock.now(), who.principal, caller.account, caller.region, action, arn, allowed,
                fault.kind if fault else None, trace=who.trace,
            )
        )  # fmt: skip
        return fault


def _handler(server: WebServer) -> Any:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:
            command = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            answer: CliAnswer | None = 404, b"Not Found"
            if self.path == PATH:
                answer = server.answer(self.headers.get("Authorization", ""), command)
            self.close_connection = True
            if answer is None:
                return
            status, body = answer
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            """The call log has it."""

    return Handler

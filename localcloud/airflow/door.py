"""The door of a running Airflow: what `localcloud.backend.Door` speaks to, on 127.0.0.1.

    POST /rest  {"method", "path", "query", "body"}   -> {"status", "body"}
    POST /cli   {"command"}                           -> {"code", "stdout", "stderr"}, both base64
    GET /version                                      -> {"version"}
    GET /processes                                    -> {name: exit code, or null while it runs}

Below ``/cold`` the same, but each command is a new `airflow` process, as slow as on any machine.
"""

import base64
import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol


class Airflow(Protocol):
    """What is behind the door."""

    @property
    def version(self) -> str: ...
    def rest(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> tuple[int, Any]: ...
    def cli(self, command: str, *, cold: bool) -> tuple[int, bytes, bytes]: ...
    def processes(self) -> dict[str, int | None]: ...


@contextmanager
def opened(airflow: Airflow) -> Iterator[str]:
    """Serve a door in threads; its URL."""
    handler = type("Handler", (_Handler,), {"airflow": airflow})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    airflow: Airflow
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answers: dict[str, Callable[[], Any]] = {
            "/version": lambda: {"version": self.airflow.version},
            "/processes": self.airflow.processes,
        }
        self._answer(answers)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
        cold = self.path.startswith("/cold/")
        answers: dict[str, Callable[[], Any]] = {
            "/rest": lambda: self._rest(request),
            "/cli": lambda: self._cli(request, cold=cold),
        }
        self._answer(answers)

    def _answer(self, answers: Mapping[str, Callable[[], Any]]) -> None:
        path = self.path.removeprefix("/cold")
        try:
            status, answer = (200, answers[path]()) if path in answers else (404, {"error": "no such path"})
        except (OSError, ValueError) as error:
            status, answer = 502, {"error": repr(error)}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _rest(self, request: dict[str, Any]) -> dict[str, Any]:
        query = request.get("query") or {}
        status, body = self.airflow.rest(request["method"], request["path"], query, request.get("body"))
        return {"status": status, "body": body}

    def _cli(self, request: dict[str, Any], *, cold: bool) -> dict[str, Any]:
        code, out, err = self.airflow.cli(request["command"], cold=cold)
        return {"code": code, "stdout": base64.b64encode(out).decode(), "stderr": base64.b64encode(err).decode()}

    def log_message(self, format: str, *args: Any) -> None:
        pass

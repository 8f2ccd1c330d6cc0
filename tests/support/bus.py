"""A default event bus on 127.0.0.1, as little of it as the listener needs: it takes events, or behaves badly."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ACCOUNT = "222222222222"
IDENTITY = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"""
CREDENTIALS = {
    "AccessKeyId": ACCOUNT,
    "SecretAccessKey": "test",
    "Token": "test",
    "Expiration": "2099-01-01T00:00:00Z",
}
"""As a container of Amazon ECS gets them, so also one of MWAA."""


class Bus:
    """What it has taken, and how it behaves: change ``mood`` at any time."""

    def __init__(self) -> None:
        self.mood = "takes"  # or "silent", "throttles", "denies", "takes half", "hangs up"
        self.calls = self.identities = 0
        self.entries: list[dict[str, Any]] = []
        self.connections: set[socket.socket] = set()
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"bus": self}))
        self._server.daemon_threads, self._server.block_on_close = True, False
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def details(self) -> list[dict[str, Any]]:
        return [json.loads(entry["Detail"]) for entry in self.entries]

    def environment(self) -> dict[str, str]:
        """The process environment of an Airflow that belongs to an environment and talks to this bus."""
        return {
            "AWS_ENDPOINT_URL_EVENTBRIDGE": self.url,
            "AWS_ENDPOINT_URL_STS": self.url,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}/credentials",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AIRFLOW_ENV_NAME": "orders",
        }

    def serve(self) -> None:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def release(self) -> None:
        """Let go of all who wait for an answer; whoever comes later waits again."""
        released, self._released = self._released, threading.Event()
        released.set()

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """Packets to it are lost meanwhile: its backlog is full, so a connection is neither made nor refused."""
        with ExitStack() as clients:
            clients.callback(self.serve)
            self._server.shutdown()
            for connection in list(self.connections):
                with suppress(OSError):  # it has just ended
                    connection.shutdown(socket.SHUT_RDWR)
            for _ in range(self._server.request_queue_size + 2):
                client = clients.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(self._server.server_address)
            yield

    def answer(self, body: bytes) -> tuple[int, str] | None:
        """Status and body, or None to hang up."""
        if body.startswith(b"Action=GetCallerIdentity"):
            self.identities += 1
            return 200, IDENTITY
        self.calls += 1
        entries = json.loads(body)["Entries"]
        if self.mood == "silent":
            self._released.wait()
            return None
        if self.mood == "hangs up":
            return None
        if self.mood in ("throttles", "denies"):
            code = {"throttles": "ThrottlingException", "denies": "AccessDeniedException"}[self.mood]
            return 400, json.dumps({"__type": code, "message": "no"})
        taken = entries[: (len(entries) + 1) // 2] if self.mood == "takes half" else entries
        self.entries += taken
        answers: list[dict[str, str]] = [{"EventId": str(number)} for number in range(len(taken))]
        answers += [{"ErrorCode": "InternalFailure", "ErrorMessage": "no"}] * (len(entries) - len(taken))
        return 200, json.dumps({"FailedEntryCount": len(entries) - len(taken), "Entries": answers})


class _Handler(BaseHTTPRequestHandler):
    bus: Bus
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.bus.connections.add(self.connection)

    def finish(self) -> None:
        self.bus.connections.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        self._reply(200, json.dumps(CREDENTIALS))

    def do_POST(self) -> None:
        answer = self.bus.answer(self.rfile.read(int(self.headers["Content-Length"])))
        if answer is None:
            self.close_connection = True
        else:
            self._reply(*answer)

    def _reply(self, status: int, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def open_bus() -> Iterator[Bus]:
    """A bus of one's own."""
    bus = Bus()
    bus.serve()
    try:
        yield bus
    finally:
        bus.close()

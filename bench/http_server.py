"""Small HTTP servers on a free port of this machine, quick enough not to be what is measured."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Door(BaseHTTPRequestHandler):
    """Connections stay open, answers leave in one piece."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_expect_100(self) -> bool:
        """Let a client go on at once: S3's waits for a second otherwise."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def log_message(self, *_args: Any) -> None:
        """Nothing: the figures are what is to be read."""


class Server(ThreadingHTTPServer):
    """A server in a thread of its own."""

    daemon_threads = True

    def __init__(self, door: type[Door]) -> None:
        """Take a port; what comes waits until ``start``."""
        super().__init__(("127.0.0.1", 0), door)

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Answer no more, and give the port back."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong; that a client has ended in the middle is none of it, for processes are killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

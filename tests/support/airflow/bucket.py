"""A bucket over HTTP, as far as an export writes to it: ``PutObject``, whole or not at all, checked as S3 checks it.

``python -m tests.support.airflow.bucket FOLDER`` runs one as a process of its own and prints its port.
"""

import base64
import hashlib
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

OWNER = "111111111111"
_ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{0}</Code><Message>{0}</Message></Error>'


class Bucket(ThreadingHTTPServer):
    """Objects are files of a folder, the bucket's name included. Starts with the block and ends with it."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.folder = folder
        self.calls: Counter[str] = Counter()  # of each key
        self.refuse: Callable[[str], str] = lambda _key: ""  # an error code for a key, if it is to be refused
        self.hold: Callable[[str], None] = lambda _key: None  # called before an object is taken

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def objects(self, under: str = "") -> dict[str, bytes]:
        """Bodies by key, of every bucket."""
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        keys = {file.relative_to(self.folder).as_posix().partition("/")[2]: file for file in files}
        return {key: file.read_bytes() for key, file in sorted(keys.items()) if key.startswith(under)}

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """That a client has ended in the middle is no error: processes are killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Door(BaseHTTPRequestHandler):
    server: Bucket
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_expect_100(self) -> bool:
        """At once, as S3 does: botocore would wait a second for it."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def do_PUT(self) -> None:
        key = unquote(self.path.partition("?")[0]).lstrip("/")
        name = key.partition("/")[2]
        self.server.calls[name] += 1
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        self.server.hold(name)
        wrong = self.server.refuse(name) or self._wrong(body, length)
        if wrong:
            self._answer(403 if wrong == "AccessDenied" else 503 if wrong == "SlowDown" else 400, _ERROR.format(wrong))
            return
        file = self.server.folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        self._answer(200, "")

    def _wrong(self, body: bytes, length: int) -> str:
        if len(body) < length:
            return "IncompleteBody"
        if self.headers.get("x-amz-expected-bucket-owner", OWNER) != OWNER:
            return "AccessDenied"
        said = self.headers.get("x-amz-checksum-sha256")
        if said and base64.b64decode(said) != hashlib.sha256(body).digest():
            return "BadDigest"
        return ""

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_args: Any) -> None:
        """Nothing."""


if __name__ == "__main__":
    with Bucket(Path(sys.argv[1])) as running:
        print(running.server_port, flush=True)
        sys.stdin.read()  # until whoever started it closes its end

"""The package indexes behind CodeArtifact, over TLS on 127.0.0.1, and one that anybody may read, in PyPI's place.

A repository is at ``/<host name on AWS>/pypi/<repository>/simple/<project>/``, the public index at
``/public/simple/<project>/``. What stands here is the door only, which asks the model about the token; behind it is
pypiserver, one application per repository, with a folder of packages.
"""

import re
import shutil
import socketserver
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import pypiserver

from localcloud.cloud import Cloud
from localcloud.model.codeartifact import HOSTS, READ, CodeArtifact, Domain, password
from localcloud.tls import Authority

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

PUBLIC = "public"
_SERVED = re.compile(r"/(simple/[^/]+/|packages/.+)")  # not the root: ug/python-compatibility.html
_REFUSALS = {"throttle": 429, "error": 500, "denied": 403, "denied by scp": 403}


class PackageIndex:
    """The listener of a model's repositories, which has its address from here."""

    def __init__(self, cloud: Cloud, model: CodeArtifact, authority: Authority, directory: Path) -> None:
        self.cloud = cloud
        self.model = model
        self._directory = directory
        self._applications: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Quiet)
        self._server.set_app(self)
        self._server.socket = authority.context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.address = model.address = f"https://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True, name="localcloud-packages").start()

    def clear(self) -> None:
        """Forget every package."""
        with self._lock:
            self._applications.clear()
            shutil.rmtree(self._directory, ignore_errors=True)

    def publish(self, package: Path, repository: str = PUBLIC, domain: Domain | None = None) -> str:
        """Put a wheel into a repository of a domain, or into the public index; returns the index's URL."""
        where = self._path(repository, domain)
        folder = self._directory / where
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(package, folder)
        return f"{self.address}/{where}/simple/"

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI: check the token, then let pypiserver answer."""
        first, _, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
        if first == PUBLIC:
            return self._served(PUBLIC, f"/{rest}", environ, start_response)
        host = HOSTS.fullmatch(first)
        kind, _, rest = rest.partition("/")
        repository, _, rest = rest.partition("/")
        if host is None or kind != "pypi":
            return _refused(404, start_response)
        domain = self.model.find(host["owner"], host["region"], host["domain"])
        token = password(environ.get("HTTP_AUTHORIZATION", ""))
        status = self._strike(token) or self.model.status(domain, repository, token)
        if status != 200:
            return _refused(status, start_response)
        return self._served(self._path(repository, domain), f"/{rest}", environ, start_response)

    def _strike(self, token: str) -> int | None:
        """The status that a fault gives to this reader, if one does."""
        fault = self.cloud.faults.strike(self.model.minter(token), READ)
        return _REFUSALS.get(fault.kind) if fault else None

    def _path(self, repository: str, domain: Domain | None) -> str:
        return repository if domain is None else f"{domain.host}/pypi/{repository}"

    def _served(self, where: str, path: str, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not _SERVED.fullmatch(path):
            return _refused(404, start_response)
        with self._lock:
            if where not in self._applications:
                folder = self._directory / where
                folder.mkdir(parents=True, exist_ok=True)
                # nothing is cached, for that needs another package, and nothing is looked for elsewhere
                self._applications[where] = pypiserver.app(
                    roots=[folder], backend_arg="simple-dir", disable_fallback=True
                )
            application = self._applications[where]
        # the application's links are made of both
        answer: Iterable[bytes] = application(
            {**environ, "SCRIPT_NAME": f"/{where}", "PATH_INFO": path}, start_response
        )
        return answer


def _refused(status: int, start_response: StartResponse) -> Iterable[bytes]:
    headers = [("Content-Length", "0")]
    if status == 401:
        headers.append(("WWW-Authenticate", 'Basic realm="CodeArtifact"'))
    start_response(f"{status} {HTTPStatus(status).phrase}", headers)
    return [b""]


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """One that logs nothing: the call log has the decisions, and no log should have a URL's password."""

    timeout = 30

    def log_message(self, *_arguments: Any) -> None:
        """See the class."""

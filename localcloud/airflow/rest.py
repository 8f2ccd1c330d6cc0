"""Airflow's REST API, asked as an administrator; both majors look the same."""

import base64
import http.client
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

from localcloud.airflow.settings import PASSWORD, USER, major

PATIENCE_SECONDS = 60.0


class Rest:
    """The API of one web server on 127.0.0.1."""

    def __init__(self, version: str, port: int) -> None:
        self._prefix = "/api/v1" if major(version) == 2 else "/api/v2"
        self._needs_token = major(version) > 2
        self._port = port
        self._authorization = ""

    def call(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> tuple[int, Any]:
        """Status and JSON body (text, if it is none; None if it is empty); OSError if the web server is not there."""
        target = self._prefix + urllib.parse.quote(path, safe="/%~:+,@!$&'()*;=")
        if query:
            target += "?" + urllib.parse.urlencode(query, doseq=True)
        self._authorization = self._authorization or self._authorize()
        return self._send(method, target, body, {"authorization": self._authorization})

    def serves_tasks(self) -> bool:
        """Whether tasks may begin: those of Airflow 3 ask the web server, and fail when it does not listen yet.

        The first to ask waits until Airflow has built that API (3 to 5 s), and so does everybody else.
        """
        try:
            return not self._needs_token or self._send("GET", "/execution/health", None, {})[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def is_healthy(self) -> bool:
        """Whether the web server answers, and says that all the others have shown signs of life."""
        try:
            if self._needs_token:
                return self._all_healthy("/api/v2/monitor/health", "scheduler", "dag_processor")
            return self._all_healthy("/health", "scheduler")
        except (OSError, http.client.HTTPException):
            return False

    def _all_healthy(self, path: str, *parts: str) -> bool:
        status, body = self._send("GET", path, None, {})
        return status == 200 and all(body[part]["status"] == "healthy" for part in parts)

    def _authorize(self) -> str:
        if not self._needs_token:
            return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        _, body = self._send("POST", "/auth/token", {"username": USER, "password": PASSWORD}, {})
        return f"Bearer {body['access_token']}"

    def _send(self, method: str, target: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_SECONDS)
        try:
            content = None if body is None else json.dumps(body).encode()
            kind = {} if body is None else {"content-type": "application/json"}
            connection.request(method, target, content, {"accept": "application/json", **kind, **headers})
            answer = connection.getresponse()
            return answer.status, _parsed(answer.read())
        finally:
            connection.close()


def _parsed(content: bytes) -> Any:
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")

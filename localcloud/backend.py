"""The Airflow behind an environment: our double, or a real one behind a door on 127.0.0.1."""

import base64
import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

REST_SECONDS = 10.0  # what MWAA gives a REST call
PATIENCE_SECONDS = 120.0  # a cold `airflow` command takes 4 s on an idle machine


class Backend(Protocol):
    """One Airflow, asked as MWAA's front door asks it."""

    @property
    def version(self) -> str:
        """As in "2.10.3"."""
        ...

    def rest(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> tuple[int, Any]:
        """Airflow's own status and JSON body; ``path`` has no /api/vN, ``body`` None sends none.

        Raises:
            TimeoutError: no answer in ``REST_SECONDS``; the call may have taken effect.
            OSError: nobody answers.
        """
        ...

    def cli(self, command: str) -> tuple[int, bytes, bytes]:
        """Exit code, stdout and stderr of ``airflow <command>``."""
        ...


@dataclass
class Door:
    """A Backend behind HTTP: POST /rest and /cli, GET /version at ``url``; OSError where nobody answers."""

    url: str
    version: str = field(init=False)

    def __post_init__(self) -> None:
        with urllib.request.urlopen(f"{self.url}/version", timeout=PATIENCE_SECONDS) as answer:
            self.version = str(json.load(answer)["version"])

    def rest(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> tuple[int, Any]:
        answer = self._ask("rest", {"method": method, "path": path, "query": dict(query), "body": body}, REST_SECONDS)
        return int(answer["status"]), answer["body"]

    def cli(self, command: str) -> tuple[int, bytes, bytes]:
        answer = self._ask("cli", {"command": command}, PATIENCE_SECONDS)
        return int(answer["code"]), base64.b64decode(answer["stdout"]), base64.b64decode(answer["stderr"])

    def _ask(self, what: str, request: Mapping[str, Any], seconds: float) -> Any:
        sent = urllib.request.Request(
            f"{self.url}/{what}", json.dumps(request).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(sent, timeout=seconds) as answer:
            return json.load(answer)

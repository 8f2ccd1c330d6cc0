"""MWAA's front door to the Airflow of an environment: InvokeRestApi, CreateCliToken and ``/aws_mwaa/cli``.

https://docs.aws.amazon.com/mwaa/latest/userguide/access-mwaa-apache-airflow-rest-api.html and, for the command line,
guide L4120-4201 and L15460. What a policy allows is asked before (``Visitor``), what the Airflow role allows then
(``airflow_roles``).
"""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localcloud.backend import REST_SECONDS, Backend
from localcloud.model import airflow_roles
from localcloud.model.airflow import Airflow
from localcloud.model.airflow_roles import ROLES
from localcloud.model.caller import Caller
from localcloud.model.environment import Environment
from localcloud.model.errors import AwsError
from localcloud.model.mwaa import Mwaa
from localcloud.model.network import Record

OPERATIONS = ("InvokeRestApi", "CreateCliToken")
METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE")
OLDEST = (2, 4, 3)
MAX_ANSWER_BYTES = 6 * 1024 * 1024
NOWHERE = "127.0.0.1:1"  # nobody listens there
_READY = ("AVAILABLE", "UPDATE_FAILED")

CliAnswer = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks: ``roles`` are the Airflow roles that policies allow, ``vpc`` is where the call comes from."""

    principal: str
    roles: Sequence[str] = ROLES
    vpc: str | None = None
    trace: str | None = None


@dataclass
class Token:
    """A CLI token: whose it is, for which environment, until when."""

    environment: Environment
    visitor: Visitor
    until: float
    reaches: bool  # the web server, from where the token was asked for
    uses: int = 0


@dataclass
class FrontDoor:
    """The front doors of all environments.

    ``token_clock`` is the time that CLI tokens live by, ``address`` where the command lines are served if it is not
    at each environment's own host name.
    """

    mwaa: Mwaa
    token_clock: Callable[[], float]
    address: str | None = None
    _tokens: dict[str, Token] = field(default_factory=dict)
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)  # environment -> calls left, at
    _busy: Counter[str] = field(default_factory=Counter)  # environment -> commands that run
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def clear(self) -> None:
        """Forget every token."""
        self._tokens.clear()
        self._buckets.clear()

    def attach(self, environment: Environment, airflow: Backend) -> None:
        """Let this Airflow run in the environment; ValueError if MWAA would show another version of it."""
        shown = environment.setting("AirflowVersion")
        if airflow.version != shown:
            raise ValueError(f"{environment.name} says it is Airflow {shown}, not {airflow.version}")
        environment.airflow = airflow

    def airflow(self, environment: Environment) -> Backend:
        """The Airflow in the environment: what was attached, else a double without DAGs."""
        if environment.airflow is None:
            environment.airflow = Airflow(environment.setting("AirflowVersion"), self.mwaa.cloud.clock.now)
        return environment.airflow

    def call(self, operation: str, caller: Caller, params: Mapping[str, Any], visitor: Visitor) -> Record:
        """Run one of ``OPERATIONS``; AwsError is its error answer."""
        environment = self.mwaa.get(caller, params["Name"])
        if operation == "CreateCliToken":
            return self._create_token(environment, visitor)
        return self._invoke(environment, params, visitor)

    # ------------------------------------------------------------------ REST
    def _invoke(self, environment: Environment, params: Mapping[str, Any], visitor: Visitor) -> Record:
        method, path = params.get("Method", ""), params.get("Path", "")
        self._check_request(method, path)
        self._check_ready(environment)
        if tuple(map(int, str(environment.setting("AirflowVersion")).split("."))) < OLDEST:
            raise AwsError("ValidationException", "Update your environment to use InvokeRestApi")
        if not self._reaches(environment, visitor):
            code = self._setting("private_refusal")
            message = "The web server is private: it cannot be invoked from outside of a VPC"
            raise AwsError(code, message, 403 if code == "AccessDeniedException" else 400)
        self._take_call(environment)
        status, answer = self._ask(environment, method, path, params, visitor)
        if len(json.dumps(answer)) > MAX_ANSWER_BYTES:
            raise self._unfinished("The answer is larger than 6 MB")
        found = {"RestApiStatusCode": status, "RestApiResponse": answer}
        if status >= 400:
            code = "RestApiServerException" if status >= 500 else "RestApiClientException"
            raise AwsError(code, f"Airflow answered {status}", 400, found)
        return found

    def _ask(
        self, environment: Environment, method: str, path: str, params: Mapping[str, Any], visitor: Visitor
    ) -> tuple[int, Any]:
        airflow = self.airflow(environment)
        least = airflow_roles.least(method, path, airflow.version, self._setting("audit_logs_for"))
        if not airflow_roles.may(visitor.roles, least):
            detail = {"detail": "Forbidden"}
            old = {"status": 403, "title": "Forbidden", "detail": None}
            return 403, old if airflow.version.startswith("2.") else detail
        body = params.get("Body")
        if body is not None and self._setting("rest_drops_nulls"):
            body = _without_nulls(body)
        try:
            answer = airflow.rest(method, path, params.get("QueryParameters") or {}, body)
        except TimeoutError:
            raise self._unfinished("No answer in 10 seconds") from None
        except OSError:
            return 502, {"detail": "The web server does not answer"}
        if self._setting("rest_seconds") > REST_SECONDS:
            raise self._unfinished("No answer in 10 seconds")
        return answer

    def _check_request(self, method: str, path: str) -> None:
        limit = self._setting("rest_path_limit")
        if method not in METHODS:
            raise _invalid("method", method, f"Member must satisfy enum value set: [{', '.join(METHODS)}]")
        if not path or (limit and len(path) > limit):
            short = "Member must have length greater than or equal to 1"
            raise _invalid("path", path, f"Member must have length less than or equal to {limit}" if path else short)

    def _check_ready(self, environment: Environment) -> None:
        code = self._setting("not_ready")
        if environment.status not in _READY and code != "answers":
            message = f"Environment {environment.name} is in status {environment.status}"
            raise AwsError(code, message, 404 if code == "ResourceNotFoundException" else 400)

    def _take_call(self, environment: Environment) -> None:
        """A bucket of one second's calls, filled up as time passes."""
        rate, now, key = self._setting("rest_per_second"), self.mwaa.cloud.clock.now(), environment.arn
        with self._lock:
            left, at = self._buckets.get(key, (rate, now))
            left = min(rate, left + (now - at) * rate)
            if rate and left < 1:
                raise AwsError(self._setting("rest_throttled"), "Rate exceeded", 429)
            self._buckets[key] = left - 1, now

    def _unfinished(self, message: str) -> AwsError:
        code = self._setting("rest_unfinished")
        if code == "InternalServerException":
            return AwsError(code, message, 500)
        return AwsError(code, message, 400, {"RestApiStatusCode": 504, "RestApiResponse": {"detail": message}})

    def _reaches(self, environment: Environment, visitor: Visitor) -> bool:
        """Does the visitor's network lead to the web server?"""
        if environment.setting("WebserverAccessMode") != "PRIVATE_ONLY":
            return True
        if self._setting("private_web_server") == "open":
            return True
        subnet = self.mwaa.ec2.network.subnet(environment.caller, environment.subnets[0])
        return subnet is not None and visitor.vpc == subnet["VpcId"]

    # ------------------------------------------------------------------ command line
    def _create_token(self, environment: Environment, visitor: Visitor) -> Record:
        self._check_ready(environment)
        text = self.mwaa.ec2.ids.new("cli-", 48)
        until = self.token_clock() + self._setting("cli_token_seconds")
        self._tokens[text] = Token(environment, visitor, until, self._reaches(environment, visitor))
        if self.address is None:
            return {"CliToken": text, "WebServerHostname": environment.hostname}
        return {"CliToken": text, "WebServerHostname": self.address if self._tokens[text].reaches else NOWHERE}

    def token(self, authorization: str) -> Token | None:
        """The token of an ``Authorization`` header, if there is such a one."""
        scheme, _, text = authorization.partition(" ")
        return self._tokens.get(text) if scheme == "Bearer" else None

    def cli(self, token: Token | None, command: str, seconds: float = 0.0) -> CliAnswer:
        """HTTP status and body for a command that takes so long; what a failed one has, a switch says."""
        allowed = self._setting("cli_token_uses")
        if token is None or self.token_clock() > token.until or (allowed and token.uses >= allowed):
            return 403, b'{"message": "Forbidden"}'
        token.uses += 1
        key = token.environment.arn
        with self._lock:
            if self._busy[key] >= self._setting("cli_at_once"):
                return 503, b"Service Unavailable"
            self._busy[key] += 1
        try:
            time.sleep(seconds)
            code, stdout, stderr = self.airflow(token.environment).cli(command)
        except OSError:
            return 502, b"Bad Gateway"
        finally:
            with self._lock:
                self._busy[key] -= 1
        texts = {"stdout": stdout, "stderr": stderr}
        status = 200 if code == 0 else self._setting("cli_failed_status")
        return status, json.dumps({name: base64.b64encode(text).decode() for name, text in texts.items()}).encode()

    def _setting(self, name: str) -> Any:
        return self.mwaa.ec2.setting(f"mwaa.{name}")


def cli_action(command: str) -> str:
    """How faults and call logs name a command: ``airflow-cli:dags trigger``."""
    return "airflow-cli:" + " ".join(command.split()[:2])


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _invalid(name: str, value: str, constraint: str) -> AwsError:
    message = f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: {constraint}"
    return AwsError("ValidationException", message)

"""MWAA's command line endpoint: one Airflow command, run in an environment's web server."""

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ConnectTimeoutError, EndpointConnectionError
from botocore.httpsession import URLLib3Session

from groundcrew.aws.errors import translated
from groundcrew.aws.session import Role, Roles, ca_bundle
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from types_boto3_mwaa import MWAAClient

CONNECT_SECONDS = 3
PATIENCE_SECONDS = 60
"""How long the answer to a command is waited for."""

LONGEST_COMMAND = 300
"""Seconds after which a command that was not answered has ended: database commands "might time out" beyond five minutes
(https://docs.aws.amazon.com/mwaa/latest/userguide/airflow-cli-command-reference.html).
"""

FORBIDDEN = 403


class StillRunning(TransientError):
    """The command was sent and not answered: it may be running, and no other must be sent meanwhile."""


@dataclass(frozen=True, slots=True)
class Output:
    """Text that a command has printed; ``status`` is the HTTP status it came with, 200 even for most that failed."""

    stdout: str
    stderr: str
    status: int = 200


def run(roles: Roles, ref: EnvironmentRef, command: str) -> Output:
    """Run one command with a token of its own.

    Output is read before the status: a command that failed, or that MWAA does not support, may answer 400 or 500 and
    still bring what it printed (https://github.com/aws/amazon-mwaa-docker-images/issues/148). A 403 says that the
    token is over, for tokens live 60 seconds (guide L4120): the command has not run, and is sent once more with a new
    token.

    Raises:
        AccessDenied: the spoke's role may not have tokens.
        PermanentError: the web server does not take them.
        StillRunning: no answer, or none of Airflow's.
        TransientError: the web server is busy (503: it runs few commands at once), or cannot be reached.
    """
    status, content = _post(roles, ref, command)
    output = _output(status, content)
    if status == FORBIDDEN and output is None:
        status, content = _post(roles, ref, command)
        output = _output(status, content)
    if output is not None:
        return output
    doing = f"a command in {ref}"
    if status in (429, 503):
        raise TransientError(f"{doing}: the web server answered {status}", cause="CliBusy")
    if status >= 500:
        raise StillRunning(f"{doing}: the web server answered {status}", cause="CliBroken")
    if status != 200:
        raise PermanentError(
            f"{doing}: the web server answered {status}",
            cause="CliRefused",
            remedy="Look whether the environment's web server lets its command line be used.",
        )
    raise StillRunning(f"{doing}: the answer is not what MWAA documents", cause="NoAnswer")


def _post(roles: Roles, ref: EnvironmentRef, command: str) -> tuple[int, bytes]:
    """Send a command with a new token; the HTTP status and the body of the answer."""
    client: MWAAClient = roles.client("mwaa", Role("airflow", ref.account, ref.region))
    with translated(f"airflow:CreateCliToken of {ref}"):
        token = client.create_cli_token(Name=ref.name)
    request = AWSRequest(
        method="POST",
        url=f"https://{token['WebServerHostname']}/aws_mwaa/cli",
        headers={"Authorization": f"Bearer {token['CliToken']}", "Content-Type": "text/plain"},
        data=command.encode(),
    )
    doing = f"a command in {ref}"
    try:
        answer = _http().send(request.prepare())
        return answer.status_code, answer.content
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise TransientError(f"{doing}: no way to the web server ({type(error).__name__})", cause="NoWay") from None
    except BotoCoreError as error:
        raise StillRunning(f"{doing}: no answer ({type(error).__name__})", cause="NoAnswer") from None


def _http() -> URLLib3Session:
    bundle: Any = ca_bundle() or True  # the SDK's own HTTP client takes more than its types say
    timeout: Any = (CONNECT_SECONDS, PATIENCE_SECONDS)
    return URLLib3Session(verify=bundle, timeout=timeout)


def _output(status: int, content: bytes) -> Output | None:
    """The output in a body, or None if the body has no ``stdout`` and ``stderr`` in base64."""
    try:
        said = json.loads(content)
        return Output(_text(said["stdout"]), _text(said["stderr"]), status)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode(errors="replace")

"""CodeArtifact: tokens with no more rights than they need, and the indexes they open."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session

from groundcrew.aws.errors import translated
from groundcrew.aws.session import ca_bundle, narrowed_client
from groundcrew.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from types_boto3_codeartifact import CodeArtifactClient

PATIENCE_SECONDS = 10
"""How long the answer of an index is waited for."""

PROBE = "pip"
"""A project to ask an index about: its root is not served
(https://docs.aws.amazon.com/codeartifact/latest/ug/python-compatibility.html).
"""


@dataclass(frozen=True, slots=True)
class Repositories:
    """Some repositories of a domain, and the role that may read them."""

    partition: str
    home_region: str
    minter: str
    domain: str
    owner: str
    region: str
    names: tuple[str, ...]

    def mint(self, seconds: int) -> tuple[str, datetime, tuple[str, ...]]:
        """A token that lives so long and opens these repositories only, its end, and their PyPI endpoints.

        Raises:
            NotFound: there is no such domain, or no such repository in it.
            AccessDenied: the minter, the domain's policy or a repository's does not allow it.
        """
        client: CodeArtifactClient = narrowed_client(
            "codeartifact", self.region, self.minter, "groundcrew-tokens", self.session_policy(), self.home_region
        )
        where: Any = {"domain": self.domain, "domainOwner": self.owner}
        endpoints = []
        for name in self.names:
            with translated(f"codeartifact:GetRepositoryEndpoint of {self.owner}/{self.region}/{self.domain}/{name}"):
                answer = client.get_repository_endpoint(repository=name, format="pypi", **where)
            endpoints.append(answer["repositoryEndpoint"])
        with translated(f"codeartifact:GetAuthorizationToken of {self.owner}/{self.region}/{self.domain}"):
            token = client.get_authorization_token(durationSeconds=seconds, **where)
        return token["authorizationToken"], token["expiration"], tuple(endpoints)

    def session_policy(self) -> str:
        """What is left of the minter's rights: a token has those of the session that asked for it.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_bearer.html
        """
        base = f"arn:{self.partition}:codeartifact:{self.region}:{self.owner}"
        statements = [
            _allow(["codeartifact:GetAuthorizationToken"], [f"{base}:domain/{self.domain}"]),
            _allow(
                ["codeartifact:GetRepositoryEndpoint", "codeartifact:ReadFromRepository"],
                [f"{base}:repository/{self.domain}/{name}" for name in self.names],
            ),
            _allow(["sts:GetServiceBearerToken"], ["*"]),
        ]
        return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def _allow(actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}


def check_index(url: str, user: str, token: str) -> None:
    """Ask an index for a project with a token, as pip does; that it has none of that name is an answer, too.

    Raises:
        PermanentError: the token does not open it.
        TransientError: the index is in trouble, or there is no way to it.
    """
    credentials = base64.b64encode(f"{user}:{token}".encode()).decode()
    request = AWSRequest(method="GET", url=f"{url}{PROBE}/", headers={"Authorization": f"Basic {credentials}"})
    bundle: Any = ca_bundle() or True  # the SDK's own HTTP client takes more than its types say
    try:
        status = URLLib3Session(verify=bundle, timeout=PATIENCE_SECONDS).send(request.prepare()).status_code
    except BotoCoreError as error:
        # Its text may quote the request.
        raise TransientError(f"{url}: no answer ({type(error).__name__})", cause="IndexUnreachable") from None
    if status in (200, 404):
        return
    if status == 429 or status >= 500:
        raise TransientError(f"{url} answered {status}", cause="IndexBroken")
    raise PermanentError(
        f"{url} answered {status} to the new token",
        cause="TokenRefused",
        remedy="Let the repository's policy admit the hub's minter role with codeartifact:ReadFromRepository.",
    )

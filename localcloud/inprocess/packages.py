"""CodeArtifact in process: who may what without IAM, and the indexes at AWS's host names.

There is no IAM here: a principal may do everything in its own account, but no more than its session policy allows,
and in another account what the resource's policy allows that account.
"""

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from localcloud.inprocess.faults import Attempt, Killed, Kind
from localcloud.inprocess.wire import header, response
from localcloud.model.codeartifact import HOSTS, READ, CodeArtifact, Policy, password

Send = Callable[[AWSPreparedRequest], AWSResponse]

_PATH = re.compile(r"/pypi/(?P<repository>[^/]+)/simple/(?P<project>[^/]+)/")
_STATUS = {Kind.THROTTLED: 429, Kind.SERVER_ERROR: 500, Kind.DENIED: 403}


@dataclass(frozen=True, slots=True)
class SessionRights:
    """A principal's rights, as far as the in-process cloud knows them."""

    principal: str
    account: str
    session_policy: str = ""  # JSON
    remaining: float | None = None

    def may(
        self,
        action: str,
        resource: str,
        policy: Policy | None,
        context: Mapping[str, Any] | None = None,  # noqa: ARG002 - conditions have no effect here
    ) -> bool:
        if self.session_policy and not allows(json.loads(self.session_policy), action, resource):
            return False
        if policy is None or policy[1] == self.account:
            return True
        return allows(policy[0], action, resource, self.account)


def allows(document: Mapping[str, Any], action: str, resource: str, account: str | None = None) -> bool:
    """Does a policy allow this, and deny it nowhere? Its principals count if ``account`` is given, conditions never."""
    statements = _list(document.get("Statement", []))
    effects = {
        statement["Effect"]
        for statement in statements
        if any(fnmatchcase(action.lower(), one.lower()) for one in _list(statement["Action"]))
        and any(fnmatchcase(resource, one) for one in _list(statement.get("Resource", "*")))
        and (account is None or _names(statement.get("Principal"), account))
    }
    return effects == {"Allow"}


def _names(principal: Any, account: str) -> bool:
    named = _list(principal.get("AWS", []) if isinstance(principal, dict) else principal)
    return any(one in ("*", account) or one.split(":")[4:5] == [account] for one in named if one)


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def is_index(url: str) -> bool:
    """Is this a URL of a repository's index?"""
    return HOSTS.fullmatch(urlsplit(url).hostname or "") is not None


@dataclass
class Visit:
    """One request to a repository's index: GET ``/pypi/<repository>/simple/<project>/``."""

    packages: CodeArtifact
    request: AWSPreparedRequest
    attempt: Attempt = field(init=False)

    def __post_init__(self) -> None:
        host = HOSTS.fullmatch(urlsplit(self.request.url).hostname or "")
        assert host is not None
        self._host = host
        self._token = password(header(self.request, "Authorization"))
        self.attempt = Attempt(
            READ, host["owner"], host["region"], self.packages.minter(self._token),
            {"Domain": host["domain"], "Path": urlsplit(self.request.url).path}, uuid.uuid4().hex,
        )  # fmt: skip

    def answer(self, fault: Kind | None) -> AWSResponse:
        """What the caller gets; raises what the network or the process would."""
        url = self.request.url
        match fault:
            case Kind.TIMED_OUT_AFTER:
                raise ReadTimeoutError(endpoint_url=url)
            case Kind.RESET_BEFORE:
                raise ConnectionClosedError(endpoint_url=url)
            case Kind.KILLED_BEFORE | Kind.KILLED_AFTER:
                raise Killed(self.attempt.operation)
            case Kind():
                return response(url, _STATUS[fault], b"injected")
        return response(url, self.status(), b"")

    def status(self) -> int:
        """The HTTP status; the root of an index is not served.

        https://docs.aws.amazon.com/codeartifact/latest/ug/python-compatibility.html
        """
        path = _PATH.fullmatch(unquote(urlsplit(self.request.url).path))
        if path is None:
            return 404
        domain = self.packages.find(self._host["owner"], self._host["region"], self._host["domain"])
        status = self.packages.status(domain, path["repository"], self._token)
        if status == 200 and path["project"] not in domain.repositories[path["repository"]].projects:
            return 404
        return status

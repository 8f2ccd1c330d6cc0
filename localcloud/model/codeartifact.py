"""CodeArtifact: domains, repositories, authorization tokens, and what a token opens.

Shapes, limits and errors: botocore's codeartifact model. Which resource an action is authorized on:
https://docs.aws.amazon.com/codeartifact/latest/ug/auth-and-access-control-permissions-reference.html
"""

import base64
import binascii
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from localcloud.model.caller import Caller, Ids
from localcloud.model.errors import AwsError
from localcloud.model.network import Record

OPERATIONS = (
    "CreateDomain",
    "CreateRepository",
    "DeleteRepository",
    "GetAuthorizationToken",
    "GetRepositoryEndpoint",
    "PutDomainPermissionsPolicy",
    "PutRepositoryPermissionsPolicy",
)
HOSTS = re.compile(r"(?P<domain>.+)-(?P<owner>[0-9]{12})\.d\.codeartifact\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
READ = "codeartifact:ReadFromRepository"
MAX_SECONDS = 43_200  # botocore `AuthorizationTokenDurationSeconds`; what the login command asks for
MIN_SECONDS = 900

_DOMAIN = re.compile(r"[a-z][a-z0-9-]{0,48}[a-z0-9]")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,99}")
_ACCOUNT = re.compile(r"[0-9]{12}")
_FORMATS = ("npm", "pypi", "maven", "nuget", "generic", "ruby", "swift", "cargo")

Policy = tuple[Mapping[str, Any], str]
"""A resource's own policy (empty: none), and the account that owns the resource."""


class Rights(Protocol):
    """What one principal may do. A token keeps its minter's for as long as it lives."""

    @property
    def principal(self) -> str:
        """The role's ARN, or the account id of a root key."""
        ...

    @property
    def remaining(self) -> float | None:
        """Seconds until the session ends; None for credentials that do not expire."""
        ...

    def may(self, action: str, resource: str, policy: Policy | None, context: Mapping[str, Any] | None = None) -> bool:
        """``policy`` is the resource's own one, if it can have one; ``context`` holds condition keys."""
        ...


@dataclass
class Repository:
    """One repository; ``projects`` are the PyPI projects in it, by normalized name."""

    name: str
    policy: Mapping[str, Any] = field(default_factory=dict)
    projects: set[str] = field(default_factory=set)


@dataclass
class Domain:
    """One domain of its owner's."""

    owner: Caller
    name: str
    policy: Mapping[str, Any] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return self.owner.arn("codeartifact", f"domain/{self.name}")

    @property
    def host(self) -> str:
        """Where its repositories are read, on AWS."""
        return f"{self.name}-{self.owner.account}.d.codeartifact.{self.owner.region}.amazonaws.com"

    def repository_arn(self, repository: str) -> str:
        return self.owner.arn("codeartifact", f"repository/{self.name}/{repository}")


@dataclass(frozen=True, slots=True)
class Token:
    """A minted token: of which domain, whose rights it has, until when (seconds since the epoch)."""

    domain: str
    owner: str
    region: str
    rights: Rights
    until: float


@dataclass
class CodeArtifact:
    """All domains of all accounts; ``address`` (with scheme) is where the indexes are if not at AWS's host names."""

    now: Callable[[], float]
    ids: Ids
    address: str | None = None
    _domains: dict[tuple[str, str, str], Domain] = field(default_factory=dict)  # owner, Region, name
    _tokens: dict[str, Token] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def clear(self) -> None:
        """Forget every domain and token."""
        with self._lock:
            self._domains.clear()
            self._tokens.clear()

    def call(self, operation: str, caller: Caller, params: Mapping[str, Any], rights: Rights) -> Record:
        """Run one operation; AwsError is its error answer."""
        with self._lock:
            domain = self._named(caller, params)
            match operation:
                case "GetAuthorizationToken":
                    return self._mint(domain, params, rights)
                case "GetRepositoryEndpoint":
                    return self._endpoint(domain, params, rights)
                case "CreateDomain":
                    return self._create_domain(domain, rights)
                case "PutDomainPermissionsPolicy":
                    self._allowed(rights, operation, domain.arn, (domain.policy, domain.owner.account))
                    self._existing(domain).policy = json.loads(params["policyDocument"])
                    return {"policy": {"resourceArn": domain.arn, "document": params["policyDocument"]}}
                case "CreateRepository" | "DeleteRepository" | "PutRepositoryPermissionsPolicy":
                    return self._change_repository(operation, domain, params, rights)
                case _:
                    raise AwsError("InternalServerException", f"{operation} is not part of this model", 500)

    # ------------------------------------------------------------------ builders and views
    def domain(self, owner: str, region: str, name: str) -> Domain:
        """This domain, made if it does not exist."""
        found = Domain(Caller(owner, region), name)
        return self._domains.setdefault((owner, region, name), found)

    def find(self, owner: str, region: str, name: str) -> Domain:
        """This domain; a new one, nowhere kept, if it does not exist."""
        return self._domains.get((owner, region, name)) or Domain(Caller(owner, region), name)

    def repository(self, domain: Domain, name: str, *projects: str) -> Repository:
        """This repository, made if it does not exist, with these projects in it."""
        found = domain.repositories.setdefault(name, Repository(name))
        found.projects.update(projects)
        return found

    def tokens(self) -> Mapping[str, Token]:
        """Every token that was ever minted, by its text: what must be found nowhere."""
        return dict(self._tokens)

    # ------------------------------------------------------------------ what a token opens
    def status(self, domain: Domain, repository: str, token: str) -> int:
        """The HTTP status for a reader of a repository who shows ``token``.

        A token is good in its Region and domain only, with its minter's rights, session policies included:
        https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_bearer.html
        Which status a refusal has is not documented.
        """
        with self._lock:
            found = self._tokens.get(token)
            scope = (domain.owner.account, domain.owner.region, domain.name)
            if found is None or found.until <= self.now() or (found.owner, found.region, found.domain) != scope:
                return 401
            kept = domain.repositories.get(repository)
            policy: Policy = (kept.policy if kept else {}, domain.owner.account)
            if not found.rights.may(READ, domain.repository_arn(repository), policy):
                return 403
            return 200 if kept and scope in self._domains else 404

    def minter(self, token: str) -> str:
        """Whose rights a token has; empty for one that was never minted."""
        found = self._tokens.get(token)
        return found.rights.principal if found else ""

    # ------------------------------------------------------------------ operations
    def _mint(self, domain: Domain, params: Mapping[str, Any], rights: Rights) -> Record:
        seconds = int(params.get("durationSeconds", MAX_SECONDS))
        if seconds != 0 and not MIN_SECONDS <= seconds <= MAX_SECONDS:
            raise _invalid(f"durationSeconds must be 0 or from {MIN_SECONDS} to {MAX_SECONDS}, not {seconds}")
        if not rights.principal.startswith("arn:"):  # root: codeartifact/latest/ug/tokens-authentication.html
            raise _denied(rights, "codeartifact:GetAuthorizationToken", domain.arn)
        self._allowed(rights, "GetAuthorizationToken", domain.arn, (domain.policy, domain.owner.account))
        service = {"sts:AWSServiceName": "codeartifact.amazonaws.com", "sts:DurationSeconds": seconds}
        if not rights.may("sts:GetServiceBearerToken", "*", None, service):
            raise _denied(rights, "sts:GetServiceBearerToken", "*")
        self._existing(domain)
        if seconds == 0:  # as long as the session; credentials that do not expire get the most
            seconds = int(MAX_SECONDS if rights.remaining is None else rights.remaining)
        text = "eyJ2ZXIiOjEs" + "".join(self.ids.new("", 64) for _ in range(12))  # about as long as AWS's
        until = float(int(self.now()) + seconds)
        self._tokens[text] = Token(domain.name, domain.owner.account, domain.owner.region, rights, until)
        return {"authorizationToken": text, "expiration": until}

    def _endpoint(self, domain: Domain, params: Mapping[str, Any], rights: Rights) -> Record:
        name, kind = self._repository_name(params), params.get("format", "")
        if kind not in _FORMATS:
            raise _invalid(f"format must be one of {', '.join(_FORMATS)}")
        kept = domain.repositories.get(name)
        policy: Policy = (kept.policy if kept else {}, domain.owner.account)
        self._allowed(rights, "GetRepositoryEndpoint", domain.repository_arn(name), policy)
        self._existing(domain)
        if kept is None:
            raise _missing(f"Repository not found: {name} in domain {domain.name}", name, "repository")
        place = f"{self.address}/{domain.host}" if self.address else f"https://{domain.host}"
        return {"repositoryEndpoint": f"{place}/{kind}/{name}/"}

    def _create_domain(self, domain: Domain, rights: Rights) -> Record:
        self._allowed(rights, "CreateDomain", domain.arn, None)
        key = (domain.owner.account, domain.owner.region, domain.name)
        if key in self._domains:
            raise AwsError("ConflictException", f"Domain already exists: {domain.name}", 409)
        self._domains[key] = domain
        return {"domain": {"name": domain.name, "owner": domain.owner.account, "arn": domain.arn, "status": "Active"}}

    def _change_repository(self, operation: str, domain: Domain, params: Mapping[str, Any], rights: Rights) -> Record:
        name = self._repository_name(params)
        kept = domain.repositories.get(name)
        policy: Policy = (kept.policy if kept else {}, domain.owner.account)
        self._allowed(rights, operation, domain.repository_arn(name), policy)
        self._existing(domain)
        if operation == "CreateRepository":
            if kept:
                raise AwsError("ConflictException", f"Repository already exists: {name}", 409)
            self.repository(domain, name)
        elif kept is None:
            raise _missing(f"Repository not found: {name} in domain {domain.name}", name, "repository")
        elif operation == "DeleteRepository":
            del domain.repositories[name]
        else:
            kept.policy = json.loads(params["policyDocument"])
            return {"policy": {"resourceArn": domain.repository_arn(name), "document": params["policyDocument"]}}
        described = {"name": name, "domainName": domain.name, "domainOwner": domain.owner.account}
        return {"repository": {**described, "arn": domain.repository_arn(name)}}

    # ------------------------------------------------------------------ checks
    def _named(self, caller: Caller, params: Mapping[str, Any]) -> Domain:
        """The domain that the parameters name, see ``find``."""
        name, owner = str(params.get("domain", "")), str(params.get("domainOwner") or caller.account)
        if not _DOMAIN.fullmatch(name):
            raise _invalid(f"domain must match {_DOMAIN.pattern}")
        if not _ACCOUNT.fullmatch(owner):
            raise _invalid(f"domainOwner must match {_ACCOUNT.pattern}")
        return self.find(owner, caller.region, name)

    def _existing(self, domain: Domain) -> Domain:
        if (domain.owner.account, domain.owner.region, domain.name) not in self._domains:
            raise _missing(f"Domain not found: {domain.name} of {domain.owner.account}", domain.name, "domain")
        return domain

    def _repository_name(self, params: Mapping[str, Any]) -> str:
        name = str(params.get("repository", ""))
        if not _REPOSITORY.fullmatch(name):
            raise _invalid(f"repository must match {_REPOSITORY.pattern}")
        return name

    def _allowed(self, rights: Rights, operation: str, resource: str, policy: Policy | None) -> None:
        if not rights.may(f"codeartifact:{operation}", resource, policy):
            raise _denied(rights, f"codeartifact:{operation}", resource)


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def _missing(message: str, what: str, kind: str) -> AwsError:
    return AwsError("ResourceNotFoundException", message, 404, {"resourceId": what, "resourceType": kind})


def _denied(rights: Rights, action: str, resource: str) -> AwsError:
    message = f"User: {rights.principal} is not authorized to perform: {action} on resource: {resource}"
    return AwsError("AccessDeniedException", message, 403)


def password(authorization: str) -> str:
    """The password of an ``Authorization: Basic`` header whose user is ``aws``; empty for any other."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        user, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return secret if scheme.lower() == "basic" and user == "aws" else ""

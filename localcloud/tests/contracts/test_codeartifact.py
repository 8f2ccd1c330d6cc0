"""CodeArtifact as AWS has it, with the index behind it.

https://docs.aws.amazon.com/codeartifact/latest/APIReference/API_GetAuthorizationToken.html and, for what a token may,
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_bearer.html
"""

import base64
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import HUB, SPOKE, LocalCloud, allow, policy, unique
from localcloud.wheels import wheel

REGION = "us-east-1"
MINT = allow("codeartifact:GetAuthorizationToken")
BEARER = allow("sts:GetServiceBearerToken", StringEquals={"sts:AWSServiceName": "codeartifact.amazonaws.com"})
READ = allow("codeartifact:ReadFromRepository")
# the role that narrows itself before it mints, as a function would
TRUST = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{HUB}:root"}, "Action": "sts:AssumeRole"}


@dataclass
class Shelf:
    """One domain with two repositories, each with a package of its own."""

    cloud: LocalCloud
    domain: str

    def endpoint(self, repository: str = "python") -> str:
        client = self.cloud.client("codeartifact")
        found = client.get_repository_endpoint(domain=self.domain, repository=repository, format="pypi")
        return str(found["repositoryEndpoint"])

    def token(self, role: str, **more: Any) -> str:
        found = self.cloud.as_role("codeartifact", role).get_authorization_token(domain=self.domain, **more)
        return str(found["authorizationToken"])

    def status(self, token: str, repository: str = "python", path: str = "simple/demo/") -> int:
        return self.get(self.endpoint(repository) + path, token)[0]

    def get(self, url: str, token: str = "") -> tuple[int, str]:
        request = urllib.request.Request(url)
        if token:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"aws:{token}".encode()).decode())
        trusted = ssl.create_default_context(cafile=self.cloud.control.status()["authority"])
        try:
            with urllib.request.urlopen(request, context=trusted) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, ""


@pytest.fixture
def shelf(cloud: LocalCloud, tmp_path: Path) -> Shelf:
    found = Shelf(cloud, unique("acme"))
    client = cloud.client("codeartifact")
    client.create_domain(domain=found.domain)
    for repository in ("python", "secret"):
        client.create_repository(domain=found.domain, repository=repository)
        cloud.control.publish(
            wheel(tmp_path, "demo", "1.0"), domain=found.domain, owner=HUB, region=REGION, repository=repository
        )
    return found


def code(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def narrowed(cloud: LocalCloud, role: str, *statements: dict[str, Any]) -> Any:
    """A client of a session of this role, with a session policy."""
    sts = cloud.as_role("sts", cloud.role(allow("sts:AssumeRole")))
    session = sts.assume_role(RoleArn=role, RoleSessionName="mint", Policy=policy(*statements))["Credentials"]
    return cloud.aws.with_session("codeartifact", session)


def test_a_token_opens_the_index_until_the_clock_says_it_is_over(shelf: Shelf) -> None:
    token = shelf.token(shelf.cloud.role(MINT, BEARER, READ), durationSeconds=900)
    status, page = shelf.get(shelf.endpoint() + "simple/demo/", token)
    assert status == 200
    assert "demo-1.0-py3-none-any.whl" in page
    assert shelf.status(token, path="simple/") == 404, "CodeArtifact does not serve the root"
    assert shelf.get(shelf.endpoint() + "simple/demo/")[0] == 401
    assert shelf.status("eyJ2ZXIi") == 401
    shelf.cloud.control.advance(901, step=901)
    assert shelf.status(token) == 401


def test_minting_needs_two_permissions(shelf: Shelf) -> None:
    for statements in ([MINT, READ], [BEARER, READ]):
        client = shelf.cloud.as_role("codeartifact", shelf.cloud.role(*statements))
        assert code(client.get_authorization_token, domain=shelf.domain) == "AccessDeniedException"
    assert code(shelf.cloud.client("codeartifact").get_authorization_token, domain=shelf.domain) == (
        "AccessDeniedException"
    ), "root users get none"


def test_requests_are_held_against_the_model(shelf: Shelf) -> None:
    client = shelf.cloud.as_role("codeartifact", shelf.cloud.role(MINT, BEARER, allow("codeartifact:Get*")))
    for seconds in (60, 899, 43_201):
        assert code(client.get_authorization_token, domain=shelf.domain, durationSeconds=seconds) == (
            "ValidationException"
        )
    assert code(client.get_authorization_token, domain="nobody") == "ResourceNotFoundException"
    wanted = {"domain": shelf.domain, "format": "pypi"}
    assert code(client.get_repository_endpoint, **wanted, repository="none") == "ResourceNotFoundException"


def test_zero_is_as_long_as_the_session(shelf: Shelf) -> None:
    role = shelf.cloud.role(MINT, BEARER, trust=TRUST)
    client = narrowed(shelf.cloud, role, allow("*"))
    found = client.get_authorization_token(domain=shelf.domain, durationSeconds=0)
    assert found["expiration"].timestamp() - shelf.cloud.control.now() == pytest.approx(3600, abs=60)


def test_a_token_reads_what_its_minter_may_read(shelf: Shelf) -> None:
    arn = f"arn:aws:codeartifact:{REGION}:{HUB}:repository/{shelf.domain}/python"
    token = shelf.token(shelf.cloud.role(MINT, BEARER, allow("codeartifact:ReadFromRepository", arn)))
    assert (shelf.status(token), shelf.status(token, "secret")) == (200, 403)


def test_a_session_policy_narrows_the_token(shelf: Shelf) -> None:
    arn = f"arn:aws:codeartifact:{REGION}:{HUB}:repository/{shelf.domain}/python"
    role = shelf.cloud.role(MINT, BEARER, READ, trust=TRUST)
    client = narrowed(shelf.cloud, role, MINT, BEARER, allow("codeartifact:ReadFromRepository", arn))
    token = client.get_authorization_token(domain=shelf.domain)["authorizationToken"]
    assert (shelf.status(token), shelf.status(token, "secret")) == (200, 403)


def test_a_token_dies_with_the_permissions_of_its_role(shelf: Shelf) -> None:
    role = shelf.cloud.role(MINT, BEARER, READ)
    token = shelf.token(role)
    assert shelf.status(token) == 200
    shelf.cloud.client("iam").delete_role_policy(RoleName=role.rsplit("/", 1)[-1], PolicyName="only")
    assert shelf.status(token) == 403


def test_another_account_needs_the_domains_and_the_repositorys_consent(shelf: Shelf) -> None:
    role = shelf.cloud.role(MINT, BEARER, READ, account=SPOKE)
    client = shelf.cloud.as_role("codeartifact", role)
    named = {"domain": shelf.domain, "domainOwner": HUB}
    assert code(client.get_authorization_token, **named) == "AccessDeniedException"
    assert code(client.get_authorization_token, domain=shelf.domain) == "ResourceNotFoundException"
    owner = shelf.cloud.client("codeartifact")
    spoke = {"AWS": f"arn:aws:iam::{SPOKE}:root"}
    owner.put_domain_permissions_policy(
        domain=shelf.domain, policyDocument=policy({**allow("codeartifact:GetAuthorizationToken"), "Principal": spoke})
    )
    token = client.get_authorization_token(**named)["authorizationToken"]
    assert shelf.status(token) == 403
    owner.put_repository_permissions_policy(
        domain=shelf.domain, repository="python",
        policyDocument=policy({**allow("codeartifact:ReadFromRepository"), "Principal": spoke}),
    )  # fmt: skip
    assert (shelf.status(token), shelf.status(token, "secret")) == (200, 403)


def test_reading_is_a_call_of_the_minters_role_and_can_fail(shelf: Shelf) -> None:
    role, action = shelf.cloud.role(MINT, BEARER, READ), "codeartifact:ReadFromRepository"
    token = shelf.token(role)
    since = shelf.cloud.control.next_call()
    shelf.cloud.control.add_fault(role=role, action=action, kind="throttle")
    assert [shelf.status(token), shelf.status(token)] == [429, 200]
    assert [call["action"] for call in shelf.cloud.control.calls(since, role=role)] == [action]
    shelf.cloud.control.clear_faults()


def test_what_goes_wrong_has_the_services_codes(shelf: Shelf) -> None:
    role = shelf.cloud.role(MINT, BEARER)
    client = shelf.cloud.as_role("codeartifact", role)
    for kind, expected in (
        ("throttle", "ThrottlingException"),
        ("error", "InternalServerException"),
        ("denied", "AccessDeniedException"),
    ):
        shelf.cloud.control.add_fault(role=role, action="codeartifact:GetAuthorizationToken", kind=kind, times=9)
        assert code(client.get_authorization_token, domain=shelf.domain) == expected
        shelf.cloud.control.clear_faults()


def test_the_public_index_asks_nobody(cloud: LocalCloud, tmp_path: Path, shelf: Shelf) -> None:
    url = cloud.control.publish_publicly(wheel(tmp_path, "demo", "9.0"))
    assert "demo-9.0" in shelf.get(url + "demo/")[1]
    assert shelf.get(url + "absent/")[0] == 404


def test_minted_tokens_are_known_to_whoever_looks_for_leaks(shelf: Shelf) -> None:
    token = shelf.token(shelf.cloud.role(MINT, BEARER))
    assert token in json.dumps(shelf.cloud.control.tokens())

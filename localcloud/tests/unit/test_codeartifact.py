import base64
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from localcloud.inprocess.aws import InProcessAws, in_process
from localcloud.inprocess.faults import Kind
from localcloud.inprocess.packages import allows

HUB, OTHER = "111111111111", "222222222222"
MINTER = f"arn:aws:iam::{HUB}:role/groundcrew/minter"
READ = "codeartifact:ReadFromRepository"


@pytest.fixture
def aws() -> Iterator[InProcessAws]:
    with in_process(role=MINTER) as found:
        found.packages.repository(found.packages.domain(HUB, "us-east-1", "acme"), "python", "demo")
        yield found


def client(policy: dict[str, Any] | None = None, **more: Any) -> Any:
    if policy is None:
        return boto3.Session().client("codeartifact")
    assumed = (
        boto3.Session()
        .client("sts")
        .assume_role(RoleArn=MINTER, RoleSessionName="mint", Policy=json.dumps(policy), **more)["Credentials"]
    )
    return boto3.Session().client(
        "codeartifact", aws_access_key_id=assumed["AccessKeyId"], aws_secret_access_key=assumed["SecretAccessKey"],
        aws_session_token=assumed["SessionToken"],
    )  # fmt: skip


def get(token: str, project: str = "demo", repository: str = "python", domain: str = "acme") -> int:
    url = f"https://{domain}-{HUB}.d.codeartifact.us-east-1.amazonaws.com/pypi/{repository}/simple/{project}/"
    request = AWSRequest("GET", url, auth_path="")
    request.headers["Authorization"] = basic(token)
    return int(URLLib3Session().send(request.prepare()).status_code)


def basic(token: str, user: str = "aws") -> str:
    return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()


def refusal(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def test_a_token_opens_the_index_until_it_expires(aws: InProcessAws) -> None:
    answer = client().get_authorization_token(domain="acme", durationSeconds=900)
    assert answer["expiration"].timestamp() == int(aws.clock.now()) + 900
    token = answer["authorizationToken"]
    assert (get(token), get(token, project="other"), get("eyJ2ZXIi")) == (200, 404, 401)
    aws.clock.advance(899)
    assert get(token) == 200
    aws.clock.advance(2)
    assert get(token) == 401


@pytest.mark.parametrize("seconds", [1, 899, 43_201])
def test_durations_out_of_range_are_refused(aws: InProcessAws, seconds: int) -> None:
    assert refusal(client().get_authorization_token, domain="acme", durationSeconds=seconds) == "ValidationException"


def test_zero_is_as_long_as_the_session(aws: InProcessAws) -> None:
    everything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    answer = client(everything, DurationSeconds=1200).get_authorization_token(domain="acme", durationSeconds=0)
    assert answer["expiration"].timestamp() - aws.clock.now() == pytest.approx(1200, abs=60)


def test_what_does_not_exist_is_said(aws: InProcessAws) -> None:
    found = client()
    assert refusal(found.get_authorization_token, domain="nobody") == "ResourceNotFoundException"
    where = {"domain": "acme", "format": "pypi"}
    assert refusal(found.get_repository_endpoint, **where, repository="ruby") == "ResourceNotFoundException"
    assert (
        refusal(found.get_repository_endpoint, domain="Acme", format="pypi", repository="py") == "ValidationException"
    )
    answer = found.get_repository_endpoint(**where, repository="python")["repositoryEndpoint"]
    assert answer == f"https://acme-{HUB}.d.codeartifact.us-east-1.amazonaws.com/pypi/python/"


def test_a_root_user_gets_no_token() -> None:
    with in_process() as aws:
        aws.packages.domain(HUB, "us-east-1", "acme")
        assert refusal(client().get_authorization_token, domain="acme") == "AccessDeniedException"


def test_a_token_has_the_rights_of_its_minter(aws: InProcessAws) -> None:
    aws.packages.repository(aws.packages.domain(HUB, "us-east-1", "acme"), "secret", "demo")
    statements = [
        {"Effect": "Allow", "Action": ["codeartifact:Get*", "sts:GetServiceBearerToken"], "Resource": "*"},
        {"Effect": "Allow", "Action": READ, "Resource": f"arn:aws:codeartifact:*:{HUB}:repository/acme/python"},
    ]
    token = client({"Statement": statements}).get_authorization_token(domain="acme")["authorizationToken"]
    assert (get(token), get(token, repository="secret")) == (200, 403)
    mute = client({"Statement": statements[1:]})
    assert refusal(mute.get_authorization_token, domain="acme") == "AccessDeniedException"


def test_another_accounts_domain_must_admit_the_account(aws: InProcessAws) -> None:
    domain = aws.packages.domain(OTHER, "us-east-1", "theirs")
    named = {"domain": "theirs", "domainOwner": OTHER}
    assert refusal(client().get_authorization_token, **named) == "AccessDeniedException"
    domain.policy = {
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{HUB}:root"}, "Action": "*"}]
    }
    assert client().get_authorization_token(**named)["authorizationToken"]
    assert refusal(client().get_authorization_token, domain="theirs") == "ResourceNotFoundException"


def test_a_token_is_good_for_its_domain_only(aws: InProcessAws) -> None:
    aws.packages.repository(aws.packages.domain(HUB, "us-east-1", "emca"), "python", "demo")
    token = client().get_authorization_token(domain="acme")["authorizationToken"]
    assert get(token, domain="emca") == 401


def test_visits_are_calls_that_can_fail(aws: InProcessAws) -> None:
    token = client().get_authorization_token(domain="acme")["authorizationToken"]
    rule = aws.faults.add(Kind.SERVER_ERROR, READ)
    assert (get(token), get(token), rule.fired) == (500, 200, 1)
    assert [entry.attempt.role for entry in aws.calls(READ)] == [MINTER, MINTER]


def test_policies_deny_before_they_allow() -> None:
    allow = {"Effect": "Allow", "Action": "codeartifact:*", "Resource": "*", "Principal": "*"}
    deny = {"Effect": "Deny", "Action": READ, "Resource": "arn:x", "Principal": {"AWS": [OTHER]}}
    assert allows({"Statement": allow}, READ, "arn:x", HUB)
    assert allows({"Statement": [allow, deny]}, READ, "arn:x", HUB)
    assert not allows({"Statement": [allow, deny]}, READ, "arn:x", OTHER)
    assert not allows({}, READ, "arn:x")

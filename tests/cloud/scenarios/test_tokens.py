"""CodeArtifact tokens on the deployed cloud, under enforced IAM: when they are rotated, and how they are delivered."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.container import startup_script
from localcloud.installation import HUB, REGION
from localcloud.testing.served import unique
from localcloud.wheels import wheel
from tests.cloud.scenarios.airflows import available
from tests.cloud.scenarios.deployed import OTHER, SPOKE, Deployed
from tests.cloud.scenarios.packages import FAILED, PACKAGE, ROTATED, Bound, Shelf, make_bucket

HOUR = 3600


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def shelf(deployment: Deployed, folder: Path) -> Shelf:
    return Shelf.made(deployment, folder)


@pytest.fixture(scope="module")
def first(deployment: Deployed) -> Iterator[Bound]:
    with Bound.made(deployment, SPOKE) as bound:
        yield bound
    deployment.clear()


@pytest.fixture(scope="module")
def second(deployment: Deployed) -> Iterator[Bound]:
    with Bound.made(deployment, OTHER) as bound:
        yield bound
    deployment.clear()


@pytest.mark.path
def test_a_new_environment_gets_its_token_by_event(groundcrew: Deployed, shelf: Shelf) -> None:
    bucket = make_bucket(groundcrew, SPOKE)
    with shelf.bound(SPOKE) as binding:
        environment = available(groundcrew, SPOKE, bucket=bucket, tags={"groundcrew:tokens": binding})
        groundcrew.made.append(environment)
        bound = Bound(groundcrew, environment, bucket)
        rotated = bound.until_told(ROTATED)
        assert rotated["place"] == f"s3://{bucket}/{bound.key}"
        assert shelf.opens(bound.delivered()["token"]) == 200
        assert 11 < rotated["hours_left"] < 12.5
        groundcrew.until_idle()
        assert len(bound.told(ROTATED)) == 1, "all its events together are one rotation"


def test_the_sweep_replaces_what_has_less_than_eight_hours(groundcrew: Deployed, shelf: Shelf, first: Bound) -> None:
    with shelf.bound(SPOKE) as binding, first.bound_to(binding):
        groundcrew.sweep()
        first.until_told(ROTATED)
        before = first.delivered()
        groundcrew.until_idle()
        told = len(first.told(ROTATED))
        groundcrew.cloud.advance(3 * HOUR, step=HOUR)
        groundcrew.sweep()
        groundcrew.until_idle()
        assert (first.delivered(), len(first.told(ROTATED))) == (before, told), "nine hours are left"
        groundcrew.cloud.advance(1.2 * HOUR, step=HOUR)
        groundcrew.sweep()
        first.until_told(ROTATED, told)
        after = first.delivered()
        assert after["token"] != before["token"]
        left = datetime.fromisoformat(after["expires_at"]) - datetime.fromtimestamp(groundcrew.cloud.now(), UTC)
        assert left.total_seconds() > 11 * HOUR
        groundcrew.until_idle()
        assert first.versions() == 1, "no older token is left"


def test_a_request_for_a_fresh_one_does_nothing_unless_it_insists(
    groundcrew: Deployed, shelf: Shelf, first: Bound
) -> None:
    with shelf.bound(SPOKE) as binding, first.bound_to(binding):
        first.rotate()
        token = first.delivered()["token"]
        told = len(first.told(ROTATED))
        first.ask(request_id=unique("request"))
        groundcrew.until_idle()
        assert (first.delivered()["token"], len(first.told(ROTATED))) == (token, told)
        first.ask(dry_run=True)
        planned = first.until_told("Token Rotation Planned")
        assert (planned["action"], "fresh" in planned["reason"]) == ("nothing", True)
        first.rotate(force=True)
        assert first.delivered()["token"] != token
        assert shelf.opens(first.delivered()["token"]) == 200


def test_one_token_serves_all_environments_of_a_binding(
    groundcrew: Deployed, shelf: Shelf, first: Bound, second: Bound
) -> None:
    with shelf.bound(SPOKE, OTHER) as binding, first.bound_to(binding), second.bound_to(binding):
        since, told = groundcrew.cloud.next_call(), [len(one.told(ROTATED)) for one in (first, second)]
        groundcrew.sweep()
        for one, before in zip((first, second), told, strict=True):
            one.until_told(ROTATED, before)
        groundcrew.until_idle()
        assert first.delivered()["token"] == second.delivered()["token"]
        mints = groundcrew.cloud.calls(since, action="codeartifact:GetAuthorizationToken")
        assert len(mints) == 1


def test_an_account_that_is_not_served_gets_none(groundcrew: Deployed, shelf: Shelf, first: Bound) -> None:
    with shelf.bound(OTHER) as binding, first.bound_to(binding):
        first.ask()
        assert first.until_told(FAILED)["cause"] == "NotServed"


def test_the_token_reads_the_bindings_repositories_only(
    groundcrew: Deployed, shelf: Shelf, first: Bound, folder: Path
) -> None:
    shelf.add_repository("secret", wheel(folder, "secret-tool", "1.0"))
    with shelf.bound(SPOKE) as binding, first.bound_to(binding):
        first.rotate()
        token = first.delivered()["token"]
        assert (shelf.opens(token), shelf.opens(token, "secret", "secret-tool")) == (200, 403)


def test_another_accounts_domain(groundcrew: Deployed, first: Bound, folder: Path) -> None:
    theirs = Shelf.made(groundcrew, folder, owner=OTHER)
    with theirs.bound(SPOKE) as binding, first.bound_to(binding):
        told = len(first.told(FAILED))
        first.ask()
        refused = first.until_told(FAILED, told)
        assert "AccessDenied" in refused["cause"]
        assert "groundcrew-tokens-minter" in refused["remedy"]
        theirs.admit_minter()
        first.rotate(force=True)
        assert theirs.opens(first.delivered()["token"]) == 200


def test_delivered_as_a_secret(groundcrew: Deployed, shelf: Shelf, first: Bound) -> None:
    client = groundcrew.aws.client("secretsmanager", SPOKE)
    arn = client.create_secret(Name=unique("groundcrew/tokens/acme"))["ARN"]
    with shelf.bound(SPOKE, delivery="secret", secret=arn) as binding, first.bound_to(binding):
        for force in (False, True):
            assert first.rotate(force=force)["place"] == arn
            value = client.get_secret_value(SecretId=arn)["SecretString"]
            assert shelf.opens(json.loads(value)["token"]) == 200


def test_delivered_as_requirements(groundcrew: Deployed, shelf: Shelf, first: Bound, folder: Path) -> None:
    with shelf.bound(SPOKE, delivery="requirements") as binding, first.bound_to(binding):
        for force in (False, True):
            first.rotate(force=force)
            container = first.container(folder)
            (container.home / "codeartifact.txt").write_text(first.file("dags/codeartifact.txt"))
            installed = container.install(f"-r {container.home}/codeartifact.txt\n{PACKAGE}\n")
            assert container.version(PACKAGE) == "1.0", installed.log


def test_a_container_installs_with_what_was_delivered(
    groundcrew: Deployed, shelf: Shelf, first: Bound, folder: Path
) -> None:
    with shelf.bound(SPOKE) as binding, first.bound_to(binding):
        first.rotate()
        container = first.container(folder)
        script = container.home / "startup.sh"
        script.write_text(startup_script(first.bucket, first.key))
        started = container.start(script)
        assert started.status == 0, started.log
        installed = container.install(f"{PACKAGE}\n")
        assert container.version(PACKAGE) == "1.0", installed.log


def test_a_bucket_that_is_gone_is_the_trouble_of_its_environment_only(
    groundcrew: Deployed, shelf: Shelf, first: Bound, second: Bound
) -> None:
    with shelf.bound(SPOKE, OTHER) as binding, first.bound_to(binding):
        environment = available(groundcrew, OTHER, bucket=unique("gone"), tags={"groundcrew:tokens": binding})
        groundcrew.made.append(environment)
        homeless = Bound(groundcrew, environment, "")
        assert homeless.until_told(FAILED)["cause"] == "NoSuchBucket"
        first.rotate()
        assert shelf.opens(first.delivered()["token"]) == 200


def test_a_disabled_key_is_said_and_the_old_token_stays(groundcrew: Deployed, shelf: Shelf) -> None:
    kms = groundcrew.aws.client("kms", SPOKE)
    key = kms.create_key()["KeyMetadata"]["Arn"]
    bucket = make_bucket(groundcrew, SPOKE, key)
    with shelf.bound(SPOKE) as binding:
        environment = available(groundcrew, SPOKE, bucket=bucket, tags={"groundcrew:tokens": binding})
        groundcrew.made.append(environment)
        bound = Bound(groundcrew, environment, bucket)
        bound.until_told(ROTATED)
        token = bound.delivered()["token"]
        groundcrew.until_idle()
        kms.disable_key(KeyId=key)
        bound.ask(force=True)
        failed = bound.until_told(FAILED)
        assert "KMS" in failed["cause"]
        assert failed["hours_left"] > 11
        kms.enable_key(KeyId=key)
        assert bound.delivered()["token"] == token
        bound.rotate(force=True)
        assert shelf.opens(bound.delivered()["token"]) == 200


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"domain": "nobody"}, "ResourceNotFoundException"),
        ({"repositories": ["absent"]}, "ResourceNotFoundException"),
        ({"duration_seconds": 60}, "InvalidBinding"),
        ({"delivery": "secret"}, "InvalidBinding"),
    ],
    ids=str,
)
def test_a_binding_that_cannot_be_is_said(
    groundcrew: Deployed, shelf: Shelf, first: Bound, changes: dict[str, Any], cause: str
) -> None:
    with shelf.bound(SPOKE, **changes) as binding, first.bound_to(binding):
        told = len(first.told(FAILED))
        first.ask()
        failed = first.until_told(FAILED, told)
        assert (failed["cause"], bool(failed["remedy"])) == (cause, True)


@pytest.mark.parametrize(
    ("role", "account", "action"),
    [
        (f"groundcrew-tokens-minter-{REGION}", HUB, "codeartifact:GetAuthorizationToken"),
        (f"groundcrew-tokens-minter-{REGION}", HUB, "codeartifact:ReadFromRepository"),
        (f"groundcrew-tokens-minter-{REGION}", HUB, "sts:GetServiceBearerToken"),
        (f"groundcrew-courier-{REGION}", SPOKE, "s3:PutObject"),
        (f"groundcrew-courier-{REGION}", SPOKE, "s3:GetObjectVersion"),
    ],
)
def test_each_permission_is_needed(
    groundcrew: Deployed, shelf: Shelf, first: Bound, role: str, account: str, action: str
) -> None:
    with shelf.bound(SPOKE) as binding, first.bound_to(binding):
        told = len(first.told(FAILED))
        with groundcrew.without(role, account, action):
            first.ask()
            assert first.until_told(FAILED, told)["remedy"]
            groundcrew.until_idle()
        first.rotate(force=True)
        assert shelf.opens(first.delivered()["token"]) == 200


def test_the_courier_reaches_its_own_objects_only(groundcrew: Deployed, first: Bound) -> None:
    courier = groundcrew.aws.as_role("s3", f"arn:aws:iam::{SPOKE}:role/groundcrew/groundcrew-courier-{REGION}")
    groundcrew.aws.client("s3", SPOKE).put_object(Bucket=first.bucket, Key="dags/etl.py", Body=b"x")
    for key in ("dags/etl.py", "dags/groundcrew/groundcrew_export.py", "requirements.txt", "startup.sh"):
        for call, more in ((courier.put_object, {"Body": b"y"}), (courier.get_object, {})):
            with pytest.raises(ClientError, match="AccessDenied"):
                call(Bucket=first.bucket, Key=key, **more)
    with pytest.raises(ClientError, match="AccessDenied"):
        courier.list_object_versions(Bucket=first.bucket, Prefix="dags/")


def test_who_ships_dags_sees_no_token(groundcrew: Deployed, shelf: Shelf, first: Bound) -> None:
    with shelf.bound(SPOKE) as binding, first.bound_to(binding):
        first.rotate(force=True)
        shipper = groundcrew.aws.as_role("s3", f"arn:aws:iam::{SPOKE}:role/groundcrew/groundcrew-shipper-{REGION}")
        key = f"groundcrew/tokens/{first.environment.name}.json"
        for call, more in ((shipper.put_object, {"Body": b"y"}), (shipper.get_object, {})):
            with pytest.raises(ClientError, match="AccessDenied"):
                call(Bucket=first.bucket, Key=key, **more)
        shipper.put_object(Bucket=first.bucket, Key="dags/groundcrew/x.py", Body=b"")

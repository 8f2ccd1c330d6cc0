"""Objects in S3, in a spoke's account and in the hub's."""

from typing import Any

import pytest

from groundcrew.aws.objects import Bucket
from groundcrew.aws.session import Role, Roles
from groundcrew.errors import AccessDenied, AlreadyExists, NotFound, PermanentError, TransientError
from localcloud.inprocess.faults import Kind
from tests.support.stage import HUB, REGION, SPOKE, Stage
from tests.support.worlds import World

KEY = "groundcrew/tokens/data.json"


@pytest.fixture
def bucket(world: World, roles: Roles) -> Bucket:
    world.bucket("airflow-data", SPOKE)
    return Bucket.of_spoke(roles, Role("courier", SPOKE, REGION), "airflow-data")


@pytest.fixture
def doubled(stage: Stage, roles: Roles) -> Bucket:
    """On our double: KMS keys that are disabled, and what policies of buckets admit, are unknown to moto."""
    stage.aws.objects.bucket("airflow-data", SPOKE)
    return Bucket.of_spoke(roles, Role("courier", SPOKE, REGION), "airflow-data")


def test_what_is_put_is_got_with_its_metadata(world: World, bucket: Bucket) -> None:
    put = bucket.put(KEY, b"one", metadata={"binding": "data"})
    assert bucket.get(KEY) == (put, b"one")
    assert bucket.head(KEY) == put
    assert put.metadata == {"binding": "data"}
    role = world.aws.calls("s3:PutObject")[0].attempt
    assert (role.account, role.role) == (SPOKE, f"arn:aws:iam::{SPOKE}:role/groundcrew/groundcrew-courier-us-east-1")


def test_the_hubs_bucket_is_used_as_the_function_itself(world: World) -> None:
    world.bucket("exports", HUB)
    Bucket.own("exports", HUB, REGION).put("a", b"")
    assert world.aws.calls("s3:PutObject")[0].attempt.role == HUB
    assert not world.aws.calls("sts:*")


def test_an_older_version_can_be_read_until_it_is_deleted(bucket: Bucket) -> None:
    first, second = bucket.put(KEY, b"one"), bucket.put(KEY, b"two")
    assert bucket.get(KEY, first.version)[1] == b"one"
    assert {(one.version, one.latest) for one in bucket.versions(KEY)} == {
        (first.version, False),
        (second.version, True),
    }
    bucket.delete(KEY, first.version)
    bucket.delete(KEY, first.version)
    assert [one.version for one in bucket.versions(KEY)] == [second.version]


def test_an_object_that_was_deleted_leaves_a_mark(bucket: Bucket) -> None:
    bucket.put(KEY, b"one")
    bucket.delete(KEY)
    with pytest.raises(NotFound):
        bucket.head(KEY)
    assert [(one.deleted, one.latest) for one in bucket.versions(KEY)] == [(False, False), (True, True)]
    bucket.put(KEY, b"two", only_new=True)


def test_keys_are_listed_in_order_and_after_one(bucket: Bucket) -> None:
    for key in ("a/3", "a/1", "b/1", "a/2"):
        bucket.put(key, b"")
    assert bucket.keys("a/") == ["a/1", "a/2", "a/3"]
    assert bucket.keys("a/", after="a/1") == ["a/2", "a/3"]
    assert bucket.keys("a/", after="a/3") == []


def test_the_versions_of_another_object_are_not_among_them(bucket: Bucket) -> None:
    bucket.put(KEY + ".more", b"another")
    assert bucket.versions(KEY) == []


def test_only_what_was_seen_is_replaced(bucket: Bucket) -> None:
    seen = bucket.put(KEY, b"one")
    bucket.put(KEY, b"somebody else's")
    with pytest.raises(TransientError) as caught:
        bucket.put(KEY, b"two", replaces=seen.etag)
    assert caught.value.cause == "ChangedMeanwhile"
    bucket.delete(KEY)
    with pytest.raises(TransientError):
        bucket.put(KEY, b"two", replaces=seen.etag)


def test_what_is_to_be_new_does_not_replace(bucket: Bucket) -> None:
    bucket.put(KEY, b"one", only_new=True)
    with pytest.raises(AlreadyExists):
        bucket.put(KEY, b"two", only_new=True)
    assert bucket.get(KEY)[1] == b"one"


def test_the_buckets_own_encryption_is_kept_unless_a_key_is_named(stage: Stage, doubled: Bucket) -> None:
    stage.aws.objects.buckets["airflow-data"].kms_key = "arn:aws:kms:us-east-1:222222222222:key/theirs"
    doubled.put(KEY, b"one")
    doubled.put(KEY, b"two", kms_key="arn:aws:kms:us-east-1:222222222222:key/named")
    used = [version.headers["SSEKMSKeyId"] for version in stage.aws.objects.buckets["airflow-data"].keys[KEY]]
    assert [arn.rpartition("/")[2] for arn in used] == ["theirs", "named"]


@pytest.mark.parametrize("name", ["put", "get"])
def test_a_key_that_is_disabled_is_said(stage: Stage, doubled: Bucket, name: str) -> None:
    arn = "arn:aws:kms:us-east-1:222222222222:key/theirs"
    stage.aws.objects.buckets["airflow-data"].kms_key = arn
    doubled.put(KEY, b"one")
    stage.aws.objects.disabled_keys.add(arn)
    with pytest.raises(PermanentError) as caught:
        doubled.put(KEY, b"two") if name == "put" else doubled.get(KEY)
    assert caught.value.cause == "KMS.DisabledException"
    assert doubled.head(KEY).key == KEY  # needs no key


@pytest.mark.parametrize("name", ["get", "head"])
def test_what_is_not_there_is_not_found(bucket: Bucket, name: str) -> None:
    with pytest.raises(NotFound):
        getattr(bucket, name)(KEY)


def test_a_bucket_of_somebody_else_gets_nothing(stage: Stage) -> None:
    theirs = stage.aws.objects.bucket("airflow-taken", "999999999999", writers={SPOKE})
    role = Role("courier", SPOKE, REGION)
    with pytest.raises(AccessDenied):
        Bucket.of_spoke(Roles("aws", REGION, "groundcrew-test"), role, "airflow-taken").put(KEY, b"one")
    assert not theirs.keys


def test_a_bucket_that_is_gone_is_not_found(world: World, bucket: Bucket) -> None:
    world.delete_bucket("airflow-data")
    for act in (lambda: bucket.put(KEY, b""), lambda: bucket.head(KEY), lambda: bucket.versions(KEY)):
        with pytest.raises(NotFound):
            act()


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.SERVER_ERROR, Kind.TIMED_OUT_AFTER, Kind.RESET_BEFORE])
@pytest.mark.parametrize(
    ("operation", "act"),
    [
        ("s3:PutObject", lambda bucket: bucket.put(KEY, b"one")),
        ("s3:GetObject", lambda bucket: bucket.get(KEY)),
        ("s3:HeadObject", lambda bucket: bucket.head(KEY)),
        ("s3:DeleteObject", lambda bucket: bucket.delete(KEY)),
        ("s3:ListObjectVersions", lambda bucket: bucket.versions(KEY)),
    ],
)
def test_what_may_go_better_later_is_transient(
    world: World, bucket: Bucket, kind: Kind, operation: str, act: Any
) -> None:
    bucket.put(KEY, b"before")
    rule = world.aws.faults.add(kind, operation)
    with pytest.raises(TransientError):
        act(bucket)
    assert rule.fired == 3  # the SDK's own tries

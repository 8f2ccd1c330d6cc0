"""What is shipped into a DAG folder, on S3's double."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundcrew.aws.session import Roles
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.errors import AccessDenied, NotFound, PermanentError, TransientError
from groundcrew.shipping import Index, Shipping, plan, source
from localcloud.inprocess.faults import Kind
from localcloud.inprocess.objects import Bucket
from tests.support.stage import REGION, SPOKE, Stage

REF = EnvironmentRef(SPOKE, REGION, "data")
ENVIRONMENT = Environment(REF, REF.arn("aws"), "AVAILABLE", bucket="airflow-data", dags_path="our/dags")
FILES = {"a.py": b"one", "shared/b.py": b"two"}
INDEXES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("123"), max_size=6).map(Index)


@pytest.fixture
def bucket(stage: Stage) -> Bucket:
    return stage.aws.objects.bucket("airflow-data", SPOKE)


def shipping(part: str = "exports", environment: Environment = ENVIRONMENT) -> Shipping:
    return Shipping(Roles("aws", REGION, "groundcrew-test"), environment, part)


def there(bucket: Bucket) -> dict[str, bytes]:
    found = {key: bucket.content(key) for key in list(bucket.keys)}
    return {key.removeprefix("our/dags/groundcrew/"): one for key, one in found.items() if one is not None}


@given(wanted=INDEXES, shipped=INDEXES, others=INDEXES)
def test_a_plan_leads_to_what_is_wanted_and_touches_nothing_else(wanted: Index, shipped: Index, others: Index) -> None:
    todo = plan(wanted, shipped, others)
    after = {path: digest for path, digest in shipped.files.items() if path not in todo.remove}
    after |= {path: wanted.files[path] for path in todo.put}
    assert after.items() >= wanted.files.items()
    assert after.keys() - wanted.files.keys() <= others.files.keys()
    assert not set(todo.remove) & others.files.keys()
    assert todo.reason
    assert not plan(wanted, wanted, others).changes


def test_what_is_there_already_is_left_alone(stage: Stage, bucket: Bucket) -> None:
    assert shipping().ship(FILES).put == ("a.py", "shared/b.py")
    assert there(bucket) == FILES | {"shipped-exports.json": Index.of(FILES).as_json()}
    assert stage.changes(lambda: shipping().ship(FILES)) == []


def test_a_file_that_is_wanted_no_more_goes_with_all_its_versions(bucket: Bucket) -> None:
    shipping().ship(FILES)
    shipping().ship({**FILES, "a.py": b"changed"})
    assert shipping().ship({"shared/b.py": b"two"}).remove == ("a.py",)
    assert set(there(bucket)) == {"shared/b.py", "shipped-exports.json"}
    assert not bucket.keys.get("our/dags/groundcrew/a.py")


def test_what_another_part_needs_stays_when_one_goes(bucket: Bucket) -> None:
    bucket.keys.clear()
    shipping().ship(FILES)
    shipping("cleanup").ship({"shared/b.py": b"two", "c.py": b"three"})
    shipping().remove()
    assert set(there(bucket)) == {"shared/b.py", "c.py", "shipped-cleanup.json"}
    shipping("cleanup").remove()
    assert there(bucket) == {}


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.TIMED_OUT_AFTER])
@pytest.mark.parametrize("call", range(1, 9))
def test_whatever_call_fails_the_next_try_gets_there(stage: Stage, bucket: Bucket, call: int, kind: Kind) -> None:
    shipping().ship({"old.py": b""})
    rule = stage.aws.faults.add(kind, "s3:*", nth=call)
    with pytest.raises(TransientError):
        shipping().ship(FILES)
    assert rule.fired
    shipping().ship(FILES)
    assert there(bucket) == FILES | {"shipped-exports.json": Index.of(FILES).as_json()}


def test_an_index_that_is_somebody_elses_is_no_index(bucket: Bucket) -> None:
    shipping().ship(FILES)
    for content in (b"", b"[]", b'{"files": 1}', b"\xff"):
        assert Index.read(content) == Index()
    assert bucket.content("our/dags/groundcrew/a.py") == b"one"


def test_a_bucket_that_does_not_exist_is_said(stage: Stage, bucket: Bucket) -> None:
    with pytest.raises((NotFound, AccessDenied)):
        shipping(environment=replace(ENVIRONMENT, bucket="nobodys")).ship(FILES)


def test_what_is_shipped_is_there_to_be_shipped() -> None:
    files = source("groundcrew_export.py", "groundcrew_metadata", ".airflowignore")
    assert {"groundcrew_export.py", "groundcrew_metadata/declared.py", ".airflowignore"} <= set(files)
    assert not [path for path in files if "pyc" in path]
    with pytest.raises(PermanentError, match="no nothing"):
        source("nothing.py")

"""From an event to a token in its place."""

import json
from collections.abc import Callable
from datetime import datetime
from unittest import mock

import pytest

from localcloud.inprocess.faults import Attempt, Kind
from tests.support.context import Context
from tests.support.stage import HUB, REGION, SPOKE, SPOKE2, status_event
from tests.support.tokens.works import HOUR, MINTER, Works, about, open_works, report_only
from tokens.binding import Binding
from tokens.handler import handler
from tokens.rotate import Rotation
from tokens.token import Token

OWNER = "444455556666"
PUT_SECRET = "secretsmanager:PutSecretValue"


def test_a_new_environment_gets_a_token_that_opens_its_repository(works: Works) -> None:
    environment = works.environment()
    assert works.work(status_event(environment)) == [1]
    held = works.held(environment)
    assert held is not None
    host = f"packages-{HUB}.d.codeartifact.{REGION}.amazonaws.com"
    assert (held["version"], held["binding"]) == (1, "data")
    assert (held["index_url"], held["extra_index_urls"]) == (f"https://{host}/pypi/data/simple/", [])
    assert works.opens(environment)
    (fact,) = works.facts("Token Rotated")
    assert fact["place"] == f"s3://airflow-{SPOKE}-data/groundcrew/tokens/data.json"
    assert (fact["environment"], fact["expires_at"], fact["reason"]) == (
        about(environment),
        held["expires_at"],
        "there is no token",
    )
    assert (round(fact["hours_left"], 1), fact["verified"]) == (12.0, "index")


def test_a_fresh_token_is_left_alone(works: Works) -> None:
    environment = works.environment()
    works.work(status_event(environment))
    since = len(works.stage.aws.journal)
    assert works.work(works.observed(environment), status_event(environment, "UPDATING")) == []
    assert not [call for call in works.stage.aws.journal[since:] if call.effect]
    reasons = [line["reason"] for line in works.stage.lines() if line["message"] == "looked"]
    assert reasons[-1] == "the token is fresh: it lives 12.0 h more"


def test_a_token_is_replaced_when_a_third_of_its_life_is_over(works: Works) -> None:
    environment = works.environment()
    works.work(status_event(environment))
    first = works.held(environment)
    works.stage.pass_time(3.9 * HOUR)
    assert works.work(works.observed(environment)) == []
    works.stage.pass_time(0.2 * HOUR)
    assert works.work(works.observed(environment)) == [1]
    assert works.held(environment) != first
    assert works.opens(environment)


def test_old_versions_are_deleted_and_nobody_elses_objects(works: Works) -> None:
    environment = works.environment()
    bucket = works.bucket(environment)
    for key in ("dags/load.py", "groundcrew/tokens/data.json.mine"):
        works.stage.aws.objects.call("PutObject", environment.caller, {"Bucket": bucket.name, "Key": key, "Body": b"1"})
    for _ in range(3):
        works.work(status_event(environment))
        works.stage.pass_time(5 * HOUR)
    assert {key: len(versions) for key, versions in bucket.keys.items()} == {
        "dags/load.py": 1,
        "groundcrew/tokens/data.json.mine": 1,
        "groundcrew/tokens/data.json": 1,
    }


def test_old_versions_that_cannot_be_deleted_do_not_stand_in_the_way(works: Works) -> None:
    environment = works.environment()
    works.work(status_event(environment))
    works.stage.pass_time(5 * HOUR)
    works.stage.aws.faults.add(Kind.DENIED, "s3:DeleteObject", nth=None)
    assert works.work(works.observed(environment)) == [1]
    assert works.rotated() == ["data", "data"]
    assert not works.failures()
    assert "old versions stay" in [line["message"] for line in works.stage.lines()]
    works.stage.aws.faults.clear()
    works.stage.pass_time(5 * HOUR)
    works.work(works.observed(environment))
    assert len(works.bucket(environment).keys["groundcrew/tokens/data.json"]) == 1


def test_one_mint_serves_every_environment_of_a_binding(works: Works) -> None:
    fleet = [works.environment(f"env-{n}", account) for account in (SPOKE, SPOKE2) for n in range(5)]
    assert works.work(*(status_event(environment) for environment in fleet)) == [1]
    assert works.minted() == 1
    assert all(works.opens(environment) for environment in fleet)
    assert len(works.rotated()) == 10


def test_what_is_ordered_within_a_minute_is_one_order(works: Works) -> None:
    environment = works.environment()
    works.look(status_event(environment))
    works.stage.pass_time(1)
    works.look(works.observed(environment))
    assert len(works.orders()) == 1
    works.stage.pass_time(60)
    works.look(works.observed(environment))
    assert len(works.orders()) == 1


def test_bindings_do_not_wait_for_each_other(works: Works) -> None:
    works.domain(HUB, "data", "ml")
    works.bind("ml", repositories=["ml"])
    fleet = [works.environment("one"), works.environment("two", binding="ml")]
    works.look(*(status_event(environment) for environment in fleet))
    orders = works.orders()
    assert {order["MessageGroupId"] for order in orders} == {"data", "ml"}
    for order in orders:
        works.carry_out(order["MessageBody"])
    assert works.opens(fleet[0], "data")
    assert works.opens(fleet[1], "ml")
    assert not works.opens(fleet[0], "ml")
    assert not works.opens(fleet[1], "data")


def test_a_token_opens_no_more_than_its_binding_says(works: Works) -> None:
    works.domain(HUB, "data", "payroll")
    environment = works.environment()
    works.work(status_event(environment))
    held = works.held(environment)
    assert held is not None
    assert (works.opened(held["token"], "data"), works.opened(held["token"], "payroll")) == (200, 403)
    (assumed,) = [call for call in works.stage.aws.calls("sts:AssumeRole") if call.attempt.params["RoleArn"] == MINTER]
    assert len(assumed.attempt.params["Policy"]) < 2048


def test_a_domain_of_another_account_is_used_if_it_lets_us(works: Works) -> None:
    domain = works.domain(OWNER)
    works.bind(owner=OWNER)
    environment = works.environment()
    works.work(status_event(environment))
    assert works.failures() == [("data", "AccessDeniedException")]
    policy = {
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{HUB}:root"}, "Action": action, "Resource": "*"}
            for action in ("codeartifact:*", "sts:GetServiceBearerToken")
        ]
    }
    domain.policy = domain.repositories["data"].policy = policy
    works.work(works.observed(environment))
    held = works.held(environment)
    assert held is not None
    assert works.opened(held["token"], owner=OWNER) == 200


def test_further_repositories_are_extra_indexes(works: Works) -> None:
    works.domain(HUB, "data", "more")
    works.bind(repositories=["data", "more"])
    environment = works.environment()
    works.work(status_event(environment))
    held = works.held(environment)
    assert held is not None
    assert held["index_url"].endswith("/pypi/data/simple/")
    assert [url.split("/")[4] for url in held["extra_index_urls"]] == ["more"]


def test_an_extra_index_is_one_by_choice_only(works: Works) -> None:
    works.bind(index="extra-index-url")
    environment = works.environment()
    works.work(status_event(environment))
    held = works.held(environment)
    assert held is not None
    assert held["index_url"] is None
    assert len(held["extra_index_urls"]) == 1


def test_a_changed_binding_is_a_reason(works: Works) -> None:
    environment = works.environment()
    works.work(status_event(environment))
    works.domain(HUB, "data", "more")
    works.bind(repositories=["data", "more"])
    works.work(works.observed(environment))
    assert [fact["reason"] for fact in works.facts("Token Rotated")] == ["there is no token", "the binding has changed"]


def test_a_shared_bucket_gets_one_object_for_all(works: Works) -> None:
    works.bind(bucket={"name": "tokens", "account": SPOKE2, "region": REGION})
    bucket = works.stage.aws.objects.bucket("tokens", SPOKE2)
    fleet = [works.environment("one"), works.environment("two"), works.environment("three", SPOKE2)]
    works.work(*(status_event(environment) for environment in fleet))
    assert list(bucket.keys) == ["groundcrew/tokens/data.json"]
    assert len(works.stage.aws.calls("s3:PutObject")) == 1
    assert sorted(works.rotated()) == ["one", "three", "two"]


def test_a_secret_is_given_a_new_value(works: Works) -> None:
    secret = works.stage.aws.small.secrets.add(SPOKE, REGION, "groundcrew/tokens/data")
    works.bind(delivery="secret", secret=secret.arn)
    environment = works.environment()
    works.work(status_event(environment))
    value = json.loads(secret.versions[secret.stages["AWSCURRENT"]])
    assert works.opened(value["token"]) == 200
    assert works.work(works.observed(environment)) == []
    works.stage.pass_time(5 * HOUR)
    works.work(works.observed(environment))
    assert len(secret.versions) == 2
    assert works.facts("Token Rotated")[-1]["place"] == secret.arn


def test_a_requirements_file_is_written_beside_the_dags(works: Works) -> None:
    works.bind(delivery="requirements")
    environment = works.environment()
    works.work(status_event(environment))
    content = works.bucket(environment).content("dags/codeartifact.txt")
    assert content is not None
    line = content.decode()
    assert line.startswith("--index-url https://aws:")
    assert line.endswith(f"@packages-{HUB}.d.codeartifact.{REGION}.amazonaws.com/pypi/data/simple/\n")
    works.stage.pass_time(5 * HOUR)
    works.work(works.observed(environment))
    assert works.bucket(environment).content("dags/codeartifact.txt") != content


@pytest.mark.parametrize(("content", "replaced"), [(None, True), (b"boto3==1.0\n", False)])
def test_a_file_of_aws_own_pattern_is_taken_over_and_no_other(
    works: Works, content: bytes | None, replaced: bool
) -> None:
    works.bind(delivery="requirements")
    environment = works.environment()
    pattern = b"--index-url https://aws:old@packages-1.d.codeartifact.us-east-1.amazonaws.com/pypi/data/simple/\n"
    before = pattern + (content or b"")
    where = {"Bucket": works.bucket(environment).name, "Key": "dags/codeartifact.txt"}
    works.stage.aws.objects.call("PutObject", environment.caller, {**where, "Body": before})
    works.work(status_event(environment))
    after = works.bucket(environment).content("dags/codeartifact.txt")
    assert (after != before) is replaced
    assert works.failures() == ([] if replaced else [("data", "ForeignFile")])


def test_a_forced_request_replaces_a_fresh_token_once(works: Works) -> None:
    environment, other = works.environment(), works.environment("other")
    works.work(status_event(environment), status_event(other))
    works.stage.pass_time(HOUR)
    works.look(works.request(environment, force=True, request_id="leaked"))
    (order,) = works.orders()
    works.carry_out(order["MessageBody"])
    works.carry_out(order["MessageBody"])  # the same message twice: nobody knows whether the first came to say so
    assert works.rotated() == ["data", "other", "data", "data"]
    assert works.minted() == 2


@pytest.mark.parametrize("time", ["1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
def test_the_sender_does_not_choose_what_time_it_is(works: Works, time: str) -> None:
    environment = works.environment()
    works.work(status_event(environment))
    works.stage.pass_time(HOUR)
    for number in range(2):
        works.work(works.request(environment, request_id=f"again-{number}") | {"time": time})
    assert works.minted() == 1
    works.stage.pass_time(11 * HOUR)
    works.work(works.request(environment) | {"time": time})
    assert (works.minted(), works.opens(environment)) == (2, True)


def test_a_dry_run_says_what_would_be_done(works: Works) -> None:
    environment = works.environment()
    assert works.work(works.request(environment, dry_run=True)) == []
    (plan,) = works.facts("Token Rotation Planned")
    assert (plan["action"], plan["reason"], plan["hours_left"]) == ("deliver", "there is no token", 0.0)
    assert works.held(environment) is None


def test_in_report_mode_nothing_is_changed() -> None:
    with open_works(report_only()) as works:
        environment = works.environment()
        assert works.work(status_event(environment)) == []
        assert [plan["action"] for plan in works.facts("Token Rotation Planned")] == ["deliver"]
        assert not works.minted()


@pytest.mark.parametrize("tags", [{}, {"groundcrew:tokens": "off"}])
def test_who_is_not_bound_is_left_alone(works: Works, tags: dict[str, str]) -> None:
    environment = works.environment(tags=tags)
    assert works.work(status_event(environment), works.observed(environment)) == []
    assert not works.facts("Token Rotation Failed")


def test_the_second_of_two_rotations_at_once_changes_nothing(works: Works) -> None:
    environment = works.environment()
    works.look(status_event(environment))
    (order,) = works.orders()

    mint = Rotation._mint
    others = [order["MessageBody"]]

    def late(rotation: Rotation, binding: Binding, ordered_at: datetime, now: datetime) -> Token:
        """Another rotation, between this one's look and its mint."""
        if others:
            assert works.receive(others.pop())
        return mint(rotation, binding, ordered_at, now)

    with mock.patch.object(Rotation, "_mint", late):
        assert not works.receive(order["MessageBody"])
    assert works.opens(environment)
    assert works.receive(order["MessageBody"], 2)
    assert set(works.rotated()) == {"data"}


def test_an_environment_that_fails_stops_no_other(works: Works) -> None:
    fleet = [works.environment(f"env-{n}") for n in range(4)]
    works.look(*(status_event(environment) for environment in fleet))
    del works.stage.aws.objects.buckets[works.bucket(fleet[1]).name]
    busy = works.stage.aws.faults.add(
        Kind.THROTTLED, "s3:PutObject", nth=None, where=lambda attempt: "env-2" in attempt.params["Bucket"]
    )
    (order,) = works.orders()
    assert not works.receive(order["MessageBody"])
    assert works.rotated() == ["env-0", "env-3"]
    assert works.failures() == [("env-1", "NoSuchBucket")]
    works.stage.aws.faults.clear()
    assert busy.fired
    assert works.carry_out(order["MessageBody"]) == 1
    assert works.rotated()[2:] == ["env-0", "env-3", "env-2"]  # a fact is said at least once


def test_a_token_whose_announcement_failed_is_announced_by_the_next_try(works: Works) -> None:
    environment = works.environment()
    works.look(status_event(environment))
    (order,) = works.orders()
    unheard = works.stage.aws.faults.add(Kind.SERVER_ERROR, "events:PutEvents")
    assert not works.receive(order["MessageBody"])
    assert unheard.fired
    assert works.opens(environment)
    assert works.receive(order["MessageBody"], 2)
    assert (works.rotated(), works.minted()) == (["data"], 1)


def test_an_environment_that_cannot_be_looked_at_is_said_to_fail(works: Works) -> None:
    environment = works.environment()
    works.stage.aws.faults.add(Kind.DENIED, "airflow:GetEnvironment", nth=None)
    assert works.look(works.observed(environment))
    assert works.failures() == [("data", "AccessDeniedException")]
    unbound = works.environment("unbound", binding="")
    assert works.look(works.observed(unbound))
    assert len(works.failures()) == 1


def once_before(works: Works, operation: str, change: Callable[[], object]) -> None:
    """Somebody changes something just before the first call of this kind that comes after a token was put."""
    done: list[object] = []

    def now(attempt: Attempt) -> bool:
        puts = [call for call in works.stage.aws.journal if call.operation in ("s3:PutObject", PUT_SECRET)]
        if attempt.operation == operation and puts and not done:
            done.append(change())
        return False

    works.stage.aws.faults.add(Kind.DENIED, "*", where=now)


@pytest.mark.parametrize(
    ("delivery", "key"), [("object", "groundcrew/tokens/data.json"), ("requirements", "dags/codeartifact.txt")]
)
def test_an_object_that_somebody_changes_meanwhile_is_no_delivery(works: Works, delivery: str, key: str) -> None:
    works.bind(delivery=delivery)
    environment = works.environment()
    bucket = works.bucket(environment)
    bucket.versioned = False  # else the version that was put is read
    host = f"packages-{HUB}.d.codeartifact.{REGION}.amazonaws.com"
    line = f"--index-url https://aws:somebodys@{host}/pypi/data/simple/\n"
    by_somebody = {"Bucket": bucket.name, "Key": key, "Body": line.encode()}
    objects = works.stage.aws.objects
    once_before(works, "s3:GetObject", lambda: objects.call("PutObject", environment.caller, by_somebody))
    assert works.work(status_event(environment)) == [2]
    assert bucket.content(key) != by_somebody["Body"]
    assert [line["cause"] for line in works.stage.lines() if line.get("cause")] == ["ReadBack"]
    assert works.rotated() == ["data"]


def test_a_secret_that_somebody_changes_meanwhile_is_no_delivery(works: Works) -> None:
    secret = works.stage.aws.small.secrets.add(SPOKE, REGION, "groundcrew/tokens/data")
    works.bind(delivery="secret", secret=secret.arn)
    environment = works.environment()
    by_somebody = {"SecretId": secret.arn, "SecretString": "{}", "ClientRequestToken": "somebody-" * 4}
    secrets = works.stage.aws.small.secrets
    once_before(
        works,
        "secretsmanager:GetSecretValue",
        lambda: secrets.call("PutSecretValue", environment.caller, by_somebody),
    )
    assert works.work(status_event(environment)) == [2]
    assert works.opened(json.loads(secret.versions[secret.stages["AWSCURRENT"]])["token"]) == 200
    assert works.rotated() == ["data"]


def test_what_never_gets_better_is_said_and_becomes_a_dead_letter(works: Works) -> None:
    environment = works.environment()
    works.stage.aws.faults.add(Kind.THROTTLED, "codeartifact:GetAuthorizationToken", nth=None)
    works.work(status_event(environment))
    assert len(works.dead) == 1
    assert works.failures() == [("data", "ThrottlingException")]


def test_an_account_that_cannot_be_searched_stops_no_other(works: Works) -> None:
    fleet = [works.environment("one"), works.environment("two", SPOKE2)]
    works.look(*(status_event(environment) for environment in fleet))
    works.stage.aws.faults.add(
        Kind.DENIED, "sts:AssumeRole", nth=None, where=lambda attempt: SPOKE2 in attempt.params["RoleArn"]
    )
    (order,) = works.orders()
    assert works.carry_out(order["MessageBody"]) == 1
    assert works.rotated() == ["one"]
    assert works.failures() == [(None, "SpokeRoleUnavailable")]


def test_invoked_by_hand_it_answers_with_the_plan(works: Works) -> None:
    environment = works.environment()
    answer = handler(works.stage.timed(works.request(environment, dry_run=True)), Context())
    assert answer == {
        "status": environment.status,
        "place": f"s3://airflow-{SPOKE}-data/groundcrew/tokens/data.json",
        "hours_left": 0.0,
        "plan": {"action": "deliver", "reason": "there is no token"},
    }

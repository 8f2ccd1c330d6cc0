"""The way to the Celery queue."""

import json
from dataclasses import replace
from typing import Any

import pytest

from endpoints import sqs_policy
from endpoints.ownership import Owner
from endpoints.plan import NEW_GROUP, Admit, AdmitVpc, CreateEndpoint, CreateGroup, Plan, SetPolicy
from endpoints.policy import Policy
from groundcrew.network import SecurityGroup, VpcEndpoint
from tests.support.endpoints.stories import (
    ARN,
    OWNER,
    QUEUE,
    SQS,
    VPC,
    allow,
    causes,
    endpoint,
    every,
    foreign,
    group,
    kinds,
    managed,
    only,
    plan,
    sqs_endpoint,
    whole,
)

CREATE = Policy(sqs="create")
NO_WAY: frozenset[str] = frozenset()
ELSEWHERE = "arn:aws:sqs:us-east-1:111111111111:mine"
OTHER_QUEUE = QUEUE + "-other"
OTHERS = endpoint(
    "database",
    id="vpce-other",
    tags=OWNER.tags(ARN.replace("data", "other"), "database") | {"groundcrew:queue": OTHER_QUEUE},
)


def admitted(found: Plan) -> list[str]:
    """The queues that our statement of the policy to be written admits."""
    statements = json.loads(only(found, SetPolicy).document)["Statement"]
    ours = [item for item in statements if item.get("Sid") == sqs_policy.sid(OWNER.stack_tag)]
    return [queue for item in ours for queue in item["Resource"]]


# ----------------------------------------------------------------------------------------------------- without endpoint
def test_a_route_out_is_a_way_to_the_queue() -> None:
    assert plan(*whole()).findings == ()


def test_nobody_looked_for_routes_so_nothing_is_said() -> None:
    assert plan(*whole(), ways_out=None).findings == ()


@pytest.mark.parametrize(("ways_out", "stuck"), [(NO_WAY, "subnet-a, subnet-b"), (frozenset({"subnet-a"}), "subnet-b")])
def test_without_endpoint_and_without_a_route_out_it_is_reported(ways_out: frozenset[str], stuck: str) -> None:
    found = plan(*whole(), ways_out=ways_out)
    assert found.actions == ()
    (finding,) = found.findings
    assert finding.cause == "NoWayToQueue"
    assert finding.evidence == f"vpc-1 has no SQS endpoint with private DNS, and {stuck} no route out"


def test_an_environment_without_a_queue_needs_no_way() -> None:
    assert plan(*whole(), ways_out=NO_WAY, queue_arn=None).findings == ()


@pytest.mark.parametrize(
    "useless",
    [
        pytest.param(sqs_endpoint(private_dns=False), id="without private DNS"),
        pytest.param(sqs_endpoint(vpc_id="vpc-2"), id="in another VPC"),
        pytest.param(sqs_endpoint(state="failed"), id="failed"),
        pytest.param(sqs_endpoint(service="com.amazonaws.us-east-1.logs"), id="for another service"),
    ],
)
def test_an_endpoint_that_does_not_capture_the_calls_is_none(useless: VpcEndpoint) -> None:
    assert causes(plan(*whole(), useless, ways_out=NO_WAY)) == ["NoWayToQueue"]


# ---------------------------------------------------------------------------------------------------------- sqs: create
def test_sqs_create_makes_one_for_the_whole_vpc() -> None:
    found = plan(*whole(), ways_out=NO_WAY, policy=CREATE)
    reason = "there is no way to the queue, and the policy says sqs: create"
    name, tags = "groundcrew-sqs-vpc-1", OWNER.shared_tags("sqs")
    subnets = ("subnet-a", "subnet-b")
    assert found.actions == (
        CreateGroup(reason, name, "Admits the whole VPC to its SQS endpoint", VPC, tags),
        AdmitVpc(reason, NEW_GROUP, VPC, 443),
        CreateEndpoint(reason, "sqs", SQS, VPC, subnets, NEW_GROUP, True, tags | {"Name": name}),
    )


def test_what_serves_the_whole_vpc_is_no_environments() -> None:
    assert "groundcrew:environment" not in OWNER.shared_tags("sqs")


def test_sqs_create_never_restricts_the_endpoint_to_one_queue() -> None:
    """It captures every call to SQS in the VPC; without a policy document it gets full access."""
    found = plan(*whole(), ways_out=NO_WAY, policy=CREATE)
    assert "SetPolicy" not in kinds(found)
    assert not any("policy" in name for name in CreateEndpoint.__dataclass_fields__)


def test_the_service_is_called_otherwise_in_china() -> None:
    assert Owner("x", "aws-cn").service("cn-north-1", "sqs") == "cn.com.amazonaws.cn-north-1.sqs"


def test_two_groups_of_one_plan_are_not_mixed_up() -> None:
    found = plan(ways_out=NO_WAY, policy=CREATE)
    assert kinds(found) == [
        *("CreateGroup", "AdmitVpc", "CreateEndpoint"),
        *("CreateGroup", "Admit", "CreateEndpoint", "CreateEndpoint"),
    ]


def test_the_way_to_the_queue_is_made_before_what_mwaa_waits_for() -> None:
    """Once that is there MWAA goes on, and nobody would come back for the queue if the plan were cut short."""
    assert [made.purpose for made in every(plan(ways_out=NO_WAY, policy=CREATE), CreateEndpoint)] == [
        *("sqs", "database", "webserver")
    ]


@pytest.mark.parametrize("policy", [Policy(), CREATE])
def test_an_existing_endpoint_with_full_access_is_enough(policy: Policy) -> None:
    found = plan(*whole(), sqs_endpoint(), ways_out=NO_WAY, policy=policy)
    assert (found.actions, found.findings) == ((), ())


# -------------------------------------------------------------------------------------------------- somebody's endpoint
def test_an_endpoint_that_does_not_admit_the_queue_is_reported_with_the_exact_statement() -> None:
    found = plan(*whole(), sqs_endpoint(allow(ELSEWHERE)))
    assert found.actions == ()
    (finding,) = found.findings
    assert finding.cause == "QueueNotAdmitted"
    text = finding.remedy.partition("vpce-sqs: ")[2].rpartition(" - or tag")[0]
    assert json.loads(text) == {
        "Sid": sqs_policy.sid(OWNER.stack_tag),
        "Effect": "Allow",
        "Principal": "*",
        "Action": list(sqs_policy.ACTIONS),
        "Resource": [QUEUE],
    }


def test_the_reported_statement_is_all_that_it_needs() -> None:
    finding = plan(*whole(), sqs_endpoint(allow(ELSEWHERE))).findings[0]
    statement = json.loads(finding.remedy.partition("vpce-sqs: ")[2].rpartition(" - or tag")[0])
    assert plan(*whole(), sqs_endpoint(allow(ELSEWHERE), statement)).findings == ()


def test_a_deny_that_covers_the_queue_is_reported_as_such() -> None:
    found = plan(*whole(), sqs_endpoint(allow(), allow("*", Effect="Deny")))
    assert causes(found) == ["QueueDenied"]
    assert found.actions == ()


@pytest.mark.parametrize("value", ["", "all", "Policy"])
def test_another_value_of_the_tag_lets_us_manage_nothing(value: str) -> None:
    theirs = sqs_endpoint(allow(ELSEWHERE), tags={"groundcrew:manage": value})
    assert kinds(plan(*whole(), theirs)) == []


# --------------------------------------------------------------------------------------------------- managed by its tag
def test_a_managed_policy_gets_a_statement_of_our_own() -> None:
    found = plan(*whole(), managed(allow(ELSEWHERE)))
    assert found.findings == ()
    change = only(found, SetPolicy)
    assert (change.endpoint_id, change.reason) == ("vpce-sqs", "the SQS endpoint must admit the queue")
    assert json.loads(change.document) == {
        "Version": "2012-10-17",
        "Statement": [allow(ELSEWHERE), sqs_policy.statement(OWNER.stack_tag, [QUEUE])],
    }


def test_a_managed_policy_is_not_written_twice() -> None:
    right = managed(allow(ELSEWHERE), sqs_policy.statement(OWNER.stack_tag, [QUEUE]))
    assert plan(*whole(), right).actions == ()


def test_a_managed_policy_that_admits_the_queue_anyway_is_left_alone() -> None:
    assert plan(*whole(), managed()).actions == ()


def test_a_managed_policy_that_denies_is_reported_for_no_statement_could_help() -> None:
    found = plan(*whole(), managed(allow(ELSEWHERE), allow(QUEUE, Effect="Deny")))
    assert (found.actions, causes(found)) == ((), ["QueueDenied"])


def test_all_environments_of_ours_in_the_vpc_share_the_statement() -> None:
    assert admitted(plan(*whole(), OTHERS, managed(allow(ELSEWHERE)))) == [QUEUE, OTHER_QUEUE]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"vpc_id": "vpc-2"}, id="in another VPC"),
        pytest.param({"state": "deleting"}, id="going"),
        pytest.param({"tags": dict(OTHERS.tags) | {"groundcrew:stack": "another"}}, id="not ours"),
        pytest.param({"tags": dict(OTHERS.tags) | {"groundcrew:purpose": "webserver"}}, id="not for a database"),
        pytest.param({"tags": dict(OTHERS.tags) | {"groundcrew:queue": "*"}}, id="whose tag names no queue"),
        pytest.param({"tags": dict(OTHERS.tags) | {"groundcrew:queue": QUEUE + "*"}}, id="whose tag is a pattern"),
    ],
)
def test_only_tags_of_database_endpoints_of_ours_let_a_queue_in(changes: dict[str, Any]) -> None:
    assert admitted(plan(*whole(), replace(OTHERS, **changes), managed(allow(ELSEWHERE)))) == [QUEUE]


def test_a_tag_that_somebody_strips_withdraws_nobodys_queue() -> None:
    """Its environment runs on that queue; only proof that it is gone takes the queue out."""
    stripped = replace(OTHERS, tags={key: value for key, value in OTHERS.tags.items() if key != "groundcrew:queue"})
    both = managed(allow(ELSEWHERE), sqs_policy.statement(OWNER.stack_tag, [QUEUE, OTHER_QUEUE]))
    assert plan(*whole(), stripped, both).actions == ()
    only_the_other = managed(allow(ELSEWHERE), sqs_policy.statement(OWNER.stack_tag, [OTHER_QUEUE]))
    change = only(plan(*whole(), stripped, only_the_other), SetPolicy)
    assert json.loads(change.document) == json.loads(both.policy)
    assert change.base == only_the_other.policy


def test_behind_a_foreign_database_endpoint_the_queue_is_reported_not_written() -> None:
    """Nothing of ours would carry the queue, so nobody would ever withdraw it."""
    admits = SecurityGroup("sg-theirs", "theirs", VPC, "111111111111", group().admissions)
    found = plan(foreign("database"), endpoint("webserver"), group(), managed(allow(ELSEWHERE)), theirs=(admits,))
    assert (found.actions, causes(found)) == ((), ["QueueNotAdmitted"])


def test_the_statement_is_written_when_the_database_endpoint_is_made() -> None:
    found = plan(managed(allow(ELSEWHERE)))
    assert kinds(found) == ["SetPolicy", "CreateGroup", "Admit", "CreateEndpoint", "CreateEndpoint"]
    assert every(found, CreateEndpoint)[0].tags["groundcrew:queue"] == QUEUE
    assert every(found, Admit)[0].group_id == NEW_GROUP


# -------------------------------------------------------------------------------------------------- two writers at once
def test_two_environments_that_write_at_once_never_lose_each_others_queue() -> None:
    """Whoever writes last has not seen the other's endpoint; whoever looks last puts it right."""
    blank = managed(allow(ELSEWHERE))
    mine = admitted(plan(*whole(), blank))  # saw only itself: the other's endpoint was not there yet
    assert mine == [QUEUE]
    overwritten = managed(allow(ELSEWHERE), sqs_policy.statement(OWNER.stack_tag, [OTHER_QUEUE]))
    again = plan(*whole(), OTHERS, overwritten)
    assert admitted(again) == [QUEUE, OTHER_QUEUE]
    assert again.look_again
    settled = managed(allow(ELSEWHERE), sqs_policy.statement(OWNER.stack_tag, admitted(again)))
    assert plan(*whole(), OTHERS, settled).actions == ()

"""The rules of "The endpoints capability", one by one."""

from dataclasses import replace
from typing import Any

import pytest

from endpoints.plan import NEW_GROUP, Admit, CorrectEndpoint, CreateEndpoint, CreateGroup, Plan, Revoke, SetTags
from endpoints.planner import ENDING, Observed, idle_reason, plan_environment
from endpoints.policy import Policy
from groundcrew.environment import EnvironmentRef
from groundcrew.network import Admission, AdmittedRange, Subnet
from tests.support.endpoints.stories import (
    DATABASE,
    GROUP,
    HUB,
    MINE,
    OWNER,
    QUEUE,
    REF,
    SPOKE,
    VPC,
    WEBSERVER,
    causes,
    endpoint,
    environment,
    every,
    group,
    kinds,
    only,
    plan,
    site,
    whole,
)

BOTH = frozenset({"subnet-a", "subnet-b"})


def purposes(found: Plan) -> list[str]:
    return [action.purpose for action in every(found, CreateEndpoint)]


# ------------------------------------------------------------------------------------------------------ which endpoints
@pytest.mark.parametrize("access", ["PRIVATE_ONLY", "PUBLIC_ONLY", "PUBLIC_AND_PRIVATE"])
def test_the_database_endpoint_is_always_made(access: str) -> None:
    made = every(plan(webserver_access_mode=access), CreateEndpoint)[0]
    assert (made.purpose, made.service) == ("database", DATABASE)
    assert made.reason == "the database endpoint is missing"


@pytest.mark.parametrize(
    ("access", "service", "wanted"),
    [
        ("PRIVATE_ONLY", WEBSERVER, ["database", "webserver"]),
        ("PUBLIC_AND_PRIVATE", WEBSERVER, ["database", "webserver"]),
        ("PUBLIC_AND_PRIVATE", None, ["database"]),
        ("PUBLIC_ONLY", None, ["database"]),
        ("PUBLIC_ONLY", WEBSERVER, ["database"]),
        ("PRIVATE_ONLY", None, ["database"]),
    ],
)
def test_the_webserver_endpoint_is_made_when_the_access_mode_calls_for_it_and_its_service_is_there(
    access: str, service: str | None, wanted: list[str]
) -> None:
    assert purposes(plan(webserver_access_mode=access, webserver_service=service)) == wanted


def test_a_late_webserver_service_is_waited_for() -> None:
    found = plan(endpoint("database"), group(), webserver_service=None)
    assert found.actions == ()
    assert (found.wait, found.ready) == (True, False)
    assert found.reason == "MWAA has not named the web server's endpoint service yet"


def test_public_and_private_does_not_wait_for_a_service_that_mwaa_may_keep_to_itself() -> None:
    found = plan(endpoint("database"), group(), webserver_access_mode="PUBLIC_AND_PRIVATE", webserver_service=None)
    assert (found.wait, found.ready) == (False, True)


def test_an_endpoint_is_made_in_exactly_the_environments_subnets_with_our_tags_and_dns_left_to_aws() -> None:
    found = plan(subnet_ids=("subnet-b", "subnet-a"))
    assert every(found, CreateEndpoint)[1] == CreateEndpoint(
        reason="the webserver endpoint is missing",
        purpose="webserver",
        service=WEBSERVER,
        vpc_id=VPC,
        subnet_ids=("subnet-a", "subnet-b"),
        group_id=NEW_GROUP,
        private_dns=None,
        tags={
            "groundcrew:environment": "arn:aws:airflow:us-east-1:222222222222:environment/data",
            "groundcrew:purpose": "webserver",
            "groundcrew:stack": "111111111111/us-east-1/groundcrew",
            "groundcrew:queue": QUEUE,
            "Name": "data-webserver",
        },
    )


def test_an_environment_without_a_queue_has_no_queue_in_its_tags() -> None:
    assert "groundcrew:queue" not in every(plan(queue_arn=None), CreateEndpoint)[0].tags


# --------------------------------------------------------------------------------------------------------------- groups
def test_one_group_in_the_owners_vpc_admits_every_group_of_the_environment() -> None:
    found = plan(security_group_ids=("sg-1", "sg-2"))
    made = only(found, CreateGroup)
    assert (made.vpc_id, made.tags) == (VPC, OWNER.tags(REF.arn("aws"), "endpoints") | {"groundcrew:queue": QUEUE})
    assert only(found, Admit) == Admit(
        "the endpoints need a group that admits the environment",
        NEW_GROUP,
        frozenset({Admission(SPOKE, "sg-1"), Admission(SPOKE, "sg-2")}),
    )
    assert kinds(found) == ["CreateGroup", "Admit", "CreateEndpoint", "CreateEndpoint"]


def test_groups_of_two_environments_never_share_a_name() -> None:
    names = {
        only(plan(ref=ref), CreateGroup).name
        for ref in (REF, EnvironmentRef(HUB, "us-east-1", "data"), EnvironmentRef(SPOKE, "eu-west-3", "data"))
    }
    assert len(names) == 3


def test_the_pair_names_the_environments_account_across_accounts() -> None:
    (admission,) = only(plan(), Admit).admissions
    assert (admission.account, admission.protocol) == (SPOKE, "-1")


def test_service_ports_policy_admits_the_two_ports_in_use() -> None:
    found = only(plan(policy=Policy(admit="service-ports")), Admit)
    assert found.admissions == {
        Admission(SPOKE, "sg-env", "tcp", 443, 443),
        Admission(SPOKE, "sg-env", "tcp", 5432, 5432),
    }


def test_a_group_that_admits_too_few_is_opened() -> None:
    found = plan(*whole(), security_group_ids=("sg-env", "sg-new"))
    assert found.actions == (
        Admit("the group does not admit all groups of the environment", GROUP, frozenset({Admission(SPOKE, "sg-new")})),
    )


def test_a_group_that_admits_too_many_is_closed() -> None:
    surplus = frozenset({Admission(SPOKE, "sg-old")})
    extended = group(admissions=group().admissions | surplus)
    found = plan(endpoint("database"), endpoint("webserver"), extended)
    assert found.actions == (Revoke("the group admits more than the environment's groups", GROUP, surplus),)


def test_a_changed_policy_is_carried_over_to_an_existing_group() -> None:
    found = plan(*whole(), policy=Policy(admit="service-ports"))
    assert kinds(found) == ["Admit", "Revoke"]


def test_the_group_of_an_sqs_endpoint_is_not_the_environments() -> None:
    for_sqs = group(id="sg-sqs", tags=OWNER.shared_tags("sqs"))
    assert kinds(plan(endpoint("database"), endpoint("webserver"), for_sqs))[:2] == ["CreateGroup", "Admit"]


def test_a_group_of_ours_that_somebody_has_opened_further_is_reported() -> None:
    widened = group(ranges=frozenset({AdmittedRange("0.0.0.0/0")}))
    found = plan(endpoint("database"), endpoint("webserver"), widened)
    assert (found.actions, causes(found)) == ((), ["GroupWidened"])


# --------------------------------------------------------------------------- a participant's group that cannot be named
SUBNETS = (
    Subnet("subnet-a", VPC, HUB, frozenset({"10.0.0.0/24"})),
    Subnet("subnet-b", VPC, HUB, frozenset({"10.0.1.0/24"})),
)
BLOCKS = frozenset({AdmittedRange("10.0.0.0/24", ours=True), AdmittedRange("10.0.1.0/24", ours=True)})
BY_RANGE = group(admissions=frozenset(), ranges=BLOCKS)


def test_the_subnets_are_planned_for_in_place_of_groups_of_another_account() -> None:
    assert only(plan(subnets=SUBNETS), Admit).instead == BLOCKS
    policy = Policy(admit="service-ports")
    ranges = only(plan(subnets=SUBNETS, policy=policy), Admit).instead
    assert {(one.source, one.protocol, one.from_port, one.to_port) for one in ranges} == {
        (block, "tcp", port, port) for block in ("10.0.0.0/24", "10.0.1.0/24") for port in (443, 5432)
    }


def test_in_one_account_there_is_nothing_instead_of_a_group() -> None:
    observed = Observed(environment(), replace(site(), account=SPOKE), VPC, subnets=SUBNETS)
    assert only(plan_environment(observed, Policy(), OWNER), Admit).instead == frozenset()


def test_subnets_that_are_admitted_stay_and_the_plan_says_so() -> None:
    found = plan(endpoint("database"), endpoint("webserver"), BY_RANGE, subnets=SUBNETS)
    assert (found.actions, found.findings, found.ready) == ((), (), True)
    (note,) = found.as_detail()["notes"]
    assert "10.0.0.0/24, 10.0.1.0/24" in note
    assert SPOKE in note


def test_subnets_stay_admitted_when_the_groups_are_named_as_well() -> None:
    found = plan(endpoint("database"), endpoint("webserver"), group(ranges=BLOCKS), subnets=SUBNETS)
    assert (found.actions, found.findings, found.notes) == ((), (), ())


def test_some_of_the_subnets_are_not_enough() -> None:
    some = group(admissions=frozenset(), ranges=frozenset({AdmittedRange("10.0.0.0/24")}))
    assert kinds(plan(endpoint("database"), endpoint("webserver"), some, subnets=SUBNETS)) == ["Admit"]


def test_ranges_of_an_earlier_policy_are_revoked_if_they_are_ours() -> None:
    policy = Policy(admit="service-ports")
    admit, revoke = plan(endpoint("database"), endpoint("webserver"), BY_RANGE, subnets=SUBNETS, policy=policy).actions
    assert isinstance(admit, Admit)
    assert revoke == Revoke("the group admits more than the environment's groups", GROUP, frozenset(), BLOCKS)
    theirs = replace(
        BY_RANGE, ranges=frozenset({AdmittedRange("10.0.0.0/24"), AdmittedRange("10.9.0.0/24", ours=True)})
    )
    found = plan(endpoint("database"), endpoint("webserver"), theirs, subnets=SUBNETS, policy=policy)
    assert only(found, Revoke).ranges == {AdmittedRange("10.9.0.0/24")}
    assert causes(found) == ["GroupWidened"]


# -------------------------------------------------------------------------------------------------------- nothing to do
def test_all_is_well() -> None:
    found = plan(*whole())
    assert (found.actions, found.findings, found.wait, found.ready) == ((), (), False, True)
    assert found.reason == "all endpoints are available"
    assert found.serving == {"database": "vpce-database", "webserver": "vpce-webserver"}
    assert not found.look_again


def test_endpoints_that_are_not_available_yet_are_waited_for() -> None:
    found = plan(endpoint("database", state="pending"), endpoint("webserver"), group())
    assert (found.actions, found.look_again, found.ready) == ((), True, False)
    assert found.reason == "endpoints are not available yet"


@pytest.mark.parametrize("status", sorted(ENDING))
def test_an_environment_that_ends_gets_nothing(status: str) -> None:
    assert idle_reason(environment(status=status)) == f"the environment is {status}"


def test_mwaa_manages_its_own_endpoints_alone() -> None:
    reason = idle_reason(environment(endpoint_management="SERVICE"))
    assert reason == "MWAA manages the endpoints of this environment itself"


def test_there_is_nothing_to_do_before_mwaa_names_a_service() -> None:
    assert idle_reason(environment(database_service=None)) == "MWAA has not named the database's endpoint service yet"


def test_a_pending_environment_is_not_idle() -> None:
    assert idle_reason(environment()) is None


# --------------------------------------------------------------------------------------------------- our own, corrected
CORRECTIONS: list[tuple[str, dict[str, Any], dict[str, tuple[str, ...]]]] = [
    ("a subnet is missing", {"subnet_ids": frozenset({"subnet-a"})}, {"add_subnet_ids": ("subnet-b",)}),
    ("a subnet is too many", {"subnet_ids": BOTH | {"subnet-c"}}, {"remove_subnet_ids": ("subnet-c",)}),
    (
        "another subnet",
        {"subnet_ids": frozenset({"subnet-a", "subnet-c"})},
        {"add_subnet_ids": ("subnet-b",), "remove_subnet_ids": ("subnet-c",)},
    ),
    (
        "another group",
        {"group_ids": frozenset({"sg-default"})},
        {"add_group_ids": (GROUP,), "remove_group_ids": ("sg-default",)},
    ),
    ("no group", {"group_ids": frozenset()}, {"add_group_ids": (GROUP,)}),
    ("a group too many", {"group_ids": frozenset({GROUP, "sg-x"})}, {"remove_group_ids": ("sg-x",)}),
]


@pytest.mark.parametrize(("wrong", "change"), [case[1:] for case in CORRECTIONS], ids=[case[0] for case in CORRECTIONS])
def test_our_own_endpoint_is_corrected_in_place(wrong: dict[str, Any], change: dict[str, tuple[str, ...]]) -> None:
    found = plan(endpoint("database", **wrong), endpoint("webserver"), group())
    reason = "the database endpoint is in other subnets or groups than it should be"
    assert found.actions == (CorrectEndpoint(reason, "vpce-database", **change),)


def test_our_own_endpoint_is_put_behind_a_new_group_when_ours_has_gone() -> None:
    found = plan(endpoint("database"), endpoint("webserver"))
    assert kinds(found) == ["CreateGroup", "Admit", "CorrectEndpoint", "CorrectEndpoint"]
    assert every(found, CorrectEndpoint)[0].add_group_ids == (NEW_GROUP,)


def test_lost_tags_are_written_again() -> None:
    without_purpose = MINE | {"groundcrew:queue": QUEUE}
    del without_purpose["groundcrew:purpose"]
    found = plan(endpoint("database", tags=without_purpose), endpoint("webserver"), group())
    assert found.actions == (
        SetTags("the database endpoint has lost tags", ("vpce-database",), {"groundcrew:purpose": "database"}),
    )


# --------------------------------------------------------------------------------------------- endpoints that count not
@pytest.mark.parametrize("state", ["failed", "rejected", "expired", "deleting", "deleted"])
def test_an_endpoint_that_is_of_no_use_does_not_count(state: str) -> None:
    found = plan(endpoint("database", state=state, tags={}), endpoint("webserver"), group())
    assert only(found, CreateEndpoint).purpose == "database"


@pytest.mark.parametrize("state", ["available", "pending", "pendingacceptance", "partial"])
def test_an_endpoint_that_may_serve_counts(state: str) -> None:
    assert purposes(plan(endpoint("database", state=state), endpoint("webserver"), group())) == []


def test_an_endpoint_in_another_vpc_does_not_count() -> None:
    found = plan(endpoint("database", vpc_id="vpc-2", tags={}), endpoint("webserver"), group())
    assert purposes(found) == ["database"]


def test_findings_are_the_reason_when_nothing_can_be_done() -> None:
    found = plan(*whole(), ways_out=frozenset())
    assert causes(found) == ["NoWayToQueue"]
    assert found.reason == found.findings[0].evidence
    assert (found.ready, found.look_again) == (False, False)


def test_a_plan_is_json() -> None:
    detail = plan(endpoint("webserver"), ways_out=frozenset()).as_detail()
    assert [action["action"] for action in detail["actions"]][:2] == ["CreateGroup", "Admit"]
    assert detail["actions"][1]["admissions"] == [
        {"account": SPOKE, "group_id": "sg-env", "protocol": "-1", "from_port": None, "to_port": None}
    ]
    assert detail["findings"][0]["cause"] == "NoWayToQueue"
    assert detail["serving"] == {"webserver": "vpce-webserver"}

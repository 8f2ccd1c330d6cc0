"""An environment that is gone: what goes, in which order, and what stays."""

from typing import Any

import pytest

from endpoints import sqs_policy
from endpoints.plan import DeleteEndpoints, DeleteGroup, Plan, Revoke, SetPolicy
from endpoints.removal import plan_removal
from groundcrew.network import SecurityGroup, VpcEndpoint
from tests.support.endpoints.stories import (
    ARN,
    GROUP,
    OWNER,
    QUEUE,
    REF,
    allow,
    endpoint,
    every,
    foreign,
    group,
    kinds,
    managed,
    site,
    touched,
    whole,
)

OTHER = ARN.replace("data", "other")
OTHER_QUEUE = QUEUE + "-other"
REASON = "the environment is gone"


def others_database(**changes: Any) -> VpcEndpoint:
    """The database endpoint of another environment of ours in the same VPC."""
    tags = OWNER.tags(OTHER, "database") | {"groundcrew:queue": OTHER_QUEUE}
    usual: dict[str, Any] = {"id": "vpce-other", "tags": tags, "group_ids": frozenset({"sg-other"})}
    return endpoint("database", **(usual | changes))


def our_sqs() -> tuple[VpcEndpoint, SecurityGroup]:
    """The VPC's SQS endpoint and its group, made by us."""
    tags = OWNER.shared_tags("sqs")
    made = group(id="sg-sqs", name="groundcrew-sqs-vpc-1", admissions=frozenset(), tags=tags)
    return endpoint("sqs", private_dns=True, group_ids=frozenset({"sg-sqs"}), tags=tags), made


def ours(*queues: str) -> sqs_policy.Statement:
    """The statement of ours in a managed policy."""
    return sqs_policy.statement(OWNER.stack_tag, queues)


def removal(*resources: VpcEndpoint | SecurityGroup) -> Plan:
    return plan_removal(REF, site(*resources), OWNER, REASON)


def test_references_go_first_then_endpoints_and_the_group_waits_for_them() -> None:
    found = removal(*whole())
    assert found.actions == (
        Revoke(REASON, GROUP, group().admissions),
        DeleteEndpoints(REASON, ("vpce-database", "vpce-webserver")),
    )
    assert (found.wait, found.look_again) == (True, True)


def test_the_group_goes_last_when_no_endpoint_uses_it_any_more() -> None:
    found = removal(endpoint(state="deleted"), group(admissions=frozenset()))
    assert found.actions == (DeleteGroup(REASON, GROUP),)
    assert not found.wait


def test_a_group_in_use_is_waited_for() -> None:
    found = removal(endpoint(state="deleting"), group(admissions=frozenset()))
    assert (found.actions, found.wait, found.reason) == ((), True, REASON)


def test_nothing_of_ours_is_left() -> None:
    found = removal(foreign(), others_database())
    assert (found.actions, found.look_again, found.reason) == ((), False, "nothing of ours is left")


@pytest.mark.parametrize("state", ["available", "pending", "rejected", "failed", "expired", "pendingacceptance"])
def test_endpoints_of_ours_go_in_whatever_state(state: str) -> None:
    assert every(removal(endpoint(state=state)), DeleteEndpoints) == [DeleteEndpoints(REASON, ("vpce-database",))]


def test_only_what_carries_our_stacks_tag_for_it_goes() -> None:
    other_stack = OWNER.tags(ARN, "database") | {"groundcrew:stack": "111111111111/us-east-1/other"}
    strangers = (
        foreign("database"),
        others_database(),
        endpoint(id="vpce-stack", tags=other_stack),
        endpoint(id="vpce-half", tags={"groundcrew:environment": ARN}),
        group(id="sg-stack", tags=other_stack),
    )
    assert removal(*strangers).actions == ()
    found = touched(removal(*whole(), *strangers).actions)
    assert not [item.id for item in strangers if f"'{item.id}'" in found]


def test_the_queue_is_withdrawn_from_a_managed_policy_before_the_endpoints_go() -> None:
    shared = managed(allow("arn:aws:sqs:::mine"), ours(QUEUE, OTHER_QUEUE))
    found = removal(*whole(), others_database(), shared)
    assert kinds(found) == ["Revoke", "SetPolicy", "DeleteEndpoints"]
    (change,) = every(found, SetPolicy)
    assert change.endpoint_id == "vpce-sqs"
    assert OTHER_QUEUE in change.document
    assert f'"{QUEUE}"' not in change.document
    assert "arn:aws:sqs:::mine" in change.document


def test_the_last_queue_takes_the_whole_statement_with_it() -> None:
    (change,) = every(removal(*whole(), managed(allow("arn:aws:sqs:::mine"), ours(QUEUE))), SetPolicy)
    assert "Groundcrew" not in change.document


def test_only_the_queue_that_the_gone_environments_own_resources_name_is_withdrawn() -> None:
    stripped = others_database(tags=OWNER.tags(OTHER, "database"))
    shared = managed(ours(OTHER_QUEUE))
    assert every(removal(*whole(), stripped, shared), SetPolicy) == []


def test_the_group_still_names_the_queue_when_the_endpoints_are_gone() -> None:
    """A withdrawal that was refused is tried once more before the last of ours goes."""
    left = group(admissions=frozenset(), tags=OWNER.tags(ARN, "endpoints") | {"groundcrew:queue": QUEUE})
    shared = managed(ours(QUEUE, OTHER_QUEUE), group_ids=frozenset({"sg-sqs"}))
    found = removal(left, others_database(), shared)
    assert kinds(found) == ["SetPolicy", "DeleteGroup"]
    assert sqs_policy.same_policy(every(found, SetPolicy)[0].document, managed(ours(OTHER_QUEUE)).policy)


def test_a_policy_that_nobody_lets_us_manage_stays() -> None:
    unmanaged = managed(ours(QUEUE), id="vpce-sqs")
    unmanaged = endpoint("sqs", policy=unmanaged.policy, tags={}, private_dns=True)
    assert every(removal(*whole(), unmanaged), SetPolicy) == []


def test_the_sqs_endpoint_serves_the_whole_vpc_and_stays() -> None:
    assert not [item.id for item in our_sqs() if item.id in touched(removal(*whole(), *our_sqs()).actions)]


def test_what_somebody_has_tagged_as_ours_does_not_go() -> None:
    tags = OWNER.tags(ARN, "database")
    assert removal(endpoint(service="com.amazonaws.us-east-1.logs"), group(name="theirs")).actions == ()
    assert removal(endpoint(tags=tags | {"AmazonMWAAManaged": "true"})).actions == ()

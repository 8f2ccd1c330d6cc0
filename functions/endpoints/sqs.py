"""The way to the Celery queue: an SQS endpoint that admits it, or a route out.

The queues that an SQS endpoint's policy must admit are read off the tags of our database endpoints in its VPC, never
off the policy itself. So everybody who writes the policy writes the same thing, and two environments that write at
once cannot lose each other's queue: whoever comes second looks again afterwards, sees both endpoints and puts it
right.
"""

import re
from collections.abc import Iterable

from endpoints import sqs_policy
from endpoints.ownership import ENVIRONMENT, MANAGE, PURPOSE, QUEUE, Owner
from endpoints.plan import NEW_GROUP, Action, AdmitVpc, CreateEndpoint, CreateGroup, Finding, SetPolicy, SetTags
from endpoints.policy import Policy
from groundcrew.environment import Environment
from groundcrew.network import Site, VpcEndpoint

QUEUE_ARN = re.compile(r"arn:[\w-]+:sqs:[\w-]+:\d{12}:[\w-]+", re.ASCII)
"""A tag can be written by others: only what names exactly one queue is let into a policy."""

Part = tuple[list[Action], list[Finding]]


def way_to_queue(
    environment: Environment,
    site: Site,
    vpc_id: str,
    ways_out: frozenset[str] | None,
    policy: Policy,
    owner: Owner,
    *,
    database_is_ours: bool,
) -> Part:
    """What the environment needs to reach its queue.

    Args:
        environment: the environment, as MWAA describes it.
        site: the account that owns the VPC.
        vpc_id: the environment's VPC.
        ways_out: the environment's subnets with a route out; None if nobody looked.
        policy: whether an endpoint may be made.
        owner: whose resources are ours.
        database_is_ours: whether a database endpoint of ours carries (or is about to carry) the queue as a tag.
    """
    queue = environment.queue_arn
    if queue is None:
        return [], []
    endpoints = [endpoint for endpoint in site.endpoints if _serves_sqs(endpoint, vpc_id)]
    if not endpoints:
        return _without_endpoint(environment, site, vpc_id, ways_out, policy, owner)
    actions: list[Action] = []
    findings: list[Finding] = []
    for endpoint in endpoints:
        if endpoint.tags.get(MANAGE) == "policy" and database_is_ours and not sqs_policy.denies(endpoint.policy, queue):
            actions += _set_policy(
                endpoint, {*_queues(site, vpc_id, owner), queue}, owner, "the SQS endpoint must admit the queue"
            )
        elif not sqs_policy.may_admit(endpoint.policy, queue):
            findings.append(_not_admitted(endpoint, queue, owner))
    return actions, findings


def _without_endpoint(
    environment: Environment, site: Site, vpc_id: str, ways_out: frozenset[str] | None, policy: Policy, owner: Owner
) -> Part:
    stuck = sorted(set(environment.subnet_ids) - ways_out) if ways_out is not None else []
    if not stuck:
        return [], []
    if policy.sqs == "report":
        finding = Finding(
            cause="NoWayToQueue",
            evidence=f"{vpc_id} has no SQS endpoint with private DNS, and {', '.join(stuck)} no route out",
            remedy="Make an SQS endpoint with private DNS, or a NAT gateway, or allow it by policy (sqs: create).",
        )
        return [], [finding]
    reason = "there is no way to the queue, and the policy says sqs: create"
    tags = owner.tags(environment.arn, "sqs")
    made = [group for group in site.groups if group.vpc_id == vpc_id and group.tags.get(PURPOSE) == "sqs"]
    group_id = made[0].id if made else NEW_GROUP
    actions: list[Action] = []
    if not made:
        description = "Admits the whole VPC to its SQS endpoint"
        actions.append(CreateGroup(reason, f"groundcrew-sqs-{vpc_id}", description, vpc_id, tags))
    actions.append(AdmitVpc(reason, group_id, vpc_id, 443))
    service = f"com.amazonaws.{environment.ref.region}.sqs"
    named = tags | {"Name": f"groundcrew-sqs-{vpc_id}"}
    dead = tuple(
        sorted(endpoint.id for endpoint in site.endpoints if endpoint.service == service and not endpoint.counts)
    )
    actions.append(
        CreateEndpoint(
            reason, "sqs", service, vpc_id, tuple(sorted(environment.subnet_ids)), group_id, True, named, dead
        )
    )
    return actions, []


def withdraw(arn: str, site: Site, owner: Owner) -> list[Action]:
    """Take the queue of an environment that is gone out of the policies we manage; all other queues stay."""
    actions: list[Action] = []
    for endpoint in site.endpoints:
        if _serves_sqs(endpoint, endpoint.vpc_id) and endpoint.tags.get(MANAGE) == "policy":
            queues = _queues(site, endpoint.vpc_id, owner, gone=arn)
            actions += _set_policy(endpoint, queues, owner, "the environment is gone, its queue need not be admitted")
    return actions


def hand_over(arn: str, site: Site, owner: Owner) -> tuple[set[str], list[Action]]:
    """An SQS endpoint of ours serves the whole VPC: it passes to another environment of ours there, if there is one.

    Returns:
        The ids of endpoints and groups that stay, and the actions that pass them on.
    """
    staying: set[str] = set()
    actions: list[Action] = []
    for endpoint in site.endpoints:
        if not (owner.owns(endpoint, arn) and endpoint.tags.get(PURPOSE) == "sqs" and endpoint.counts):
            continue
        heirs = sorted(other.tags[ENVIRONMENT] for other in _databases(site, endpoint.vpc_id, owner, gone=arn))
        if heirs:
            groups = {group.id for group in site.groups if group.id in endpoint.group_ids}
            staying |= {endpoint.id, *groups}
            reason = "the SQS endpoint serves other environments in its VPC"
            actions.append(SetTags(reason, (endpoint.id, *sorted(groups)), {ENVIRONMENT: heirs[0]}))
    return staying, actions


def _serves_sqs(endpoint: VpcEndpoint, vpc_id: str) -> bool:
    """An endpoint without private DNS captures nothing: nobody's calls to SQS go through it unless told to."""
    return endpoint.vpc_id == vpc_id and endpoint.service.endswith(".sqs") and endpoint.private_dns and endpoint.counts


def _databases(site: Site, vpc_id: str, owner: Owner, gone: str | None = None) -> list[VpcEndpoint]:
    return [
        endpoint
        for endpoint in site.endpoints
        if owner.made(endpoint)
        and endpoint.vpc_id == vpc_id
        and endpoint.tags.get(PURPOSE) == "database"
        and endpoint.counts
        and endpoint.tags.get(ENVIRONMENT, gone) != gone
    ]


def _queues(site: Site, vpc_id: str, owner: Owner, gone: str | None = None) -> set[str]:
    tagged = (endpoint.tags.get(QUEUE, "") for endpoint in _databases(site, vpc_id, owner, gone))
    return {queue for queue in tagged if QUEUE_ARN.fullmatch(queue)}


def _set_policy(endpoint: VpcEndpoint, queues: Iterable[str], owner: Owner, reason: str) -> list[Action]:
    document = sqs_policy.managed(endpoint.policy, owner.stack_tag, queues)
    return [] if document is None else [SetPolicy(reason, endpoint.id, document)]


def _not_admitted(endpoint: VpcEndpoint, queue: str, owner: Owner) -> Finding:
    if sqs_policy.denies(endpoint.policy, queue):
        return Finding(
            "QueueDenied",
            f"a Deny in the policy of {endpoint.id} covers {queue}",
            f"Change that statement of {endpoint.id}.",
        )
    statement = sqs_policy.as_text(sqs_policy.statement(owner.stack_tag, [queue]))
    return Finding(
        cause="QueueNotAdmitted",
        evidence=f"the policy of {endpoint.id}, which captures the VPC's calls to SQS, does not admit {queue}",
        remedy=f"Add this statement to the policy of {endpoint.id}: {statement} - or tag the endpoint {MANAGE}=policy.",
    )

"""The way to the Celery queue: an SQS endpoint that admits it, or a route out.

The queues in a policy that we manage are read off the tags of our database endpoints in the VPC, besides those that
are in it already. Whoever writes looks again afterwards; so if two environments write at once and one of them is
lost, it sees that and adds itself again. A queue is taken out only when its environment is proven to be gone.
"""

import re

from endpoints import sqs_policy
from endpoints.ownership import ENVIRONMENT, MANAGE, PURPOSE, QUEUE, Owner
from endpoints.plan import NEW_GROUP, Action, AdmitVpc, CreateEndpoint, CreateGroup, Finding, SetPolicy
from endpoints.policy import Policy
from groundcrew.environment import Environment
from groundcrew.network import SecurityGroup, Site, VpcEndpoint

Part = tuple[list[Action], list[Finding]]


def captures_sqs(endpoint: VpcEndpoint, vpc_id: str) -> bool:
    """Whether an endpoint takes the VPC's calls to SQS; without private DNS it takes none that is not sent to it by
    name.
    """
    return endpoint.vpc_id == vpc_id and endpoint.service.endswith(".sqs") and endpoint.private_dns and endpoint.counts


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
        database_is_ours: whether a database endpoint of ours carries (or is about to carry) the queue as a tag, by
        which it can
            be withdrawn one day.
    """
    queue = environment.queue_arn
    if queue is None:
        return [], []
    endpoints = [endpoint for endpoint in site.endpoints if captures_sqs(endpoint, vpc_id)]
    if not endpoints:
        return _without_endpoint(environment, vpc_id, ways_out, policy, owner)
    actions: list[Action] = []
    findings: list[Finding] = []
    for endpoint in endpoints:
        if _managed(endpoint) and database_is_ours and not sqs_policy.denies(endpoint.policy, queue):
            queues = {queue, *_tagged_queues(site, vpc_id, owner, environment.ref.region)}
            document = sqs_policy.admitting(endpoint.policy, owner.stack_tag, queues)
            if document is not None:
                actions.append(
                    SetPolicy("the SQS endpoint must admit the queue", endpoint.id, document, endpoint.policy)
                )
        elif not sqs_policy.may_admit(endpoint.policy, queue):
            findings.append(_not_admitted(endpoint, queue, owner))
    return actions, findings


def _without_endpoint(
    environment: Environment, vpc_id: str, ways_out: frozenset[str] | None, policy: Policy, owner: Owner
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
    name = f"groundcrew-sqs-{vpc_id}"
    tags = owner.shared_tags("sqs")
    service = owner.service(environment.ref.region, "sqs")
    subnets = tuple(sorted(environment.subnet_ids))
    return [
        CreateGroup(reason, name, "Admits the whole VPC to its SQS endpoint", vpc_id, tags),
        AdmitVpc(reason, NEW_GROUP, vpc_id, 443),
        CreateEndpoint(reason, "sqs", service, vpc_id, subnets, NEW_GROUP, True, tags | {"Name": name}),
    ], []


def withdraw(arn: str, site: Site, owner: Owner) -> list[Action]:
    """Take the queue of an environment that is gone out of the policies we manage; all other queues stay.

    The group names it as well: it goes after the endpoints, so a withdrawal that was refused is tried once more.
    """
    resources: tuple[VpcEndpoint | SecurityGroup, ...] = (*site.endpoints, *site.groups)
    tagged = [resource for resource in resources if owner.made(resource) and QUEUE in resource.tags]
    queues = {resource.tags[QUEUE] for resource in tagged if owner.owns(resource, arn)}
    # Tags can be written by others: a queue that is another environment's as well is not this one's to take.
    queues -= {resource.tags[QUEUE] for resource in tagged if not owner.owns(resource, arn)}
    actions: list[Action] = []
    for endpoint in site.endpoints:
        if captures_sqs(endpoint, endpoint.vpc_id) and _managed(endpoint):
            document = sqs_policy.withdrawing(endpoint.policy, owner.stack_tag, queues)
            if document is not None:
                reason = "the environment is gone, its queue need not be admitted"
                actions.append(SetPolicy(reason, endpoint.id, document, endpoint.policy))
    return actions


def _managed(endpoint: VpcEndpoint) -> bool:
    return endpoint.tags.get(MANAGE) == "policy"


def _tagged_queues(site: Site, vpc_id: str, owner: Owner, region: str) -> set[str]:
    """The queues of our environments in a VPC; a tag can be written by others, so only what names one queue of MWAA's
    counts.
    """
    queue = re.compile(
        rf"arn:{re.escape(owner.partition)}:sqs:{re.escape(region)}:[0-9]{{12}}:airflow-celery-[0-9a-zA-Z_-]+"
    )
    return {
        endpoint.tags[QUEUE]
        for endpoint in site.endpoints
        if owner.made(endpoint)
        and endpoint.vpc_id == vpc_id
        and endpoint.tags.get(PURPOSE) == "database"
        and ENVIRONMENT in endpoint.tags
        and endpoint.counts
        and queue.fullmatch(endpoint.tags.get(QUEUE, ""))
    }


def _not_admitted(endpoint: VpcEndpoint, queue: str, owner: Owner) -> Finding:
    if sqs_policy.denies(endpoint.policy, queue):
        return Finding(
            cause="QueueDenied",
            evidence=f"a Deny in the policy of {endpoint.id} covers {queue}",
            remedy=f"Change that statement of {endpoint.id}.",
        )
    statement = sqs_policy.as_text(sqs_policy.statement(owner.stack_tag, [queue]))
    return Finding(
        cause="QueueNotAdmitted",
        evidence=f"the policy of {endpoint.id}, which captures the VPC's calls to SQS, does not admit {queue}",
        remedy=f"Add this statement to the policy of {endpoint.id}: {statement} - or tag the endpoint {MANAGE}=policy.",
    )

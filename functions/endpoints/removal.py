"""Decide what goes when an environment has gone: (environment, site) → a plan. Pure."""

from endpoints.ownership import PURPOSE, Owner
from endpoints.plan import Action, DeleteEndpoints, DeleteGroup, Plan, Revoke
from endpoints.sqs import withdraw
from groundcrew.environment import EnvironmentRef
from groundcrew.network import Site


def plan_removal(environment: EnvironmentRef, site: Site, owner: Owner, reason: str) -> Plan:
    """Plan for a site that an environment is proven to have left: take away what is ours for it, and only that.

    References to the environment's groups go first: while they stand, its account cannot delete these groups
    (``DependencyViolation``). A group goes last, when no endpoint uses it any more; until then the plan waits. An SQS
    endpoint serves the whole VPC, so it stays.
    """
    arn = environment.arn(owner.partition)
    groups = [group for group in site.groups if owner.owns(group, arn)]
    ours = [
        endpoint for endpoint in site.endpoints if owner.owns(endpoint, arn) and endpoint.tags.get(PURPOSE) != "sqs"
    ]
    actions: list[Action] = [Revoke(reason, group.id, group.admissions) for group in groups if group.admissions]
    actions += withdraw(arn, site, owner)
    going = sorted(endpoint.id for endpoint in ours if endpoint.state not in {"deleting", "deleted"})
    if going:
        actions.append(DeleteEndpoints(reason, tuple(going)))
    used = {group_id for endpoint in site.endpoints if endpoint.state != "deleted" for group_id in endpoint.group_ids}
    actions += [DeleteGroup(reason, group.id) for group in groups if group.id not in used]
    waits = any(group.id in used for group in groups)
    left = "nothing of ours is left" if not (actions or waits) else reason
    return Plan(environment, site.account, left, tuple(actions), wait=waits, created=site.created)

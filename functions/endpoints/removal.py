"""Decide what goes when an environment has gone: (environment, site) → a plan. Pure."""

from endpoints.ownership import Owner
from endpoints.plan import Action, DeleteEndpoints, DeleteGroup, Plan, Revoke
from endpoints.sqs import hand_over, withdraw
from groundcrew.environment import EnvironmentRef
from groundcrew.network import Site


def plan_removal(environment: EnvironmentRef, site: Site, owner: Owner, reason: str) -> Plan:
    """Plan for a site that an environment is proven to have left: take away what is ours for it, and only that.

    References to the environment's groups go first: while they stand, its account cannot delete these groups
    (``DependencyViolation``). A group goes last, when no endpoint uses it any more; until then the plan waits.
    """
    arn = environment.arn(owner.partition)
    groups = [group for group in site.groups if owner.owns(group, arn)]
    actions: list[Action] = [Revoke(reason, group.id, group.admissions) for group in groups if group.admissions]
    staying, passed_on = hand_over(arn, site, owner)
    actions += passed_on
    actions += withdraw(arn, site, owner)
    going = sorted(
        e.id
        for e in site.endpoints
        if owner.owns(e, arn) and e.id not in staying and e.state not in {"deleting", "deleted"}
    )
    if going:
        actions.append(DeleteEndpoints(reason, tuple(going)))
    used = {group_id for endpoint in site.endpoints if endpoint.state != "deleted" for group_id in endpoint.group_ids}
    leaving = [group.id for group in groups if group.id not in staying]
    actions += [DeleteGroup(reason, group_id) for group_id in leaving if group_id not in used]
    waits = any(group_id in used for group_id in leaving)
    return Plan(
        environment, site.account, reason if actions or waits else "nothing of ours is left", tuple(actions), wait=waits
    )

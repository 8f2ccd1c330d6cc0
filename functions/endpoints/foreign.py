"""What is wrong with an endpoint that somebody else made for an environment; it is never changed, only reported.
Pure.
"""

from endpoints.plan import Finding
from endpoints.states import NOT_ACCEPTED, not_accepted
from groundcrew.environment import Environment
from groundcrew.network import Admission, Site, VpcEndpoint


def what_is_wrong(endpoint: VpcEndpoint, environment: Environment, site: Site) -> list[Finding]:
    """Why MWAA may go on waiting although the endpoint exists; what is in doubt is not held against it."""
    wrong = []
    if endpoint.state not in {"available", "pending", NOT_ACCEPTED}:
        wrong.append(("EndpointNotAvailable", f"is {endpoint.state}"))
    missing = sorted(set(environment.subnet_ids) - endpoint.subnet_ids)
    if missing:
        wrong.append(("WrongSubnets", f"is not in {', '.join(missing)}"))
    if site.foreign_groups and not _may_admit(endpoint, environment, site):
        wrong.append(("GroupDoesNotAdmit", "has no group that admits the environment's groups"))
    findings = [not_accepted(endpoint)] if endpoint.state == NOT_ACCEPTED else []
    return findings + [
        Finding(
            cause=cause,
            evidence=f"{endpoint.id} for {endpoint.service}, which Groundcrew did not make, {what}",
            remedy=f"Correct {endpoint.id}, or delete it: Groundcrew then makes one.",
        )
        for cause, what in wrong
    ]


def _may_admit(endpoint: VpcEndpoint, environment: Environment, site: Site) -> bool:
    """Whether the endpoint's groups admit all groups of the environment; address ranges may, whoever they are."""
    groups = [group for group in site.foreign_groups if group.id in endpoint.group_ids]
    if any(group.ranges for group in groups):
        return True
    rules = [rule for group in groups for rule in group.admissions]
    port = 5432 if endpoint.service == environment.database_service else 443
    needed = [Admission(environment.ref.account, group, "tcp", port, port) for group in environment.security_group_ids]
    return all(any(rule.covers(need) for rule in rules) for need in needed)

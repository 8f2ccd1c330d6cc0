"""Whom the group of an environment's endpoints must let in. Pure."""

from collections.abc import Iterable

from endpoints.policy import Policy
from groundcrew.environment import Environment
from groundcrew.network import Admission, AdmittedRange, Subnet

PORTS = (443, 5432)
"""Of the web server and the database (guide L7413-7432)."""


def wanted_admissions(environment: Environment, policy: Policy) -> frozenset[Admission]:
    """Who must be let in: every group of the environment; all traffic (guide L8244), or the two ports in use (guide
    L7413-7432).
    """
    account = environment.ref.account
    if policy.admit == "all-traffic":
        return frozenset(Admission(account, group) for group in environment.security_group_ids)
    return frozenset(
        Admission(account, group, "tcp", port, port) for group in environment.security_group_ids for port in PORTS
    )


def ranges_instead(subnets: Iterable[Subnet], policy: Policy) -> frozenset[AdmittedRange]:
    """Who must be let in where EC2 refuses to name a participant's groups in a rule of the owner's group.

    These ranges admit everybody in the environment's subnets, so they are second best. The VPC user guide says of
    participants only that they may name an owner's groups
    (https://docs.aws.amazon.com/vpc/latest/userguide/vpc-sharing-service-behavior.html).
    """
    blocks = sorted(block for subnet in subnets for block in subnet.blocks)
    if policy.admit == "all-traffic":
        return frozenset(AdmittedRange(block) for block in blocks)
    return frozenset(AdmittedRange(block, "tcp", port, port) for block in blocks for port in PORTS)

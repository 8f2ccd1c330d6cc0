"""Which addresses an endpoint gets. Pure.

EC2 makes an IPv4 endpoint unless it is told otherwise. ``ipv6`` is for subnets that have IPv6 only, ``dualstack`` for
subnets that have both, if the service accepts both
(https://docs.aws.amazon.com/vpc/latest/privatelink/create-interface-endpoint.html).
"""

from collections.abc import Iterable
from dataclasses import replace

from endpoints.plan import Action, CreateEndpoint
from groundcrew.network import Subnet

BOTH = frozenset({"ipv4", "ipv6"})


def only(subnets: Iterable[Subnet], families: frozenset[str]) -> bool:
    """Whether there are subnets, and all of them have these families of addresses and no other."""
    return {subnet.families for subnet in subnets} == {families}


def with_address_type(action: Action, subnets: Iterable[Subnet], dual_stack: frozenset[str]) -> Action:
    """The action, and if it makes an endpoint in subnets that are not IPv4, the type of its addresses.

    Args:
        action: any action.
        subnets: the environment's.
        dual_stack: the services that accept IPv4 and IPv6. An SQS endpoint is not among them: it serves the whole VPC,
            whose other subnets may be IPv4.
    """
    subnets = tuple(subnets)
    if not isinstance(action, CreateEndpoint):
        return action
    if only(subnets, frozenset({"ipv6"})):
        return replace(action, address_type="ipv6")
    if only(subnets, BOTH) and action.service in dual_stack:
        return replace(action, address_type="dualstack")
    return action

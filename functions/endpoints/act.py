"""Carry a plan out, action by action; every action may be repeated, so a plan that was cut short is simply made and
done again.
"""

import hashlib
from typing import Any, assert_never

from endpoints.plan import (
    NEW_GROUP,
    Action,
    Admit,
    AdmitVpc,
    CorrectEndpoint,
    CreateEndpoint,
    CreateGroup,
    DeleteEndpoints,
    DeleteGroup,
    Plan,
    Revoke,
    SetPolicy,
    SetTags,
)
from groundcrew.aws.network import Network, ObservedNetwork
from groundcrew.errors import AlreadyExists, PermanentError, TransientError
from groundcrew.observability import count, logger

TRIES = 3
"""How often a name or a client token that is taken is replaced by the next one."""


def carry_out(plan: Plan, network: Network, observed: ObservedNetwork) -> None:
    """Do what a plan says.

    Args:
        plan: the actions, in order.
        network: the owner's account, to change it.
        observed: the same account, to look.

    Raises:
        PermanentError: AWS refuses an action and would do so again.
        TransientError: AWS is busy, or somebody changed the same resource meanwhile.
    """
    new_group = ""
    for action in plan.actions:
        logger.info("acting", action=type(action).__name__, reason=action.reason)
        new_group = _do(action, network, observed, new_group) or new_group
        count(type(action).__name__)


def _do(action: Action, network: Network, observed: ObservedNetwork, new_group: str) -> str | None:
    """Do one action; returns the id of a group that it made."""
    match action:
        case CreateGroup():
            return _create_group(action, network, observed)
        case Admit():
            network.admit(_resolve(action.group_id, new_group), action.admissions)
        case AdmitVpc():
            network.admit_ranges(_resolve(action.group_id, new_group), observed.cidr_blocks(action.vpc_id), action.port)
        case Revoke():
            network.revoke(action.group_id, action.admissions)
        case CreateEndpoint():
            _create_endpoint(action, network, _resolve(action.group_id, new_group))
        case CorrectEndpoint():
            network.modify_endpoint(action.endpoint_id, _changes(action, new_group))
        case SetPolicy():
            network.modify_endpoint(action.endpoint_id, {"PolicyDocument": action.document})
        case SetTags():
            network.tag(action.ids, action.tags)
        case DeleteEndpoints():
            network.delete_endpoints(action.ids)
        case DeleteGroup():
            network.delete_group(action.group_id)
        case _:  # pragma: no cover
            assert_never(action)
    return None


def _resolve(group_id: str, new_group: str) -> str:
    return new_group if group_id == NEW_GROUP else group_id


def _create_group(action: CreateGroup, network: Network, observed: ObservedNetwork) -> str:
    """Make the group; if its name is taken, by another worker or by a group that lost its tags, use that one or the
    next name.
    """
    for name in (action.name, *(f"{action.name}-{number}" for number in range(2, TRIES + 1))):
        try:
            return network.create_group(name, action.description, action.vpc_id, action.tags)
        except AlreadyExists as error:
            taken = observed.groups_by_name(name, action.vpc_id)
            if not taken:
                raise TransientError(f"{error.what}: EC2 does not show it yet", cause=error.cause) from error
            same = [group for group in taken if action.tags.items() <= group.tags.items()]
            if same:
                return same[0].id
    raise PermanentError(
        f"{action.vpc_id} has groups named {action.name} that do not carry Groundcrew's tags",
        cause="NameTaken",
        remedy="Give these groups their tags back, or delete them.",
    )


def _create_endpoint(action: CreateEndpoint, network: Network, group_id: str) -> None:
    """Make the endpoint.

    The client token is derived from what is asked for, so that a repeated call makes no second endpoint. If AWS
    answers with an endpoint that no longer counts, the token belongs to that one, and its id makes the next token.
    """
    dead = list(action.dead_ids)
    request: dict[str, Any] = {
        "VpcId": action.vpc_id,
        "ServiceName": action.service,
        "SubnetIds": list(action.subnet_ids),
        "SecurityGroupIds": [group_id],
    }
    if action.private_dns is not None:
        request["PrivateDnsEnabled"] = action.private_dns
    for _ in range(TRIES):
        token = hashlib.sha256(
            repr((sorted(request.items()), sorted(action.tags.items()), sorted(dead))).encode()
        ).hexdigest()[:64]
        try:
            made = network.create_endpoint(request | {"ClientToken": token}, action.tags)
        except PermanentError as error:
            raise _explained(error, action) from error
        if made.counts:
            return
        dead.append(made.id)
    raise TransientError(f"AWS answers with endpoints for {action.service} that are gone", cause="StaleClientToken")


def _explained(error: PermanentError, action: CreateEndpoint) -> PermanentError:
    remedies = {
        # guide L8277
        "InvalidServiceName": "MWAA offers its services to the owner of the environment's subnets only: check it.",
        "VpcEndpointLimitExceeded": "Raise the quota of interface endpoints per VPC, or delete some of that VPC's.",
    }
    return PermanentError(
        f"the {action.purpose} endpoint: {error.what}",
        cause=error.cause,
        remedy=remedies.get(error.cause, error.remedy),
    )


def _changes(action: CorrectEndpoint, new_group: str) -> dict[str, Any]:
    changes = {
        "AddSubnetIds": list(action.add_subnet_ids),
        "RemoveSubnetIds": list(action.remove_subnet_ids),
        "AddSecurityGroupIds": [_resolve(group_id, new_group) for group_id in action.add_group_ids],
        "RemoveSecurityGroupIds": list(action.remove_group_ids),
    }
    return {key: value for key, value in changes.items() if value}

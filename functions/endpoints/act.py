"""Carry a plan out, action by action; every action may be repeated, so a plan that was cut short is simply made and
done again.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

from endpoints.causes import explained
from endpoints.ownership import PURPOSE
from endpoints.plan import (
    NEW_GROUP,
    Action,
    Admit,
    AdmitVpc,
    Change,
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
from endpoints.sqs_policy import same_policy
from groundcrew.aws.network import Network, ObservedNetwork
from groundcrew.errors import AlreadyExists, NotFound, PermanentError, TransientError
from groundcrew.network import AdmittedRange
from groundcrew.observability import count, logger

TRIES = 3
"""How often a name that is taken is replaced by the next one."""

TOKENS = 8
"""How often a client token is. An endpoint that fails uses one up, and each sweep makes it anew: five times an hour."""

NEW_SECONDS = 300
"""How long after its creation IAM may not know a resource's tags. EC2 names no time: "a propagation delay"
(https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html)."""


def carry_out(plan: Plan, network: Network, observed: ObservedNetwork) -> list[PermanentError]:
    """Do what a plan says; what cannot be done stops only what depends on it.

    Args:
        plan: the actions, in order.
        network: the owner's account, to change it.
        observed: the same account, to look.

    Returns:
        What AWS refuses, and would refuse again.

    Raises:
        TransientError: AWS is busy, somebody changed the same resource meanwhile, or a call is refused on what was
            made a moment ago.
    """
    progress = _Progress()
    for action in plan.actions:
        if isinstance(action, CreateGroup):
            progress.new_group, progress.made_now = None, False
        if progress.prevents(action):
            continue
        logger.info("acting", action=type(action).__name__, reason=action.reason)
        try:
            if isinstance(action, CreateGroup):
                progress.new_group, progress.made_now = _create_group(action, network, observed)
            else:
                _do(action, network, observed, progress.new_group or "")
        except NotFound as error:
            # EC2 may know a new resource only after a while
            # (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html).
            raise TransientError(error.what, cause=error.cause) from error
        except PermanentError as error:
            new = names_something_new(action, plan.created, time.time(), made_now=progress.made_now)
            if new and error.cause == "UnauthorizedOperation":
                raise TransientError(error.what, cause=error.cause, remedy=error.remedy) from error
            progress.refuse(action, explained(error))
        else:
            _count(action)
    return progress.refused


def names_something_new(action: Action, created: Mapping[str, datetime], now: float, *, made_now: bool) -> bool:
    """Whether an action is about something that was made a moment ago.

    The network role may change what carries the hub's tag, and IAM may not know a new resource's tags yet. A group is
    new only in the run that makes it, for EC2 does not say when a group was made: a refusal that lasts is announced by
    the next run, which finds the group.

    Args:
        action: the action.
        created: when the endpoints of the account were made, by their ids.
        now: the time, in seconds since the epoch.
        made_now: whether this run made the group that ``NEW_GROUP`` stands for.
    """
    match action:
        case Admit() | AdmitVpc() | CreateEndpoint():
            return made_now and action.group_id == NEW_GROUP
        case CorrectEndpoint() | SetPolicy():
            ids: tuple[str, ...] = (action.endpoint_id,)
        case SetTags() | DeleteEndpoints():
            ids = action.ids
        case _:
            return False
    # A clock may be fast or slow.
    return any(abs(now - created[name].timestamp()) < NEW_SECONDS for name in ids if name in created)


@dataclass(slots=True)
class _Progress:
    """How far a plan has got: the group of its last ``CreateGroup`` (and whether that was there already), and what was
    refused.
    """

    new_group: str | None = None
    made_now: bool = False
    refused: list[PermanentError] = field(default_factory=list)
    no_way_to_queue: bool = False

    def prevents(self, action: Action) -> bool:
        """Whether an action depends on one that was refused."""
        if isinstance(action, CreateEndpoint) and self.no_way_to_queue:
            return True
        return getattr(action, "group_id", None) == NEW_GROUP and self.new_group is None

    def refuse(self, action: Action, error: PermanentError) -> None:
        self.refused.append(error)
        # Where the name is resolved privately there is a way already.
        if _is_way_to_queue(action) and error.cause != "PrivateDnsConflict":
            self.no_way_to_queue = True


def _count(action: Action) -> None:
    if isinstance(action, CreateEndpoint):
        count("EndpointsCreated")
    elif isinstance(action, DeleteEndpoints):
        count("EndpointsDeleted", len(action.ids))


def _is_way_to_queue(action: Action) -> bool:
    """Whether endpoints must not be made if an action is refused, for it opens the way to the queue.

    With all its endpoints an environment would start, unable to reach its queue, and nobody would look again. Behind a
    group that does not admit the VPC, an SQS endpoint would cut everybody in it off.
    """
    match action:
        case SetPolicy() | AdmitVpc():
            return True
        case CreateGroup():
            return action.tags.get(PURPOSE) == "sqs"
        case CreateEndpoint():
            return action.purpose == "sqs"
        case _:
            return False


def _do(action: Change, network: Network, observed: ObservedNetwork, new_group: str) -> None:
    match action:
        case Admit():
            _admit(action, network, _resolve(action.group_id, new_group))
        case AdmitVpc():
            blocks = observed.cidr_blocks(action.vpc_id)
            ranges = [AdmittedRange(block, "tcp", action.port, action.port) for block in blocks]
            network.admit_ranges(_resolve(action.group_id, new_group), ranges)
        case Revoke():
            network.revoke(action.group_id, action.admissions, action.ranges)
        case CreateEndpoint():
            _create_endpoint(action, network, _resolve(action.group_id, new_group))
        case CorrectEndpoint():
            network.modify_endpoint(action.endpoint_id, _changes(action, new_group))
        case SetPolicy():
            if not same_policy(observed.policy(action.endpoint_id), action.base):
                raise TransientError(f"the policy of {action.endpoint_id} was changed meanwhile", cause="PolicyChanged")
            network.modify_endpoint(action.endpoint_id, {"PolicyDocument": action.document})
        case SetTags():
            network.tag(action.ids, action.tags)
        case DeleteEndpoints():
            network.delete_endpoints(action.ids)
        case DeleteGroup():
            network.delete_group(action.group_id)
        case _:  # pragma: no cover
            assert_never(action)


def _resolve(group_id: str, new_group: str) -> str:
    return new_group if group_id == NEW_GROUP else group_id


def _admit(action: Admit, network: Network, group_id: str) -> None:
    """Let groups in; if EC2 does not know the groups that the rules name, what is planned instead."""
    try:
        network.admit(group_id, action.admissions)
    except NotFound as error:
        # EC2 may not know the group that this run made; one that a look has found, it knows.
        if action.group_id == NEW_GROUP or not action.instead:
            raise
        logger.warning("the environment's subnets are admitted instead of its groups", group=group_id, error=error.what)
        network.admit_ranges(group_id, action.instead)


def _create_group(action: CreateGroup, network: Network, observed: ObservedNetwork) -> tuple[str, bool]:
    """Make the group; if its name is taken, by another worker or by a group that lost its tags, use that one or the
    next name. Returns its id, and whether it was made now.
    """
    for name in (action.name, *(f"{action.name}-{number}" for number in range(2, TRIES + 1))):
        try:
            return network.create_group(name, action.description, action.vpc_id, action.tags), True
        except AlreadyExists as error:
            taken = observed.groups_by_name(name, action.vpc_id)
            if not taken:
                raise TransientError(f"{error.what}: EC2 does not show it yet", cause=error.cause) from error
            same = [group for group in taken if action.tags.items() <= group.tags.items()]
            if same:
                return same[0].id, False
    raise PermanentError(
        f"{action.vpc_id} has groups named {action.name} that do not carry Groundcrew's tags",
        cause="NameTaken",
        remedy="Give these groups their tags back, or delete them.",
    )


def _create_endpoint(action: CreateEndpoint, network: Network, group_id: str) -> None:
    """Make the endpoint.

    The client token is derived from what is asked for, so that a repeated call makes no second endpoint. If AWS
    answers with an endpoint that no longer counts, the token belongs to that one, and its id makes the next token.
    The hour is part of it too: should AWS keep answering with an endpoint that is gone, that ends within the hour.
    """
    request: dict[str, Any] = {
        "VpcId": action.vpc_id,
        "ServiceName": action.service,
        "SubnetIds": list(action.subnet_ids),
        "SecurityGroupIds": [group_id],
    }
    if action.private_dns is not None:
        request["PrivateDnsEnabled"] = action.private_dns
    if action.address_type is not None:
        request["IpAddressType"] = action.address_type
    seed = [sorted(request.items()), sorted(action.tags.items()), int(time.time() // 3600)]
    dead: list[str] = []
    for _ in range(TOKENS):
        token = hashlib.sha256(repr([*seed, dead]).encode()).hexdigest()
        made = network.create_endpoint(request | {"ClientToken": token}, action.tags)
        if made.counts:
            return
        dead.append(made.id)
    raise TransientError(f"AWS answers with endpoints for {action.service} that are gone", cause="StaleClientToken")


def _changes(action: CorrectEndpoint, new_group: str) -> dict[str, Any]:
    changes = {
        "AddSubnetIds": list(action.add_subnet_ids),
        "RemoveSubnetIds": list(action.remove_subnet_ids),
        "AddSecurityGroupIds": [_resolve(group_id, new_group) for group_id in action.add_group_ids],
        "RemoveSecurityGroupIds": list(action.remove_group_ids),
    }
    return {key: value for key, value in changes.items() if value}

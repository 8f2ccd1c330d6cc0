"""A plan: typed actions, each with a reason, and what a person has to know."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.network import Admission, AdmittedRange

Purpose = Literal["database", "webserver", "sqs"]

NEW_GROUP = "(the group made by this plan)"
"""Stands for the id of a group that an earlier action of the same plan makes."""


@dataclass(frozen=True, slots=True)
class CreateGroup:
    """Make a security group, in the account that owns the VPC."""

    reason: str
    name: str
    description: str
    vpc_id: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Admit:
    """Let security groups of the environment in; ``instead``, should EC2 not let a rule name them."""

    reason: str
    group_id: str
    admissions: frozenset[Admission]
    instead: frozenset[AdmittedRange] = frozenset()


@dataclass(frozen=True, slots=True)
class AdmitVpc:
    """Let the whole VPC in on a port: an endpoint with private DNS serves everybody in it."""

    reason: str
    group_id: str
    vpc_id: str
    port: int


@dataclass(frozen=True, slots=True)
class Revoke:
    """No longer let these groups in, nor these ranges."""

    reason: str
    group_id: str
    admissions: frozenset[Admission]
    ranges: frozenset[AdmittedRange] = frozenset()


@dataclass(frozen=True, slots=True)
class CreateEndpoint:
    """Make an interface endpoint; ``private_dns`` None leaves it to AWS, as AWS's own procedure does for MWAA's
    services, and so does ``address_type`` None: IPv4.
    """

    reason: str
    purpose: Purpose
    service: str
    vpc_id: str
    subnet_ids: tuple[str, ...]
    group_id: str
    private_dns: bool | None
    tags: Mapping[str, str]
    address_type: Literal["ipv6", "dualstack"] | None = None


@dataclass(frozen=True, slots=True)
class CorrectEndpoint:
    """Put an endpoint of ours into the right subnets and behind the right group."""

    reason: str
    endpoint_id: str
    add_subnet_ids: tuple[str, ...] = ()
    remove_subnet_ids: tuple[str, ...] = ()
    add_group_ids: tuple[str, ...] = ()
    remove_group_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """Write the policy document of an endpoint whose owner lets us manage it; ``base`` is what the plan was made
    from.
    """

    reason: str
    endpoint_id: str
    document: str
    base: str


@dataclass(frozen=True, slots=True)
class SetTags:
    """Write tags on resources of ours."""

    reason: str
    ids: tuple[str, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DeleteEndpoints:
    """Delete endpoints of ours."""

    reason: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeleteGroup:
    """Delete a group of ours; tried again later while something uses it."""

    reason: str
    group_id: str


Change = (
    Admit | AdmitVpc | Revoke | CreateEndpoint | CorrectEndpoint | SetPolicy | SetTags | DeleteEndpoints | DeleteGroup
)
Action = CreateGroup | Change


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that only a person can put right."""

    cause: str
    evidence: str
    remedy: str

    @classmethod
    def of(cls, error: PermanentError) -> Self:
        """A permanent error, as the finding that it is."""
        return cls(error.cause, error.what, error.remedy)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for an environment in one account that owns VPCs, and why.

    ``wait``: it has to be looked at again. ``waits_for``: the cause, should that take too long. ``repeats``: it does
    again what has failed before, which only a sweep does once more. ``ready``: all that
    MWAA waits for is available; ``serving`` are the endpoints' ids. ``ruled_out``: causes that a look has shown not
    to be the one. ``created``: when the endpoints of the account were made, by their ids.
    ``notes``: what is as it should be, and is worth knowing.
    """

    environment: EnvironmentRef
    account: str
    reason: str
    actions: tuple[Action, ...] = ()
    findings: tuple[Finding, ...] = ()
    wait: bool = False
    waits_for: str = ""
    repeats: bool = False
    ready: bool = False
    serving: Mapping[Purpose, str] = field(default_factory=dict)
    ruled_out: tuple[str, ...] = ()
    created: Mapping[str, datetime] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def look_again(self) -> bool:
        """Whether the job is unfinished: something was started, or has yet to come."""
        return self.wait or (bool(self.actions) and not self.repeats)

    def as_detail(self) -> dict[str, Any]:
        """The plan as JSON."""
        return {
            "account": self.account,
            "reason": self.reason,
            "actions": [{"action": type(action).__name__, **_plain(asdict(action))} for action in self.actions],
            "findings": [asdict(finding) for finding in self.findings],
            "wait": self.wait,
            "ready": self.ready,
            "serving": dict(self.serving),
            "ruled_out": list(self.ruled_out),
            "notes": list(self.notes),
        }


def _plain(value: Any) -> Any:
    if isinstance(value, Admission | AdmittedRange):  # asdict() does not look into sets
        return asdict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return [_plain(item) for item in sorted(value, key=repr)]
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value

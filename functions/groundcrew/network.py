"""The VPC resources Groundcrew reads and makes, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

ALL_TRAFFIC = "-1"
"""The protocol of a rule for all traffic (EC2 ``IpPermission``)."""

NOT_THERE = frozenset({"deleting", "deleted", "failed", "rejected", "expired"})
"""Endpoint states in which an endpoint does not serve and never will (EC2 ``State`` of a VPC endpoint, lower case)."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet as an account sees it; ``owner`` is the account of the VPC, ``blocks`` are its address ranges."""

    id: str
    vpc_id: str
    owner: str
    blocks: frozenset[str] = frozenset()

    @property
    def families(self) -> frozenset[str]:
        """``ipv4``, ``ipv6``, or both in a dual-stack subnet."""
        return frozenset("ipv6" if ":" in block else "ipv4" for block in self.blocks)


@dataclass(frozen=True, slots=True, order=True)
class Admission:
    """An ingress rule that lets the members of a security group in; ports are None for all traffic."""

    account: str
    group_id: str
    protocol: str = ALL_TRAFFIC
    from_port: int | None = None
    to_port: int | None = None

    def covers(self, other: "Admission") -> bool:
        """Whether whoever ``other`` lets in is let in by this rule as well."""
        if (self.account, self.group_id) != (other.account, other.group_id):
            return False
        if self.protocol == ALL_TRAFFIC:
            return True
        if self.protocol != other.protocol or None in (self.from_port, self.to_port, other.from_port, other.to_port):
            return self == other
        assert self.from_port is not None and self.to_port is not None  # noqa: S101 - narrows the types
        assert other.from_port is not None and other.to_port is not None  # noqa: S101
        return self.from_port <= other.from_port and other.to_port <= self.to_port


@dataclass(frozen=True, slots=True, order=True)
class AdmittedRange:
    """An ingress rule that lets an address range or a prefix list in; ports are None for all traffic.

    ``ours``: its description says that Groundcrew made it, which makes no other rule of it.
    """

    source: str
    protocol: str = ALL_TRAFFIC
    from_port: int | None = None
    to_port: int | None = None
    ours: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A security group: the ingress rules that name groups, and whatever else is admitted (ranges, prefix lists)."""

    id: str
    name: str
    vpc_id: str
    owner: str
    admissions: frozenset[Admission] = frozenset()
    ranges: frozenset[AdmittedRange] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VpcEndpoint:
    """An interface endpoint; ``state`` is lower case."""

    id: str
    service: str
    state: str
    vpc_id: str
    subnet_ids: frozenset[str] = frozenset()
    group_ids: frozenset[str] = frozenset()
    private_dns: bool = False
    policy: str = ""
    created_at: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether it serves, or will."""
        return self.state not in NOT_THERE


@dataclass(frozen=True, slots=True)
class Site:
    """One account and Region that owns VPCs: all its interface endpoints, our groups for one environment, and such
    groups of others as somebody else's endpoints for that environment use.
    """

    account: str
    region: str
    endpoints: tuple[VpcEndpoint, ...] = ()
    groups: tuple[SecurityGroup, ...] = ()
    foreign_groups: tuple[SecurityGroup, ...] = ()

    @property
    def created(self) -> dict[str, datetime]:
        """When each endpoint was made, as far as EC2 says so."""
        return {endpoint.id: endpoint.created_at for endpoint in self.endpoints if endpoint.created_at is not None}

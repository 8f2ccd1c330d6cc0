"""Security group rules: one rule is one source; ``IpPermissions`` in and out group them by protocol and ports."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.model.errors import AwsError

Record = dict[str, Any]
Key = tuple[str, int | None, int | None, str, str]

_PROTOCOL_NUMBERS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One protocol and port range open to one source: an address range, a prefix list or a group."""

    rule_id: str
    egress: bool
    protocol: str  # "-1" is all traffic
    from_port: int | None
    to_port: int | None
    kind: str  # cidr4, cidr6, prefix-list or group
    source: str
    user: str = ""  # the account of a referenced group
    description: str = ""

    @property
    def key(self) -> Key:
        """What makes two rules the same: not the description, not the id."""
        return (self.protocol, self.from_port, self.to_port, self.kind, self.source)

    def allows(self, port: int) -> bool:
        """Would a TCP connection to ``port`` pass?"""
        if self.protocol == "-1":
            return True
        if self.protocol != "tcp" or self.from_port is None or self.to_port is None:
            return False
        return self.from_port <= port <= self.to_port

    def covers(self, cidr: str) -> bool:
        """Is this an address range that contains the other?"""
        if self.kind not in ("cidr4", "cidr6"):
            return False
        inner, outer = ipaddress.ip_network(cidr), ipaddress.ip_network(self.source)
        if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
            return inner.subnet_of(outer)
        if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
            return inner.subnet_of(outer)
        return False


def parse(permissions: Iterable[Mapping[str, Any]], egress: bool, account: str) -> list[Rule]:
    """``IpPermissions`` as rules without ids; group pairs without ``UserId`` mean the caller's account."""
    rules = []
    for permission in permissions:
        protocol = str(permission.get("IpProtocol", "")).lower()
        protocol = _PROTOCOL_NUMBERS.get(protocol, protocol)
        if not protocol:
            raise AwsError("InvalidParameterValue", "Invalid value '' for IP protocol. Unknown protocol.")
        ports = (permission.get("FromPort"), permission.get("ToPort"))
        if protocol == "-1":
            ports = (None, None)
        elif protocol in ("tcp", "udp") and not _is_range(*ports):
            raise AwsError(
                "InvalidParameterValue", f"Invalid value for portRange. Must specify both from and to: {ports}"
            )
        sources = list(_sources(permission, account))
        if not sources:
            raise AwsError("InvalidParameterValue", "The rule names no source or destination.")
        rules += [Rule("", egress, protocol, *ports, *source) for source in sources]
    return rules


def _is_range(first: int | None, last: int | None) -> bool:
    return first is not None and last is not None and 0 <= first <= last <= 65535


def _sources(permission: Mapping[str, Any], account: str) -> Iterable[tuple[str, str, str, str]]:
    for item in permission.get("IpRanges", []):
        yield "cidr4", _cidr(item["CidrIp"]), "", item.get("Description", "")
    for item in permission.get("Ipv6Ranges", []):
        yield "cidr6", item["CidrIpv6"], "", item.get("Description", "")
    for item in permission.get("PrefixListIds", []):
        yield "prefix-list", item["PrefixListId"], "", item.get("Description", "")
    for item in permission.get("UserIdGroupPairs", []):
        group = item.get("GroupId")
        if not group:
            raise AwsError("MissingParameter", "A group in a VPC must be named by its GroupId.")
        yield "group", group, item.get("UserId") or account, item.get("Description", "")


def _cidr(text: str) -> str:
    try:
        return str(ipaddress.IPv4Network(text, strict=False))
    except ValueError:
        raise AwsError("InvalidParameterValue", f"CIDR block {text} is malformed") from None


def permissions(rules: Iterable[Rule], egress: bool) -> list[Record]:
    """Rules as the ``IpPermissions`` of DescribeSecurityGroups: one entry per protocol and port range."""
    grouped: dict[tuple[str, int | None, int | None], Record] = {}
    for rule in rules:
        if rule.egress != egress:
            continue
        entry = grouped.setdefault(
            (rule.protocol, rule.from_port, rule.to_port),
            {
                "IpProtocol": rule.protocol,
                "IpRanges": [],
                "Ipv6Ranges": [],
                "PrefixListIds": [],
                "UserIdGroupPairs": [],
            },
        )
        if rule.from_port is not None:
            entry |= {"FromPort": rule.from_port, "ToPort": rule.to_port}
        described = {"Description": rule.description} if rule.description else {}
        match rule.kind:
            case "cidr4":
                entry["IpRanges"].append({"CidrIp": rule.source, **described})
            case "cidr6":
                entry["Ipv6Ranges"].append({"CidrIpv6": rule.source, **described})
            case "prefix-list":
                entry["PrefixListIds"].append({"PrefixListId": rule.source, **described})
            case _:
                entry["UserIdGroupPairs"].append({"GroupId": rule.source, "UserId": rule.user, **described})
    return list(grouped.values())


def rule_record(rule: Rule, group_id: str, owner: str, vpc_id: str) -> Record:
    """A rule as DescribeSecurityGroupRules shows it; a group of another account keeps *its* account id."""
    record: Record = {
        "SecurityGroupRuleId": rule.rule_id,
        "GroupId": group_id,
        "GroupOwnerId": owner,
        "IsEgress": rule.egress,
        "IpProtocol": rule.protocol,
        "FromPort": -1 if rule.from_port is None else rule.from_port,
        "ToPort": -1 if rule.to_port is None else rule.to_port,
        "Description": rule.description or None,
        "Tags": [],
    }
    match rule.kind:
        case "cidr4":
            record["CidrIpv4"] = rule.source
        case "cidr6":
            record["CidrIpv6"] = rule.source
        case "prefix-list":
            record["PrefixListId"] = rule.source
        case _:
            record["ReferencedGroupInfo"] = {"GroupId": rule.source, "UserId": rule.user, "VpcId": vpc_id}
    return record

"""Security groups: who may make them where, what may reference them, and when they can go.

Error codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html. Sharing rules as in
``localcloud.model.network``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from localcloud.model import rules as sg_rules
from localcloud.model.caller import Caller, Ids
from localcloud.model.describe import Fields, apply_filters, check_tags, page, tag_list, tags_from
from localcloud.model.errors import AwsError
from localcloud.model.network import Network
from localcloud.model.rules import Record, Rule

Setting = Callable[[str], Any]
"""A switch's value by name."""


@dataclass(slots=True)
class Group:
    """One security group."""

    group_id: str
    name: str
    description: str
    vpc_id: str
    owner: str
    region: str
    created: float
    rules: list[Rule] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


class SecurityGroups:
    """All groups of all accounts, as each account may see and change them."""

    def __init__(self, network: Network, ids: Ids, setting: Setting, now: Callable[[], float]) -> None:
        self._network = network
        self._ids = ids
        self._setting = setting
        self._now = now
        self._groups: dict[str, Group] = {}
        self.users: list[Callable[[str], bool]] = []  # who knows of network interfaces: does one use this group?

    # ------------------------------------------------------------------ look
    def get(self, group_id: str) -> Group | None:
        return self._groups.get(group_id)

    def own(self, caller: Caller, group_id: str) -> Group:
        """A group of the caller's account; anybody else's does not exist for it."""
        group = self._groups.get(group_id)
        if group is None or (group.owner, group.region) != (caller.account, caller.region):
            raise AwsError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
        return group

    def visible(self, caller: Caller) -> list[Group]:
        """Own groups, and the groups participants made in the caller's own VPCs (an owner may describe those)."""
        lag = self._setting("ec2.describe_lag_seconds")
        return [
            g
            for g in self._groups.values()
            if g.region == caller.region and self._sees(caller, g) and self._now() >= g.created + lag
        ]

    def _sees(self, caller: Caller, group: Group) -> bool:
        if group.owner == caller.account:
            return True
        vpc = self._network.port_vpc(group.region, group.vpc_id)
        return vpc is not None and vpc["OwnerId"] == caller.account

    def describe(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        wanted = params.get("GroupIds") or []
        lag = self._setting("ec2.describe_lag_seconds")
        if wanted and not lag:
            candidates = [self._groups[i] for i in wanted if i in self._groups]
            seen = [g for g in candidates if g.region == caller.region and self._sees(caller, g)]
        else:
            seen = [g for g in self.visible(caller) if not wanted or g.group_id in wanted]
        missing = set(wanted) - {g.group_id for g in seen}
        if missing:
            raise AwsError("InvalidGroup.NotFound", f"The security group '{min(missing)}' does not exist")
        if names := params.get("GroupNames"):
            seen = [g for g in seen if g.name in names]
        found = apply_filters(seen, params.get("Filters", []), _FILTERS, lambda g: g.tags)
        items, token = page(found, params)
        return {"SecurityGroups": [_record(caller, g) for g in items], "NextToken": token}

    def describe_rules(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        wanted = params.get("SecurityGroupRuleIds") or []
        pairs = [(g, r) for g in self.visible(caller) for r in g.rules if not wanted or r.rule_id in wanted]
        missing = set(wanted) - {r.rule_id for _, r in pairs}
        if missing:
            raise AwsError("InvalidSecurityGroupRuleId.NotFound", f"The rule '{min(missing)}' does not exist")
        fields: Fields = {"group-id": lambda p: [p[0].group_id], "security-group-rule-id": lambda p: [p[1].rule_id]}
        found = apply_filters(pairs, params.get("Filters", []), fields, lambda _: {})
        items, token = page(found, params)
        shown = [sg_rules.rule_record(r, g.group_id, g.owner, g.vpc_id) for g, r in items]
        return {"SecurityGroupRules": shown, "NextToken": token}

    # ------------------------------------------------------------------ change
    def create(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """A new group; in a shared VPC a participant may create its own."""
        vpc_id, name = params.get("VpcId", ""), params["GroupName"]
        if self._network.vpc(caller, vpc_id) is None:
            raise AwsError("InvalidVpcID.NotFound", f"The vpc ID '{vpc_id}' does not exist")
        if name.startswith("sg-") or len(name) > 255 or name == "default":
            raise AwsError("InvalidParameterValue", f"Cannot use reserved or invalid security group name: {name}")
        own = [g for g in self._groups.values() if (g.owner, g.region) == (caller.account, caller.region)]
        if any((g.vpc_id, g.name) == (vpc_id, name) for g in own):
            raise AwsError("InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc_id}'")
        if len(own) >= self._setting("quota.security_groups_per_region"):
            raise AwsError("SecurityGroupLimitExceeded", "The maximum number of security groups has been reached.")
        tags = tags_from(params.get("TagSpecifications", []), "security-group")
        check_tags(tags, self._setting("quota.tags_per_resource"))
        group = self.add(caller, name, params.get("Description", ""), vpc_id, tags=tags)
        return {
            "GroupId": group.group_id,
            "Tags": tag_list(tags),
            "SecurityGroupArn": caller.arn("ec2", f"security-group/{group.group_id}"),
        }

    def add(
        self,
        caller: Caller,
        name: str,
        description: str,
        vpc_id: str,
        *,
        group_id: str = "",
        tags: dict[str, str] | None = None,
    ) -> Group:
        """A group without checks (a VPC's default group); like every new group it lets everything out."""
        group_id = group_id or self._ids.new("sg-")
        group = Group(group_id, name, description, vpc_id, caller.account, caller.region, self._now(), tags=tags or {})
        group.rules.append(Rule(self._ids.new("sgr-"), True, "-1", None, None, "cidr4", "0.0.0.0/0"))
        if name == "default":
            group.rules.append(Rule(self._ids.new("sgr-"), False, "-1", None, None, "group", group_id, caller.account))
        self._groups[group_id] = group
        return group

    def delete(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """DependencyViolation while an interface or another group's rule uses the group; its own rules do not count."""
        group = self.own(caller, params.get("GroupId") or "")
        if group.name == "default":
            raise AwsError(
                "CannotDelete", f'the specified group: "{group.group_id}" name: "default" cannot be deleted by a user'
            )
        referenced = any(
            r.kind == "group" and r.source == group.group_id
            for other in self._groups.values()
            if other is not group
            for r in other.rules
        )
        if referenced or any(uses(group.group_id) for uses in self.users):
            raise AwsError("DependencyViolation", f"resource {group.group_id} has a dependent object")
        del self._groups[group.group_id]
        return {"Return": True, "GroupId": group.group_id}

    def any_in(self, vpc_id: str) -> bool:
        """Has the VPC a group besides its default one?"""
        return any(group.vpc_id == vpc_id and group.name != "default" for group in self._groups.values())

    def keep(self, wanted: Callable[[Group], bool]) -> None:
        """Drop the other groups without checks: their VPC is gone."""
        self._groups = {key: group for key, group in self._groups.items() if wanted(group)}

    def authorize(self, caller: Caller, params: Mapping[str, Any], egress: bool) -> Record:
        """Add rules, all or none."""
        group = self.own(caller, params.get("GroupId") or "")
        new = sg_rules.parse(_permissions(params), egress, caller.account)
        known = {r.key for r in group.rules if r.egress == egress}
        for rule in new:
            if rule.kind == "group":
                self._check_reference(caller, group, rule)
            if rule.key in known:
                raise AwsError(
                    "InvalidPermission.Duplicate", f'the specified rule "peer: {rule.source}" already exists'
                )
            known.add(rule.key)
        if len(known) > self._setting("quota.rules_per_security_group"):
            raise AwsError(
                "RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached."
            )
        added = [replace(rule, rule_id=self._ids.new("sgr-")) for rule in new]
        group.rules += added
        shown = [sg_rules.rule_record(r, group.group_id, group.owner, group.vpc_id) for r in added]
        return {"Return": True, "SecurityGroupRules": shown}

    def _check_reference(self, caller: Caller, group: Group, rule: Rule) -> None:
        """A group of another account can be named when it exists there and both are in the same (shared) VPC."""
        policy = self._setting("sg.cross_account_reference")
        foreign = rule.user != caller.account
        if foreign and policy == "any":
            return
        other = self._groups.get(rule.source)
        known = other is not None and other.owner == rule.user and other.vpc_id == group.vpc_id
        if not known or (foreign and policy == "never"):
            raise AwsError("InvalidGroup.NotFound", f"The security group '{rule.source}' does not exist")

    def revoke(self, caller: Caller, params: Mapping[str, Any], egress: bool) -> Record:
        """Remove rules by id or by what they say; a rule that is not there is an error and nothing is removed."""
        group = self.own(caller, params.get("GroupId") or "")
        same = [r for r in group.rules if r.egress == egress]
        if rule_ids := params.get("SecurityGroupRuleIds"):
            gone = [r for r in same if r.rule_id in rule_ids]
            if len(gone) != len(set(rule_ids)):
                raise AwsError("InvalidSecurityGroupRuleId.NotFound", f"A rule of {sorted(rule_ids)} does not exist")
        else:
            keys = {r.key for r in sg_rules.parse(_permissions(params), egress, caller.account)}
            gone = [r for r in same if r.key in keys]
            if len(gone) != len(keys):
                raise AwsError(
                    "InvalidPermission.NotFound", "The specified rule does not exist in this security group."
                )
        group.rules = [r for r in group.rules if r not in gone]
        return {"Return": True}


def _permissions(params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The permissions of a request: the list, or the short form with one address range."""
    if "IpPermissions" in params:
        listed: Sequence[Mapping[str, Any]] = params["IpPermissions"]
        return listed
    short = {key: params[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in params}
    if not short or "CidrIp" not in params:
        raise AwsError("MissingParameter", "The request must contain the parameter ipPermissions")
    return [{**short, "IpRanges": [{"CidrIp": params["CidrIp"]}]}]


def _record(caller: Caller, group: Group) -> Record:
    return {
        "GroupId": group.group_id,
        "GroupName": group.name,
        "Description": group.description,
        "VpcId": group.vpc_id,
        "OwnerId": group.owner,
        "SecurityGroupArn": f"arn:aws:ec2:{group.region}:{group.owner}:security-group/{group.group_id}",
        "IpPermissions": sg_rules.permissions(group.rules, egress=False),
        "IpPermissionsEgress": sg_rules.permissions(group.rules, egress=True),
        "Tags": tag_list(group.tags if group.owner == caller.account else {}),
    }


_FILTERS: Fields = {
    "vpc-id": lambda g: [g.vpc_id],
    "group-name": lambda g: [g.name],
    "group-id": lambda g: [g.group_id],
    "owner-id": lambda g: [g.owner],
    "description": lambda g: [g.description],
    "ip-permission.group-id": lambda g: [r.source for r in g.rules if not r.egress and r.kind == "group"],
    "ip-permission.user-id": lambda g: [r.user for r in g.rules if not r.egress and r.kind == "group"],
    "ip-permission.cidr": lambda g: [r.source for r in g.rules if not r.egress and r.kind == "cidr4"],
}

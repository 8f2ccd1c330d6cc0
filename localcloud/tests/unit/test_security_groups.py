from typing import Any

from localcloud.tests.unit.conftest import HUB, OTHER, REGION, SPOKE, Shared, client, refused


def pair(group: str, account: str | None = None, **more: Any) -> list[dict[str, Any]]:
    named = {"GroupId": group} | ({"UserId": account} if account else {})
    return [{"IpProtocol": "-1", **more, "UserIdGroupPairs": [named]}]


def test_a_new_group_lets_everything_out_and_nothing_in(shared: Shared) -> None:
    found = shared.hub.describe_security_groups(GroupIds=[shared.group])["SecurityGroups"][0]
    assert found["IpPermissions"] == []
    assert found["IpPermissionsEgress"][0]["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]
    assert (found["OwnerId"], found["VpcId"], found["GroupName"]) == (HUB, shared.vpc, "endpoints")


def test_names_are_unique_per_vpc_and_account(shared: Shared) -> None:
    params = {"GroupName": "endpoints", "Description": "d", "VpcId": shared.vpc}
    assert refused(shared.hub.create_security_group, **params) == "InvalidGroup.Duplicate"
    shared.spoke.create_security_group(**params)


def test_a_group_needs_a_vpc_its_account_can_see(shared: Shared) -> None:
    params = {"GroupName": "g", "Description": "d", "VpcId": shared.vpc}
    assert refused(client("ec2", OTHER).create_security_group, **params) == "InvalidVpcID.NotFound"


def test_the_owner_of_a_vpc_sees_participants_groups_and_cannot_touch_them(shared: Shared) -> None:
    theirs = shared.aws.security_group(SPOKE, shared.vpc, "theirs")
    found = shared.hub.describe_security_groups(GroupIds=[theirs])["SecurityGroups"][0]
    assert found["OwnerId"] == SPOKE
    assert refused(shared.hub.delete_security_group, GroupId=theirs) == "InvalidGroup.NotFound"
    assert refused(shared.spoke.describe_security_groups, GroupIds=[shared.group]) == "InvalidGroup.NotFound"


def test_a_rule_may_name_a_participants_group(shared: Shared) -> None:
    theirs = shared.aws.security_group(SPOKE, shared.vpc, "theirs")
    shared.hub.authorize_security_group_ingress(GroupId=shared.group, IpPermissions=pair(theirs, SPOKE))
    found = shared.hub.describe_security_groups(GroupIds=[shared.group])["SecurityGroups"][0]
    assert found["IpPermissions"][0]["UserIdGroupPairs"] == [{"GroupId": theirs, "UserId": SPOKE}]
    rules = shared.hub.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [shared.group]}])
    inbound = next(rule for rule in rules["SecurityGroupRules"] if not rule["IsEgress"])
    assert inbound["ReferencedGroupInfo"]["UserId"] == SPOKE


def test_a_rule_names_groups_that_exist_in_the_same_vpc(shared: Shared) -> None:
    theirs = shared.aws.security_group(SPOKE, shared.vpc, "theirs")
    apart = shared.aws.network.vpc(owner=SPOKE, cidr="10.2.0.0/16")
    far = shared.aws.security_group(SPOKE, apart, "far")
    authorize = shared.hub.authorize_security_group_ingress
    assert refused(authorize, GroupId=shared.group, IpPermissions=pair(theirs)) == "InvalidGroup.NotFound"
    assert refused(authorize, GroupId=shared.group, IpPermissions=pair(far, SPOKE)) == "InvalidGroup.NotFound"
    assert refused(authorize, GroupId=shared.group, IpPermissions=pair("sg-0", SPOKE)) == "InvalidGroup.NotFound"


def test_cross_account_references_are_a_switch(shared: Shared) -> None:
    theirs = shared.aws.security_group(SPOKE, shared.vpc, "theirs")
    authorize = shared.hub.authorize_security_group_ingress
    shared.aws.switches["sg.cross_account_reference"] = "never"
    assert refused(authorize, GroupId=shared.group, IpPermissions=pair(theirs, SPOKE)) == "InvalidGroup.NotFound"
    shared.aws.switches["sg.cross_account_reference"] = "any"
    authorize(GroupId=shared.group, IpPermissions=pair("sg-somewhere", OTHER))


def test_rules_are_neither_doubled_nor_removed_twice(shared: Shared) -> None:
    rule = [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}]
    params = {"GroupId": shared.group, "IpPermissions": rule}
    shared.hub.authorize_security_group_ingress(**params)
    assert refused(shared.hub.authorize_security_group_ingress, **params) == "InvalidPermission.Duplicate"
    shared.hub.revoke_security_group_ingress(**params)
    assert refused(shared.hub.revoke_security_group_ingress, **params) == "InvalidPermission.NotFound"


def test_rules_are_revoked_by_id(shared: Shared) -> None:
    added = shared.hub.authorize_security_group_ingress(
        GroupId=shared.group, CidrIp="10.0.0.0/8", IpProtocol="tcp", FromPort=443, ToPort=443
    )
    rule = added["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    revoke = shared.hub.revoke_security_group_ingress
    revoke(GroupId=shared.group, SecurityGroupRuleIds=[rule])
    again = {"GroupId": shared.group, "SecurityGroupRuleIds": [rule]}
    assert refused(revoke, **again) == "InvalidSecurityGroupRuleId.NotFound"


def test_rules_out_are_changed_apart_from_rules_in(shared: Shared) -> None:
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    shared.hub.revoke_security_group_egress(GroupId=shared.group, IpPermissions=everything)
    shared.hub.authorize_security_group_egress(GroupId=shared.group, IpPermissions=pair(shared.group))
    found = shared.hub.describe_security_groups(GroupIds=[shared.group])["SecurityGroups"][0]
    assert found["IpPermissions"] == []
    assert found["IpPermissionsEgress"][0]["UserIdGroupPairs"] == [{"GroupId": shared.group, "UserId": HUB}]


def test_every_kind_of_source_is_kept(shared: Shared) -> None:
    rule = {
        "IpProtocol": "tcp",
        "FromPort": 443,
        "ToPort": 443,
        "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "inside"}],
        "Ipv6Ranges": [{"CidrIpv6": "fd00::/8"}],
        "PrefixListIds": [{"PrefixListId": "pl-1"}],
        "UserIdGroupPairs": [{"GroupId": shared.group, "UserId": HUB}],
    }
    shared.hub.authorize_security_group_ingress(GroupId=shared.group, IpPermissions=[{**rule, "IpProtocol": "6"}])
    found = shared.hub.describe_security_groups(GroupIds=[shared.group])["SecurityGroups"][0]
    assert found["IpPermissions"] == [rule]
    shown = shared.hub.describe_security_group_rules()["SecurityGroupRules"]
    kinds = {"CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupInfo"}
    inbound = [kinds & set(one) for one in shown if one["GroupId"] == shared.group and not one["IsEgress"]]
    assert inbound == [{"CidrIpv4"}, {"CidrIpv6"}, {"PrefixListId"}, {"ReferencedGroupInfo"}]


def test_malformed_rules_are_refused(shared: Shared) -> None:
    authorize = shared.hub.authorize_security_group_ingress
    no_range = [{"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
    no_source = [{"IpProtocol": "-1"}]
    no_cidr = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "ten"}]}]
    for rules in (no_range, no_source, no_cidr):
        assert refused(authorize, GroupId=shared.group, IpPermissions=rules) == "InvalidParameterValue"
    assert refused(authorize, GroupId=shared.group) == "MissingParameter"


def test_a_group_in_use_stays(shared: Shared) -> None:
    delete = shared.hub.delete_security_group
    endpoint = shared.endpoint(f"com.amazonaws.{REGION}.sqs")
    assert refused(delete, GroupId=shared.group) == "DependencyViolation"
    shared.hub.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    assert refused(delete, GroupId=shared.group) == "DependencyViolation"  # its interfaces are still going
    shared.aws.clock.advance(5)
    delete(GroupId=shared.group)
    assert refused(delete, GroupId=shared.group) == "InvalidGroup.NotFound"


def test_a_group_named_by_another_groups_rule_stays(shared: Shared) -> None:
    theirs = shared.aws.security_group(SPOKE, shared.vpc, "theirs")
    shared.hub.authorize_security_group_ingress(GroupId=shared.group, IpPermissions=pair(theirs, SPOKE))
    assert refused(shared.spoke.delete_security_group, GroupId=theirs) == "DependencyViolation"
    shared.hub.revoke_security_group_ingress(GroupId=shared.group, IpPermissions=pair(theirs, SPOKE))
    shared.spoke.authorize_security_group_ingress(GroupId=theirs, IpPermissions=pair(theirs))  # its own does not count
    shared.spoke.delete_security_group(GroupId=theirs)


def test_an_environments_group_stays_until_the_environment_is_gone(shared: Shared) -> None:
    environment = shared.environment()
    delete = {"GroupId": environment.groups[0]}
    assert refused(shared.spoke.delete_security_group, **delete) == "DependencyViolation"
    shared.aws.delete_environment(environment)
    shared.aws.clock.advance(5)
    shared.spoke.delete_security_group(**delete)


def test_the_default_group_stays(shared: Shared) -> None:
    found = shared.hub.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])
    default = found["SecurityGroups"][0]
    assert refused(shared.hub.delete_security_group, GroupId=default["GroupId"]) == "CannotDelete"
    made = shared.hub.create_vpc_endpoint(
        VpcId=shared.vpc, ServiceName=f"com.amazonaws.{REGION}.sqs", VpcEndpointType="Interface"
    )
    assert made["VpcEndpoint"]["Groups"][0]["GroupId"] == default["GroupId"]


def test_quotas(shared: Shared) -> None:
    shared.aws.switches.update({"quota.security_groups_per_region": 2, "quota.rules_per_security_group": 1})
    params = {"GroupName": "third", "Description": "d", "VpcId": shared.vpc}
    assert refused(shared.hub.create_security_group, **params) == "SecurityGroupLimitExceeded"
    two = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "10.1.0.0/16"}]}]
    authorize = shared.hub.authorize_security_group_ingress
    assert refused(authorize, GroupId=shared.group, IpPermissions=two) == "RulesPerSecurityGroupLimitExceeded"


def test_groups_are_found_by_tag_and_by_reference(shared: Shared) -> None:
    theirs = shared.aws.security_group(SPOKE, shared.vpc, "theirs")
    shared.hub.authorize_security_group_ingress(GroupId=shared.group, IpPermissions=pair(theirs, SPOKE))
    shared.hub.create_tags(Resources=[shared.group], Tags=[{"Key": "groundcrew:stack", "Value": "s"}])

    def found(name: str, value: str) -> list[str]:
        answer = shared.hub.describe_security_groups(Filters=[{"Name": name, "Values": [value]}])
        return [group["GroupId"] for group in answer["SecurityGroups"]]

    assert found("tag:groundcrew:stack", "s") == [shared.group]
    assert found("ip-permission.group-id", theirs) == [shared.group]
    assert found("ip-permission.user-id", SPOKE) == [shared.group]
    assert found("owner-id", SPOKE) == [theirs]

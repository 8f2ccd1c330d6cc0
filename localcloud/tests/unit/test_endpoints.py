import json

import pytest

from localcloud.model.endpoint import FULL_ACCESS
from localcloud.tests.unit.conftest import HUB, OTHER, REGION, SPOKE, Shared, client, refused

SQS = f"com.amazonaws.{REGION}.sqs"


def test_an_endpoint_is_pending_before_it_is_available(shared: Shared) -> None:
    endpoint = shared.endpoint(SQS)

    def state() -> str:
        found = shared.hub.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"][0]
        return str(found["State"])

    assert state() == "pending"
    shared.aws.clock.advance(5)
    assert state() == "available"


def test_an_endpoint_is_described_with_everything_it_has(shared: Shared) -> None:
    tags = [{"Key": "Name", "Value": "queue <&>"}]
    shared.endpoint(SQS, TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": tags}])
    found = shared.hub.describe_vpc_endpoints()["VpcEndpoints"][0]
    assert found["Tags"] == tags
    assert found["Groups"] == [{"GroupId": shared.group, "GroupName": "endpoints"}]
    assert found["SubnetIds"] == shared.subnets
    assert len(found["NetworkInterfaceIds"]) == 2
    assert found["PolicyDocument"] == FULL_ACCESS
    assert (found["OwnerId"], found["RequesterManaged"], found["PrivateDnsEnabled"]) == (HUB, False, True)
    assert found["CreationTimestamp"].timestamp() == shared.aws.clock.now()
    assert found["DnsEntries"][-1]["DnsName"] == "sqs.us-east-1.amazonaws.com"


@pytest.mark.parametrize("state", ["failed", "rejected", "expired", "pendingAcceptance"])
def test_an_endpoint_may_settle_in_another_state(shared: Shared, state: str) -> None:
    shared.aws.switches["vpce.outcomes"] = {"*.sqs": state}
    shared.endpoint(SQS)
    shared.aws.clock.advance(5)
    found = shared.hub.describe_vpc_endpoints(Filters=[{"Name": "vpc-endpoint-state", "Values": [state]}])
    assert [endpoint["State"] for endpoint in found["VpcEndpoints"]] == [state]


def test_states_may_be_spelled_as_in_the_reference(shared: Shared) -> None:
    shared.aws.switches["vpce.state_case"] = "UpperCamel"
    shared.endpoint(SQS)
    assert shared.hub.describe_vpc_endpoints()["VpcEndpoints"][0]["State"] == "Pending"


def test_deletion_takes_time_and_then_the_id_is_unknown(shared: Shared) -> None:
    endpoint = shared.endpoint(SQS)
    assert shared.hub.delete_vpc_endpoints(VpcEndpointIds=[endpoint])["Unsuccessful"] == []
    assert shared.hub.describe_vpc_endpoints()["VpcEndpoints"][0]["State"] == "deleting"
    shared.aws.clock.advance(5)
    assert shared.hub.describe_vpc_endpoints()["VpcEndpoints"] == []
    assert refused(shared.hub.describe_vpc_endpoints, VpcEndpointIds=[endpoint]) == "InvalidVpcEndpointId.NotFound"
    failed = shared.hub.delete_vpc_endpoints(VpcEndpointIds=[endpoint])["Unsuccessful"]
    assert [(item["ResourceId"], item["Error"]["Code"]) for item in failed] == [
        (endpoint, "InvalidVpcEndpoint.NotFound")
    ]


def test_a_client_token_names_one_endpoint(shared: Shared) -> None:
    first = shared.endpoint(SQS, ClientToken="once")
    assert shared.endpoint(SQS, ClientToken="once") == first
    assert len(shared.aws.endpoints()) == 1
    other = {"ServiceName": SQS, "VpcId": shared.vpc, "VpcEndpointType": "Interface", "ClientToken": "once"}
    assert refused(shared.hub.create_vpc_endpoint, **other) == "IdempotentParameterMismatch"


def test_a_client_token_remembers_a_deleted_endpoint_until_it_is_forgotten(shared: Shared) -> None:
    first = shared.endpoint(SQS, ClientToken="once")
    shared.hub.delete_vpc_endpoints(VpcEndpointIds=[first])
    shared.aws.clock.advance(60)
    assert shared.endpoint(SQS, ClientToken="once") == first
    assert shared.aws.endpoints() == []
    shared.aws.clock.advance(2 * 86_400, step=86_400)
    assert shared.endpoint(SQS, ClientToken="once") != first


def test_a_refused_request_does_not_use_its_token_up(shared: Shared) -> None:
    params = {"VpcId": shared.vpc, "ServiceName": SQS, "VpcEndpointType": "Interface", "ClientToken": "again"}
    assert refused(shared.hub.create_vpc_endpoint, SecurityGroupIds=["sg-none"], **params) == "InvalidGroup.NotFound"
    assert shared.hub.create_vpc_endpoint(**params)["ClientToken"] == "again"


def test_what_does_not_exist_is_refused(shared: Shared) -> None:
    create = shared.hub.create_vpc_endpoint
    base = {"VpcId": shared.vpc, "ServiceName": SQS, "VpcEndpointType": "Interface"}
    assert refused(create, **{**base, "ServiceName": "com.amazonaws.us-east-1.nope"}) == "InvalidServiceName"
    assert refused(create, **{**base, "ServiceName": "com.amazonaws.eu-west-3.sqs"}) == "InvalidServiceName"
    assert refused(create, **{**base, "VpcId": "vpc-0"}) == "InvalidVpcId.NotFound"
    assert refused(create, **base, SubnetIds=["subnet-0"]) == "InvalidSubnetId.NotFound"
    assert refused(create, **base, PolicyDocument="{") == "InvalidPolicyDocument"


def test_subnets_and_groups_belong_to_the_vpc_and_zones_are_taken_once(shared: Shared) -> None:
    elsewhere = shared.aws.network.vpc(owner=HUB, cidr="10.1.0.0/16")
    foreign_subnet = shared.aws.network.subnet(elsewhere, "c")
    foreign_group = shared.aws.security_group(HUB, elsewhere, "g")
    twin = shared.aws.network.subnet(shared.vpc, "a")
    create = shared.hub.create_vpc_endpoint
    base = {"VpcId": shared.vpc, "ServiceName": SQS, "VpcEndpointType": "Interface"}
    assert refused(create, **base, SubnetIds=[foreign_subnet]) == "InvalidParameter"
    assert refused(create, **base, SecurityGroupIds=[foreign_group]) == "InvalidParameter"
    assert refused(create, **base, SubnetIds=[shared.subnets[0], twin]) == "DuplicateSubnetsInSameZone"


def test_an_owner_cannot_attach_a_participants_group(shared: Shared) -> None:
    group = shared.aws.security_group(SPOKE, shared.vpc, "theirs")
    base = {"VpcId": shared.vpc, "ServiceName": SQS, "VpcEndpointType": "Interface"}
    assert refused(shared.hub.create_vpc_endpoint, **base, SecurityGroupIds=[group]) == "InvalidGroup.NotFound"


def test_mwaa_services_exist_for_the_owner_of_the_subnets_only(shared: Shared) -> None:
    environment = shared.environment()
    base = {"VpcId": shared.vpc, "ServiceName": environment.database_service, "VpcEndpointType": "Interface"}
    assert refused(shared.spoke.create_vpc_endpoint, **base) == "InvalidServiceName"
    assert refused(client("ec2", OTHER).create_vpc_endpoint, **base) == "InvalidServiceName"
    assert shared.endpoint(environment.database_service)


def test_a_participant_makes_no_endpoints_in_a_shared_vpc(shared: Shared) -> None:
    base = {"VpcId": shared.vpc, "ServiceName": SQS, "VpcEndpointType": "Interface"}
    assert refused(shared.spoke.create_vpc_endpoint, **base) == "OperationNotPermitted"
    assert refused(client("ec2", OTHER).create_vpc_endpoint, **base) == "InvalidVpcId.NotFound"


def test_one_private_zone_per_service_and_vpc(shared: Shared) -> None:
    first = shared.endpoint(SQS)
    base = {"VpcId": shared.vpc, "ServiceName": SQS, "VpcEndpointType": "Interface"}
    assert refused(shared.hub.create_vpc_endpoint, **base, PrivateDnsEnabled=True) == "InvalidParameter"
    second = shared.endpoint(SQS, PrivateDnsEnabled=False)
    enable = {"VpcEndpointId": second, "PrivateDnsEnabled": True}
    assert refused(shared.hub.modify_vpc_endpoint, **enable) == "InvalidParameter"
    shared.hub.delete_vpc_endpoints(VpcEndpointIds=[first])
    shared.aws.clock.advance(5)
    shared.hub.modify_vpc_endpoint(**enable)


@pytest.mark.parametrize("accepted", [False, True])
def test_private_dns_on_mwaas_services_is_a_switch(shared: Shared, accepted: bool) -> None:
    shared.aws.switches["vpce.mwaa_private_dns"] = accepted
    service = shared.environment().database_service
    if accepted:
        assert shared.endpoint(service, PrivateDnsEnabled=True)
    else:
        base = {"VpcId": shared.vpc, "ServiceName": service, "VpcEndpointType": "Interface"}
        assert refused(shared.hub.create_vpc_endpoint, **base, PrivateDnsEnabled=True) == "InvalidParameter"


def test_modify_changes_subnets_groups_and_policy(shared: Shared) -> None:
    other = shared.aws.security_group(HUB, shared.vpc, "other")
    endpoint = shared.endpoint(SQS, SubnetIds=shared.subnets[:1])
    policy = json.dumps({"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}})
    shared.hub.modify_vpc_endpoint(
        VpcEndpointId=endpoint,
        AddSubnetIds=shared.subnets[1:],
        AddSecurityGroupIds=[other],
        RemoveSecurityGroupIds=[shared.group],
        PolicyDocument=policy,
    )
    found = shared.hub.describe_vpc_endpoints()["VpcEndpoints"][0]
    assert found["SubnetIds"] == shared.subnets
    assert [group["GroupId"] for group in found["Groups"]] == [other]
    assert found["PolicyDocument"] == policy
    shared.hub.modify_vpc_endpoint(VpcEndpointId=endpoint, ResetPolicy=True)
    assert shared.hub.describe_vpc_endpoints()["VpcEndpoints"][0]["PolicyDocument"] == FULL_ACCESS


def test_modify_refuses_what_create_would(shared: Shared) -> None:
    endpoint = shared.endpoint(SQS)
    modify = shared.hub.modify_vpc_endpoint
    twin = shared.aws.network.subnet(shared.vpc, "a")
    assert refused(modify, VpcEndpointId=endpoint, AddSubnetIds=[twin]) == "DuplicateSubnetsInSameZone"
    assert refused(modify, VpcEndpointId=endpoint, RemoveSecurityGroupIds=[shared.group]) == "InvalidParameter"
    assert refused(modify, VpcEndpointId="vpce-0") == "InvalidVpcEndpointId.NotFound"
    assert refused(shared.spoke.modify_vpc_endpoint, VpcEndpointId=endpoint) == "InvalidVpcEndpointId.NotFound"


def test_filters_and_pages(shared: Shared) -> None:
    tagged = shared.endpoint(
        SQS, TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": [{"Key": "team", "Value": "data-a"}]}]
    )
    logs = shared.endpoint(f"com.amazonaws.{REGION}.logs")

    def found(name: str, *values: str) -> list[str]:
        pages = shared.hub.get_paginator("describe_vpc_endpoints").paginate(
            Filters=[{"Name": name, "Values": list(values)}], PaginationConfig={"PageSize": 1}
        )
        return [endpoint["VpcEndpointId"] for page in pages for endpoint in page["VpcEndpoints"]]

    assert found("vpc-id", shared.vpc) == [tagged, logs]
    assert found("service-name", "*.sqs") == [tagged]
    assert found("service-name", "com.amazonaws.us-east-?.logs", SQS) == [tagged, logs]
    assert found("tag:team", "data-*") == [tagged]
    assert found("tag:team", "data") == []
    assert found("tag-key", "team") == [tagged]
    assert found("vpc-endpoint-type", "Gateway") == []
    assert found("vpc-endpoint-id", logs) == [logs]
    nonsense = [{"Name": "colour", "Values": ["red"]}]
    assert refused(shared.hub.describe_vpc_endpoints, Filters=nonsense) == "InvalidParameterValue"


def test_other_accounts_and_regions_do_not_see_an_endpoint(shared: Shared) -> None:
    shared.endpoint(SQS)
    assert shared.spoke.describe_vpc_endpoints()["VpcEndpoints"] == []
    assert client("ec2", HUB, "eu-west-3").describe_vpc_endpoints()["VpcEndpoints"] == []


def test_the_quota_of_endpoints_per_vpc(shared: Shared) -> None:
    shared.aws.switches["quota.interface_endpoints_per_vpc"] = 1
    first = shared.endpoint(SQS)
    base = {"VpcId": shared.vpc, "ServiceName": f"com.amazonaws.{REGION}.logs", "VpcEndpointType": "Interface"}
    assert refused(shared.hub.create_vpc_endpoint, **base) == "VpcEndpointLimitExceeded"
    shared.hub.delete_vpc_endpoints(VpcEndpointIds=[first])
    shared.aws.clock.advance(5)
    shared.hub.create_vpc_endpoint(**base)


def test_describe_may_lag_behind(shared: Shared) -> None:
    shared.aws.switches["ec2.describe_lag_seconds"] = 10.0
    shared.endpoint(SQS)
    assert shared.hub.describe_vpc_endpoints()["VpcEndpoints"] == []
    shared.aws.clock.advance(10)
    assert len(shared.hub.describe_vpc_endpoints()["VpcEndpoints"]) == 1


def test_tags_are_written_removed_and_limited(shared: Shared) -> None:
    endpoint = shared.endpoint(SQS)
    shared.hub.create_tags(Resources=[endpoint, shared.group], Tags=[{"Key": "a", "Value": "1"}])
    shared.hub.create_tags(Resources=[endpoint], Tags=[{"Key": "b", "Value": "2"}])
    shared.hub.delete_tags(Resources=[endpoint], Tags=[{"Key": "a", "Value": "other"}])
    shared.hub.delete_tags(Resources=[endpoint], Tags=[{"Key": "b"}])
    assert shared.hub.describe_vpc_endpoints()["VpcEndpoints"][0]["Tags"] == [{"Key": "a", "Value": "1"}]
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    assert refused(shared.hub.create_tags, Resources=[endpoint], Tags=many) == "TagLimitExceeded"
    reserved = [{"Key": "aws:x", "Value": ""}]
    assert refused(shared.hub.create_tags, Resources=[endpoint], Tags=reserved) == "InvalidParameterValue"
    assert refused(shared.spoke.create_tags, Resources=[endpoint], Tags=many[:1]) == "InvalidVpcEndpointId.NotFound"


# ------------------------------------------------------------------------------------------------------------ addresses
@pytest.mark.parametrize(
    ("addresses", "address_type", "refusal"),
    [
        ("ipv4", "ipv4", ""),
        ("ipv4", "dualstack", "InvalidParameter"),
        ("ipv4", "ipv6", "InvalidParameter"),
        ("dualstack", "ipv4", ""),
        ("dualstack", "dualstack", ""),
        ("dualstack", "ipv6", "InvalidParameter"),
        ("ipv6", "ipv6", ""),
        ("ipv6", "ipv4", "InvalidParameter"),
        ("ipv6", None, "InvalidParameter"),
        ("ipv4", "ipv5", "InvalidParameter"),
    ],
)
def test_the_address_type_has_to_suit_the_subnets(
    shared: Shared, addresses: str, address_type: str | None, refusal: str
) -> None:
    shared.aws.switches["vpce.address_types"] = ("ipv4", "ipv6")
    subnet = shared.aws.network.subnet(shared.vpc, "c", addresses)
    params = {"VpcId": shared.vpc, "ServiceName": SQS, "VpcEndpointType": "Interface", "SubnetIds": [subnet]}
    params |= {"IpAddressType": address_type} if address_type else {}
    if refusal:
        assert refused(shared.hub.create_vpc_endpoint, **params) == refusal
    else:
        assert shared.hub.create_vpc_endpoint(**params)["VpcEndpoint"]["IpAddressType"] == address_type


def test_the_address_type_has_to_suit_the_service_which_says_what_it_accepts(shared: Shared) -> None:
    subnet = shared.aws.network.subnet(shared.vpc, "c", "dualstack")
    params = {"VpcId": shared.vpc, "ServiceName": SQS, "VpcEndpointType": "Interface", "SubnetIds": [subnet]}
    assert refused(shared.hub.create_vpc_endpoint, **params, IpAddressType="dualstack") == "InvalidParameter"
    named = [{"Name": "service-name", "Values": [SQS]}]
    (service,) = shared.hub.describe_vpc_endpoint_services(Filters=named)["ServiceDetails"]
    assert service["SupportedIpAddressTypes"] == ["ipv4"]
    assert refused(shared.hub.describe_vpc_endpoint_services, ServiceNames=["nothing"]) == "InvalidServiceName"


def test_subnets_without_the_endpoints_addresses_cannot_be_added(shared: Shared) -> None:
    shared.aws.switches["vpce.address_types"] = ("ipv4", "ipv6")
    endpoint = shared.endpoint(SQS)
    subnet = shared.aws.network.subnet(shared.vpc, "c", "ipv6")
    asked = {"VpcEndpointId": endpoint, "AddSubnetIds": [subnet]}
    assert refused(shared.hub.modify_vpc_endpoint, **asked) == "InvalidParameter"

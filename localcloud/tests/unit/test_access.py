from typing import Any

import pytest

from localcloud.model.access import Question, dependent, questions
from localcloud.model.caller import Caller
from localcloud.tests.unit.conftest import HUB, REGION, SPOKE, Shared, refused

ME = Caller(HUB, REGION)
SQS = f"com.amazonaws.{REGION}.sqs"


def asked(shared: Shared, operation: str, caller: Caller = ME, **params: Any) -> list[Question]:
    return list(questions(operation, caller, params, shared.aws.ec2.resources(caller)))


def arn(kind: str, name: str, account: str = HUB) -> str:
    return f"arn:aws:ec2:{REGION}:{account}:{kind}/{name}"


def tags(kind: str, **values: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in values.items()]}]


def test_creating_an_endpoint_touches_every_resource_it_names(shared: Shared) -> None:
    found = asked(
        shared,
        "CreateVpcEndpoint",
        VpcId=shared.vpc,
        ServiceName=SQS,
        SubnetIds=shared.subnets,
        SecurityGroupIds=[shared.group],
        TagSpecifications=tags("vpc-endpoint", a="1"),
    )
    assert [question.resource for question in found] == [
        arn("vpc", shared.vpc),
        arn("vpc-endpoint", "*"),
        *(arn("subnet", subnet) for subnet in shared.subnets),
        arn("security-group", shared.group),
        arn("vpc-endpoint", "*"),
    ]
    endpoint, tagging = found[1], found[-1]
    requested = {"aws:RequestTag/a": "1", "aws:TagKeys": ["a"]}
    assert endpoint.context == {**requested, "ec2:VpceServiceName": SQS}
    assert tagging == Question(
        "ec2:CreateTags", arn("vpc-endpoint", "*"), {**requested, "ec2:CreateAction": "CreateVpcEndpoint"}
    )
    assert not any("aws:RequestTag/a" in question.context for question in (found[0], *found[2:-1]))


def test_without_tags_creating_needs_no_tagging(shared: Shared) -> None:
    found = asked(shared, "CreateSecurityGroup", VpcId=shared.vpc, GroupName="g")
    assert [(question.action, question.resource) for question in found] == [
        ("ec2:CreateSecurityGroup", arn("security-group", "*")),
        ("ec2:CreateSecurityGroup", arn("vpc", shared.vpc)),
    ]
    assert found[0].context["ec2:Vpc"] == arn("vpc", shared.vpc)


def test_a_participants_group_is_made_in_the_owners_vpc(shared: Shared) -> None:
    spoke = Caller(SPOKE, REGION)
    found = asked(shared, "CreateSecurityGroup", spoke, VpcId=shared.vpc, GroupName="g")
    assert [question.resource for question in found] == [arn("security-group", "*", SPOKE), arn("vpc", shared.vpc)]


@pytest.mark.parametrize(
    "operation",
    [
        "DeleteSecurityGroup",
        "AuthorizeSecurityGroupIngress",
        "RevokeSecurityGroupIngress",
        "AuthorizeSecurityGroupEgress",
    ],
)
def test_changing_a_group_sees_its_tags(shared: Shared, operation: str) -> None:
    shared.hub.create_tags(Resources=[shared.group], Tags=[{"Key": "owner", "Value": "us"}])
    (found,) = asked(shared, operation, GroupId=shared.group)
    assert found.resource == arn("security-group", shared.group)
    assert found.context == {
        "aws:ResourceTag/owner": "us",
        "ec2:ResourceTag/owner": "us",
        "ec2:Vpc": arn("vpc", shared.vpc),
    }


def test_modifying_and_deleting_see_the_endpoints_tags(shared: Shared) -> None:
    endpoint = shared.endpoint(SQS, TagSpecifications=tags("vpc-endpoint", owner="us"))
    modify = asked(shared, "ModifyVpcEndpoint", VpcEndpointId=endpoint, AddSubnetIds=shared.subnets[:1])
    assert [question.resource for question in modify] == [
        arn("vpc-endpoint", endpoint),
        arn("subnet", shared.subnets[0]),
    ]
    assert modify[0].context["aws:ResourceTag/owner"] == "us"
    delete = asked(shared, "DeleteVpcEndpoints", VpcEndpointIds=[endpoint, "vpce-0"])
    assert [question.resource for question in delete] == [arn("vpc-endpoint", endpoint), arn("vpc-endpoint", "vpce-0")]
    assert delete[1].context == {}


def test_tagging_sees_old_and_new_tags_but_no_creating_action(shared: Shared) -> None:
    shared.hub.create_tags(Resources=[shared.group], Tags=[{"Key": "old", "Value": "1"}])
    (found,) = asked(shared, "CreateTags", Resources=[shared.group], Tags=[{"Key": "new", "Value": "2"}])
    assert found.context["aws:ResourceTag/old"] == "1"
    assert found.context["aws:RequestTag/new"] == "2"
    assert found.context["aws:TagKeys"] == ["new"]
    assert "ec2:CreateAction" not in found.context


def test_describing_is_about_everything(shared: Shared) -> None:
    assert asked(shared, "DescribeVpcEndpoints", VpcEndpointIds=["vpce-0"]) == [
        Question("ec2:DescribeVpcEndpoints", "*")
    ]


def test_making_an_endpoint_may_depend_on_looking_at_what_it_names() -> None:
    found = [question.action for question in dependent("CreateVpcEndpoint")]
    assert found == ["ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"]
    assert list(dependent("ModifyVpcEndpoint")) == []


# ---------------------------------------------------------------------------------------------------- tags not seen yet
def test_tags_of_what_is_new_are_not_seen_at_the_first_call(shared: Shared) -> None:
    ec2 = shared.aws.ec2
    shared.aws.switches["ec2.first_call_untagged_seconds"] = 60.0
    made = {
        "GroupName": "new",
        "Description": "d",
        "VpcId": shared.vpc,
        "TagSpecifications": tags("security-group", a="1"),
    }
    group = ec2.call("CreateSecurityGroup", ME, made)["GroupId"]
    params = {"GroupId": group, "IpPermissions": []}
    assert ec2.untagged("DescribeSecurityGroups", {"GroupIds": [group]}) == frozenset()
    hidden = ec2.untagged("AuthorizeSecurityGroupIngress", params)
    assert hidden == {group}
    assert ec2.resources(ME, untagged=hidden).tags(group) == {}
    assert ec2.resources(ME).tags(group) == {"a": "1"}
    assert ec2.untagged("AuthorizeSecurityGroupIngress", params) == frozenset()


def test_tags_are_seen_when_time_has_passed_and_always_by_default(shared: Shared) -> None:
    ec2 = shared.aws.ec2
    assert ec2.untagged("DeleteSecurityGroup", {"GroupId": shared.group}) == frozenset()
    shared.aws.switches["ec2.first_call_untagged_seconds"] = 60.0
    shared.aws.clock.advance(61)
    assert ec2.untagged("DeleteSecurityGroup", {"GroupId": shared.group}) == frozenset()


def test_in_process_the_first_call_that_names_a_new_group_is_refused(shared: Shared) -> None:
    shared.aws.switches["ec2.first_call_untagged_seconds"] = 60.0
    assert refused(shared.hub.delete_security_group, GroupId=shared.group) == "UnauthorizedOperation"
    shared.hub.delete_security_group(GroupId=shared.group)

"""MWAA as served: an environment waits for its endpoints, tells its account's bus, and answers to IAM.

The life cycle's cases are tested in process (localcloud/tests/unit). Guide L8226-8286; event: EventBridge reference,
"Amazon MWAA events".
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import HUB, SPOKE, LocalCloud, allow, policy, unique
from localcloud.testing.waiting import eventually

REGION = "us-east-1"


def refused(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def advance_until(cloud: LocalCloud, check: Callable[[], bool]) -> None:
    """Turn the clock second by second until it has happened, for at most a minute of the cloud's time."""
    for _ in range(60):
        if check():
            return
        cloud.control.advance(1)
    pytest.fail("it did not happen in time")


@dataclass(frozen=True)
class Site:
    """The hub's VPC shared with the spoke, with the spoke's own group for its environment."""

    vpc: str
    subnets: list[str]
    group: str

    def environment(self, name: str, **more: Any) -> dict[str, Any]:
        return {
            "Name": name,
            "ExecutionRoleArn": f"arn:aws:iam::{SPOKE}:role/airflow",
            "SourceBucketArn": "arn:aws:s3:::airflow-source",
            "DagS3Path": "dags",
            "NetworkConfiguration": {"SubnetIds": self.subnets, "SecurityGroupIds": [self.group]},
            "WebserverAccessMode": "PRIVATE_ONLY",
            "EndpointManagement": "CUSTOMER",
            **more,
        }


@pytest.fixture
def site(cloud: LocalCloud) -> Site:
    hub = cloud.client("ec2")
    vpc = hub.create_vpc(CidrBlock="10.40.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        hub.create_subnet(VpcId=vpc, CidrBlock=f"10.40.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("ab")
    ]
    cloud.control.share(subnets, [SPOKE])
    made = cloud.client("ec2", SPOKE).create_security_group(GroupName=unique("airflow"), Description="d", VpcId=vpc)
    return Site(vpc, subnets, made["GroupId"])


@pytest.fixture
def status_events(cloud: LocalCloud) -> Iterator[str]:
    """The URL of a queue that gets every status event of the spoke's default bus."""
    url, arn = cloud.queue(SPOKE)
    name, events = unique("status"), cloud.client("events", SPOKE)
    pattern = json.dumps({"source": ["aws.airflow"], "detail-type": ["MWAA Environment Status Change"]})
    rule = events.put_rule(Name=name, EventPattern=pattern)["RuleArn"]
    admit = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }
    cloud.client("sqs", SPOKE).set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(admit)})
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    yield url
    events.remove_targets(Rule=name, Ids=["queue"])
    events.delete_rule(Name=name)


def test_from_creating_to_available_with_events(cloud: LocalCloud, site: Site, status_events: str) -> None:
    hub, mwaa, name = cloud.client("ec2"), cloud.client("mwaa", SPOKE), unique("private")
    mwaa.create_environment(**site.environment(name))

    def environment() -> dict[str, Any]:
        return dict(mwaa.get_environment(Name=name)["Environment"])

    assert environment()["Status"] == "CREATING"
    advance_until(cloud, lambda: environment()["Status"] == "PENDING")
    group = hub.create_security_group(GroupName=unique("own"), Description="d", VpcId=site.vpc)["GroupId"]
    pairs = [{"GroupId": site.group, "UserId": SPOKE}]
    rule = [{"IpProtocol": "-1", "UserIdGroupPairs": pairs}]
    hub.authorize_security_group_ingress(GroupId=group, IpPermissions=rule)
    for key in ("DatabaseVpcEndpointService", "WebserverVpcEndpointService"):
        hub.create_vpc_endpoint(
            VpcId=site.vpc,
            VpcEndpointType="Interface",
            ServiceName=environment()[key],
            SubnetIds=site.subnets,
            SecurityGroupIds=[group],
        )
    advance_until(cloud, lambda: environment()["Status"] == "AVAILABLE")
    seen = [json.loads(cloud.received(status_events, SPOKE)["Body"]) for _ in range(4)]
    assert [event["detail"]["status"] for event in seen] == ["CREATING", "PENDING", "CREATING", "AVAILABLE"]
    assert {(event["account"], event["region"]) for event in seen} == {(SPOKE, REGION)}
    assert seen[0]["resources"] == [environment()["Arn"]]
    mwaa.delete_environment(Name=name)
    advance_until(cloud, lambda: name not in mwaa.list_environments()["Environments"])
    assert refused(mwaa.get_environment, Name=name) == "ResourceNotFoundException"


def test_the_wrong_account_is_told_that_the_service_does_not_exist(cloud: LocalCloud, site: Site) -> None:
    mwaa, name = cloud.client("mwaa", SPOKE), unique("wrong")
    mwaa.create_environment(**site.environment(name))
    advance_until(cloud, lambda: mwaa.get_environment(Name=name)["Environment"]["Status"] == "PENDING")
    service = mwaa.get_environment(Name=name)["Environment"]["DatabaseVpcEndpointService"]
    params = {"VpcId": site.vpc, "VpcEndpointType": "Interface", "ServiceName": service}
    assert refused(cloud.client("ec2", SPOKE).create_vpc_endpoint, **params) == "InvalidServiceName"


def test_names_and_tags_decide_who_may(cloud: LocalCloud, site: Site) -> None:
    root, name = cloud.client("mwaa", SPOKE), unique("mine")
    root.create_environment(**site.environment(name, Tags={"team": "data"}))
    other = unique("other")
    root.create_environment(**site.environment(other))
    arn = f"arn:aws:airflow:{REGION}:{SPOKE}:environment/"
    by_name = cloud.as_role("mwaa", cloud.role(allow("airflow:GetEnvironment", arn + name), account=SPOKE))
    by_name.get_environment(Name=name)
    assert refused(by_name.get_environment, Name=other) == "AccessDeniedException"
    assert refused(by_name.list_environments) == "AccessDeniedException"
    tagged = {"StringEquals": {"aws:ResourceTag/team": "data"}}
    by_tag = cloud.as_role("mwaa", cloud.role(allow("airflow:*", "*", **tagged), account=SPOKE))
    assert by_tag.list_tags_for_resource(ResourceArn=arn + name)["Tags"] == {"team": "data"}
    assert refused(by_tag.tag_resource, ResourceArn=arn + other, Tags={"team": "data"}) == "AccessDeniedException"
    new = site.environment(unique("new"), Tags={"team": "data"})
    assert refused(by_tag.create_environment, **new) == "AccessDeniedException"  # a request tag is no resource tag


UPDATE_ASKS = {
    "ec2:DescribeSecurityGroups": "*",
    "ec2:DescribeSubnets": "*",
    "ec2:DescribeVpcs": "*",
    "s3:GetEncryptionConfiguration": "arn:aws:s3:::airflow-source",
    "iam:PassRole": f"arn:aws:iam::{SPOKE}:role/airflow",
}


@pytest.mark.parametrize("missing", ["", *UPDATE_ASKS])
def test_an_update_asks_what_else_its_caller_may(cloud: LocalCloud, site: Site, missing: str) -> None:
    root, name = cloud.client("mwaa", SPOKE), unique("update")
    root.create_environment(**site.environment(name, WebserverAccessMode="PUBLIC_ONLY", EndpointManagement="CUSTOMER"))
    more = [allow(action, resource) for action, resource in UPDATE_ASKS.items() if action != missing]
    role = cloud.role(allow("airflow:UpdateEnvironment"), *more, account=SPOKE)
    # Who may do it all is told that an environment in PENDING is not updated.
    expected = "AccessDeniedException" if missing else "ValidationException"
    advance_until(cloud, lambda: root.get_environment(Name=name)["Environment"]["Status"] == "PENDING")
    assert refused(cloud.as_role("mwaa", role).update_environment, Name=name, MaxWorkers=3) == expected


def test_an_account_sees_its_own_environments_only(cloud: LocalCloud, site: Site) -> None:
    name = unique("own")
    cloud.client("mwaa", SPOKE).create_environment(**site.environment(name))
    assert name not in cloud.client("mwaa", HUB).list_environments()["Environments"]
    assert refused(cloud.client("mwaa", HUB).get_environment, Name=name) == "ResourceNotFoundException"


def test_a_stack_has_made_its_environment_when_it_is_pending(cloud: LocalCloud, site: Site) -> None:
    """https://github.com/aws-cloudformation/aws-cloudformation-resource-providers-mwaa, CreateHandler."""
    stacks, name = cloud.client("cloudformation", SPOKE), unique("environment")
    get_att = {"Fn::GetAtt": ["Environment", "DatabaseVpcEndpointService"]}
    group = {"GroupDescription": "airflow", "VpcId": site.vpc}
    network = {"SubnetIds": site.subnets, "SecurityGroupIds": [{"Ref": "Group"}]}
    template = {
        "Resources": {
            "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": group},
            "Environment": {
                "Type": "AWS::MWAA::Environment",
                "Properties": {**site.environment(name, Tags={"team": "data"}), "NetworkConfiguration": network},
            },
        },
        "Outputs": {"Service": {"Value": get_att}, "Name": {"Value": {"Ref": "Environment"}}},
    }

    def stack() -> dict[str, Any]:
        return dict(stacks.describe_stacks(StackName=name)["Stacks"][0])

    stacks.create_stack(StackName=name, TemplateBody=json.dumps(template))
    eventually(lambda: stack()["StackStatus"] == "CREATE_COMPLETE", 20)
    mwaa = cloud.client("mwaa", SPOKE)
    environment = mwaa.get_environment(Name=name)["Environment"]
    assert (environment["Status"], environment["Tags"]["team"]) == ("PENDING", "data")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack()["Outputs"]}
    assert outputs == {"Service": environment["DatabaseVpcEndpointService"], "Name": name}
    stacks.delete_stack(StackName=name)
    eventually(lambda: name not in mwaa.list_environments()["Environments"], 20)
    gone = {"Filters": [{"Name": "vpc-id", "Values": [site.vpc]}, {"Name": "description", "Values": ["airflow"]}]}
    eventually(lambda: not cloud.client("ec2", SPOKE).describe_security_groups(**gone)["SecurityGroups"], 20)


def test_time_can_be_turned(cloud: LocalCloud, site: Site) -> None:
    mwaa, name = cloud.client("mwaa", SPOKE), unique("late")
    mwaa.create_environment(**site.environment(name))
    advance_until(cloud, lambda: mwaa.get_environment(Name=name)["Environment"]["Status"] == "PENDING")
    cloud.control.advance(73 * 3600, step=3600)
    assert mwaa.get_environment(Name=name)["Environment"]["Status"] == "CREATE_FAILED"

"""CloudFormation: the resource types the templates need, and stacks that fail when AWS's would.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import HUB, OUTSIDER, SPOKE, LocalCloud, allow, policy, unique
from localcloud.testing.waiting import eventually

QUEUE = f"arn:aws:sqs:us-east-1:{HUB}:queue"


class Stack:
    def __init__(self, cloud: LocalCloud, account: str = HUB) -> None:
        self.formation, self.name = cloud.client("cloudformation", account), unique("stack")

    def put(self, **resources: Any) -> str:
        return self._put(self.formation.create_stack, resources)

    def update(self, **resources: Any) -> str:
        return self._put(self.formation.update_stack, resources)

    def _put(self, call: Any, resources: dict[str, Any]) -> str:
        """The stack's status when it is done, and the reasons of failed resources."""
        outputs = {name: {"Value": {"Ref": name}} for name in resources}
        body = json.dumps({"Resources": resources, "Outputs": outputs})
        call(StackName=self.name, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"])
        stack = eventually(self._done, 20)
        events = self.formation.describe_stack_events(StackName=self.name)["StackEvents"]
        reasons = [event.get("ResourceStatusReason", "") for event in events if "FAILED" in event["ResourceStatus"]]
        return " ".join([stack["StackStatus"], *reasons])

    def outputs(self) -> dict[str, str]:
        found = self.formation.describe_stacks(StackName=self.name)["Stacks"][0]["Outputs"]
        return {one["OutputKey"]: one["OutputValue"] for one in found}

    def delete(self) -> None:
        self.formation.delete_stack(StackName=self.name)
        eventually(lambda: not self._exists(), 20)

    def _done(self) -> dict[str, Any] | None:
        stack: dict[str, Any] = self.formation.describe_stacks(StackName=self.name)["Stacks"][0]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

    def _exists(self) -> bool:
        try:
            return bool(self._done()) or True
        except ClientError:
            return False


@pytest.fixture
def stack(cloud: LocalCloud) -> Iterator[Stack]:
    yield (one := Stack(cloud))
    one.delete()


def typed(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


def test_a_bus_policy_comes_changes_and_goes(cloud: LocalCloud) -> None:
    stack, name = Stack(cloud), unique("bus")
    bus = typed("AWS::Events::EventBus", Name=name)

    def admitting(account: str) -> dict[str, Any]:
        arn = f"arn:aws:events:us-east-1:{HUB}:event-bus/{name}"
        statement = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "events:PutEvents", "Resource": arn}
        properties = {"EventBusName": {"Ref": "Bus"}, "StatementId": "spokes", "Statement": statement}
        return typed("AWS::Events::EventBusPolicy", **properties)

    def principals() -> list[str]:
        described = cloud.client("events").describe_event_bus(Name=name)
        statements = json.loads(described.get("Policy") or '{"Statement": []}')["Statement"]
        return [statement["Principal"]["AWS"] for statement in statements]

    assert stack.put(Bus=bus, Policy=admitting(SPOKE)) == "CREATE_COMPLETE"
    assert principals() == [SPOKE]
    assert stack.update(Bus=bus, Policy=admitting(OUTSIDER)) == "UPDATE_COMPLETE"
    assert principals() == [OUTSIDER]
    assert stack.update(Bus=bus) == "UPDATE_COMPLETE"
    assert principals() == []
    stack.delete()
    with pytest.raises(ClientError, match="ResourceNotFound"):
        cloud.client("events").describe_event_bus(Name=name)


@pytest.mark.parametrize(("value", "allowed"), [(None, True), ("python3.99", True), ("python3.9", False)])
def test_a_runtime_that_is_not_offered_is_this_machines_only(
    cloud: LocalCloud, value: str | None, *, allowed: bool
) -> None:
    stack = Stack(cloud)
    body = {
        "Parameters": {"Runtime": {"Type": "String", "AllowedValues": ["python3.98", "python3.99"]}},
        "Resources": {"Topic": typed("AWS::SNS::Topic", DisplayName={"Ref": "Runtime"})},
    }
    given = [{"ParameterKey": "Runtime", "ParameterValue": value or cloud.control.status()["runtime"]}]
    create = partial(stack.formation.create_stack, TemplateBody=json.dumps(body), Parameters=given)
    if allowed:
        create(StackName=stack.name)
        stack.delete()
    else:
        with pytest.raises(ClientError, match="ValidationError"):
            create(StackName=stack.name)


def test_everything_a_template_needs_is_made_and_really_deleted(cloud: LocalCloud) -> None:
    stack, mark = Stack(cloud), unique("x")
    role = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    document = json.loads(policy(allow("sqs:SendMessage")))
    queue_arn = {"Fn::GetAtt": ["Queue", "Arn"]}
    admitted = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": queue_arn}
    alarm = {
        "Namespace": "AWS/SQS", "MetricName": "ApproximateNumberOfMessagesVisible", "Statistic": "Maximum",
        "Period": 60, "EvaluationPeriods": 3, "DatapointsToAlarm": 2, "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold",
        "Dimensions": [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["Queue", "QueueName"]}}],
        "TreatMissingData": "notBreaching", "AlarmDescription": "x", "AlarmActions": [{"Ref": "Topic"}],
    }  # fmt: skip
    resources = {
        "Queue": typed("AWS::SQS::Queue", QueueName=mark),
        "QueuePolicy": typed(
            "AWS::SQS::QueuePolicy", Queues=[{"Ref": "Queue"}], PolicyDocument={"Statement": [admitted]}
        ),
        "Topic": typed("AWS::SNS::Topic", TopicName=mark),
        "TopicPolicy": typed("AWS::SNS::TopicPolicy", Topics=[{"Ref": "Topic"}], PolicyDocument={"Statement": []}),
        "Subscription": typed("AWS::SNS::Subscription", TopicArn={"Ref": "Topic"}, Protocol="sqs", Endpoint=queue_arn),
        "Role": typed("AWS::IAM::Role", RoleName=mark, Path="/groundcrew/", AssumeRolePolicyDocument=role),
        "RolePolicy": typed("AWS::IAM::RolePolicy", RoleName={"Ref": "Role"}, PolicyName="a", PolicyDocument=document),
        "ManagedPolicy": typed("AWS::IAM::ManagedPolicy", Roles=[{"Ref": "Role"}], PolicyDocument=document),
        "Schedule": typed(
            "AWS::Scheduler::Schedule", Name=mark, ScheduleExpression="rate(15 minutes)",
            FlexibleTimeWindow={"Mode": "OFF"}, Target={"Arn": queue_arn, "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]}},
        ),
        "Logs": typed("AWS::Logs::LogGroup", LogGroupName=f"/test/{mark}", RetentionInDays=7),
        "Parameter": typed("AWS::SSM::Parameter", Name=f"/test/{mark}", Type="String", Value="x"),
        "Alarm": typed("AWS::CloudWatch::Alarm", AlarmName=mark, **alarm),
        "Composite": typed("AWS::CloudWatch::CompositeAlarm", AlarmName=f"{mark}-all", AlarmRule=f'ALARM("{mark}")')
        | {"DependsOn": "Alarm"},
        "Dashboard": typed("AWS::CloudWatch::Dashboard", DashboardName=mark, DashboardBody='{"widgets": []}'),
        "Archive": typed(
            "AWS::Events::Archive", ArchiveName=mark, SourceArn=f"arn:aws:events:us-east-1:{HUB}:event-bus/default"
        ),
    }  # fmt: skip
    assert stack.put(**resources) == "CREATE_COMPLETE"
    made = stack.outputs()["Role"], cloud.client("iam").get_role(RoleName=mark)["Role"]["Arn"]
    assert made == (mark, f"arn:aws:iam::{HUB}:role/groundcrew/{mark}")
    described = cloud.client("cloudwatch").describe_alarms(AlarmNames=[mark])["MetricAlarms"][0]
    assert {name: described[name] for name in ("Threshold", "DatapointsToAlarm", "TreatMissingData", "Dimensions")} == {
        "Threshold": 0, "DatapointsToAlarm": 2, "TreatMissingData": "notBreaching",
        "Dimensions": [{"Name": "QueueName", "Value": mark}],
    }  # fmt: skip
    stack.delete()
    left = {
        "queues": cloud.client("sqs").list_queues(QueueNamePrefix=mark).get("QueueUrls", []),
        "topics": [one for one in cloud.client("sns").list_topics()["Topics"] if mark in one["TopicArn"]],
        "roles": [one for one in cloud.client("iam").list_roles()["Roles"] if mark in one["RoleName"]],
        "schedules": cloud.client("scheduler").list_schedules(NamePrefix=mark)["Schedules"],
        "logs": cloud.client("logs").describe_log_groups(logGroupNamePrefix=f"/test/{mark}")["logGroups"],
        "parameters": cloud.client("ssm").get_parameters(Names=[f"/test/{mark}"])["Parameters"],
        "alarms": cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix=mark)["MetricAlarms"],
        "dashboards": cloud.client("cloudwatch").list_dashboards(DashboardNamePrefix=mark)["DashboardEntries"],
        "archives": cloud.client("events").list_archives(NamePrefix=mark)["Archives"],
    }
    assert not any(left.values()), left


@pytest.mark.parametrize(
    "resource",
    [
        typed("AWS::Lambda::Permission", FunctionName="nobody", Action="lambda:InvokeFunction", Principal="*"),
        typed("AWS::Lambda::EventSourceMapping", FunctionName="nobody", EventSourceArn=QUEUE),
    ],
)
def test_what_names_a_missing_function_fails_the_stack(stack: Stack, resource: dict[str, Any]) -> None:
    outcome = stack.put(Wrong=resource)
    assert outcome.startswith("ROLLBACK_COMPLETE")
    assert "Function not found" in outcome


def test_a_function_of_another_runtime_fails_the_stack(cloud: LocalCloud, stack: Stack) -> None:
    code = {"ZipFile": "def handler(event, context): pass"}
    settings = {"Runtime": "python3.9", "Handler": "index.handler", "Role": cloud.role()}
    function = typed("AWS::Lambda::Function", Code=code, **settings)
    assert "deploy with Runtime=" in stack.put(Function=function)


def test_a_share_reaches_its_accounts_only(cloud: LocalCloud, stack: Stack) -> None:
    """https://docs.aws.amazon.com/vpc/latest/userguide/vpc-sharing-share-subnet-working-with.html"""

    def resources(*principals: str) -> dict[str, Any]:
        subnet = {"Fn::Sub": "arn:aws:ec2:${AWS::Region}:${AWS::AccountId}:subnet/${Subnet}"}
        return {
            "Vpc": typed("AWS::EC2::VPC", CidrBlock="10.99.0.0/16"),
            "Subnet": typed("AWS::EC2::Subnet", VpcId={"Ref": "Vpc"}, CidrBlock="10.99.0.0/24"),
            "Share": typed(
                "AWS::RAM::ResourceShare", Name="subnets", ResourceArns=[subnet], Principals=list(principals),
                AllowExternalPrincipals=False,
            ),
        }  # fmt: skip

    def seen(account: str, subnet: str) -> bool:
        found = cloud.client("ec2", account).describe_subnets()["Subnets"]
        return subnet in [one["SubnetId"] for one in found]

    assert stack.put(**resources(SPOKE)) == "CREATE_COMPLETE"
    subnet = stack.outputs()["Subnet"]
    assert seen(SPOKE, subnet)
    assert not seen(OUTSIDER, subnet)
    outcome = stack.update(**resources(SPOKE, OUTSIDER))
    assert outcome.startswith("UPDATE_ROLLBACK_COMPLETE")
    assert "outside of your organization" in outcome
    assert seen(SPOKE, subnet)


@pytest.mark.parametrize(("value", "made"), [("", False), ("a", True), ("a,b", True)])
def test_a_condition_may_join_a_list_parameter(cloud: LocalCloud, value: str, made: bool) -> None:
    formation, name = cloud.client("cloudformation"), unique("stack")
    template = {
        "Parameters": {"List": {"Type": "CommaDelimitedList", "Default": ""}},
        "Conditions": {"Some": {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "List"}]}, ""]}]}},
        "Resources": {
            "Always": typed("AWS::SQS::Queue", QueueName=name),
            "Sometimes": typed("AWS::SQS::Queue", QueueName=f"{name}-some") | {"Condition": "Some"},
        },
    }
    parameters = [{"ParameterKey": "List", "ParameterValue": value}]
    formation.create_stack(StackName=name, TemplateBody=json.dumps(template), Parameters=parameters)
    formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert len(cloud.client("sqs").list_queues(QueueNamePrefix=name)["QueueUrls"]) == 1 + made
    formation.delete_stack(StackName=name)

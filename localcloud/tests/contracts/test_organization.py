"""What an organization's management account can do: StackSets with service-managed permissions, sharing in RAM."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import HUB, SPOKE, SPOKE2, LocalCloud, allow, policy, unique
from localcloud.testing.waiting import eventually

UNIT = "ou-abcd-12345678"
ROOT = Path(__file__).resolve().parents[3]


def template(**resources: Any) -> str:
    return json.dumps({"Resources": resources})


def parameter(name: str) -> dict[str, Any]:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Name": f"/{name}", "Type": "String", "Value": "1"}}


@pytest.fixture
def stack_sets(cloud: LocalCloud) -> Any:
    formation = cloud.client("cloudformation")
    formation.activate_organizations_access()
    return formation


def create(formation: Any, body: str, **more: Any) -> str:
    name = unique("set")
    managed = {"PermissionModel": "SERVICE_MANAGED", "AutoDeployment": {"Enabled": False}}
    formation.create_stack_set(StackSetName=name, TemplateBody=body, **managed, **more)
    return name


@pytest.fixture
def name(stack_sets: Any) -> str:
    """A stack set of one parameter."""
    return create(stack_sets, template(Parameter=parameter(unique("from-a-set"))))


def target(name: str, *regions: str) -> dict[str, Any]:
    return {
        "StackSetName": name,
        "DeploymentTargets": {"OrganizationalUnitIds": [UNIT]},
        "Regions": list(regions or ["us-east-1"]),
    }


def ended(formation: Any, name: str, operation: str) -> str:
    def status() -> str | None:
        described = formation.describe_stack_set_operation(StackSetName=name, OperationId=operation)
        found = str(described["StackSetOperation"]["Status"])
        return None if found == "RUNNING" else found

    return str(eventually(status))


def instances(formation: Any, name: str) -> list[tuple[str, str, str]]:
    listed = formation.list_stack_instances(StackSetName=name)["Summaries"]
    return [(one["Account"], one["Region"], one["Status"]) for one in listed]


# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stacksets-orgs-associate-stackset-with-org.html
def test_stacks_are_made_in_every_account_but_the_management_account(
    cloud: LocalCloud, stack_sets: Any, name: str
) -> None:
    operation = stack_sets.create_stack_instances(**target(name, "us-east-1", "eu-west-3"))["OperationId"]
    assert ended(stack_sets, name, operation) == "SUCCEEDED"
    places = [(account, region) for account in (SPOKE, SPOKE2) for region in ("eu-west-3", "us-east-1")]
    assert instances(stack_sets, name) == [(*place, "CURRENT") for place in places]
    assert stack_sets.describe_stack_set(StackSetName=name)["StackSet"]["OrganizationalUnitIds"] == [UNIT]
    with pytest.raises(ClientError, match="StackSetNotEmptyException"):
        stack_sets.delete_stack_set(StackSetName=name)

    removal = target(name, "us-east-1", "eu-west-3")
    operation = stack_sets.delete_stack_instances(**removal, RetainStacks=False)["OperationId"]
    assert ended(stack_sets, name, operation) == "SUCCEEDED"
    assert instances(stack_sets, name) == []
    for account, region in places:
        described = cloud.client("cloudformation", account, region).describe_stacks()["Stacks"]
        assert not [one for one in described if name in one["StackName"]]
    stack_sets.delete_stack_set(StackSetName=name)
    with pytest.raises(ClientError, match="StackSetNotFoundException"):
        stack_sets.describe_stack_set(StackSetName=name)


def test_retained_stacks_stay(cloud: LocalCloud, stack_sets: Any, name: str) -> None:
    operation = stack_sets.create_stack_instances(**target(name))["OperationId"]
    assert ended(stack_sets, name, operation) == "SUCCEEDED"
    stack_sets.delete_stack_instances(**target(name), RetainStacks=True)
    assert instances(stack_sets, name) == []
    described = cloud.client("cloudformation", SPOKE).describe_stacks()["Stacks"]
    assert [one["StackStatus"] for one in described if name in one["StackName"]] == ["CREATE_COMPLETE"]


def test_what_is_there_already_fails_its_instance_and_no_other(cloud: LocalCloud, stack_sets: Any) -> None:
    role = unique("role")
    cloud.role(account=SPOKE, name=role)
    trust = json.loads(policy({**allow("sts:AssumeRole"), "Principal": {"Service": "lambda.amazonaws.com"}}))
    del trust["Statement"][0]["Resource"]
    resource = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": role, "AssumeRolePolicyDocument": trust}}
    name = create(stack_sets, template(Role=resource), Capabilities=["CAPABILITY_NAMED_IAM"])
    operation = stack_sets.create_stack_instances(**target(name))["OperationId"]
    assert ended(stack_sets, name, operation) == "FAILED"
    assert instances(stack_sets, name) == [(SPOKE, "us-east-1", "OUTDATED"), (SPOKE2, "us-east-1", "CURRENT")]


def test_only_plain_templates(stack_sets: Any) -> None:
    nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": "https://nowhere.invalid/"}}
    with pytest.raises(ClientError, match="Nested stack is not supported in SERVICE_MANAGED permission model"):
        create(stack_sets, template(Nested=nested))
    with pytest.raises(ClientError, match="Transform is not supported in SERVICE_MANAGED permission model"):
        create(stack_sets, (ROOT / "template.yaml").read_text(), Capabilities=["CAPABILITY_NAMED_IAM"])


def test_roles_want_a_capability(stack_sets: Any) -> None:
    with pytest.raises(ClientError, match=r"Requires capabilities : \[CAPABILITY_NAMED_IAM\]"):
        create(stack_sets, (ROOT / "spoke/template.yaml").read_text())


def test_only_the_management_account(cloud: LocalCloud) -> None:
    member = cloud.client("cloudformation", SPOKE)
    with pytest.raises(ClientError, match="You must be the management account or delegated admin"):
        create(member, template(Parameter=parameter("never")))
    with pytest.raises(ClientError, match="OperationNotPermittedException"):
        cloud.client("ram", SPOKE).enable_sharing_with_aws_organization()
    assert cloud.client("ram", HUB).enable_sharing_with_aws_organization()["returnValue"] is True


def test_a_stack_is_gone_when_its_deletion_is_answered(cloud: LocalCloud) -> None:
    """Not AWS's promise, but that of `sam delete`, which would look again after 30 seconds only."""
    formation, name = cloud.client("cloudformation", SPOKE), unique("stack")
    formation.create_stack(StackName=name, TemplateBody=template(Parameter=parameter(name)))
    formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    formation.delete_stack(StackName=name)
    with pytest.raises(ClientError, match="does not exist"):
        formation.describe_stacks(StackName=name)

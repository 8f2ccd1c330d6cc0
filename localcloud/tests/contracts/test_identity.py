"""Who is calling and what conditions see.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import HUB, OUTSIDER, SPOKE, LocalCloud, allow, policy, unique


def trust(account: str = HUB, **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    return {**statement, "Condition": condition} if condition else statement


def assume(cloud: LocalCloud, caller: str, role: str, **more: Any) -> Any:
    return cloud.as_role("sts", caller).assume_role(RoleArn=role, RoleSessionName="test", **more)


@pytest.fixture(scope="module")
def caller(cloud: LocalCloud) -> str:
    return cloud.role(allow("sts:AssumeRole"))


@pytest.mark.parametrize(
    ("condition", "admitted"),
    [
        ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{HUB}:role/groundcrew/*"}}, True),
        ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{HUB}:role/other/*"}}, False),
        ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:sts::{HUB}:assumed-role/*"}}, False),
        ({"StringEquals": {"aws:PrincipalOrgID": "o-groundcrew01"}}, True),
        ({"StringEquals": {"aws:PrincipalOrgID": "o-somebody"}}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, False),
        ({"Bool": {"aws:PrincipalIsAWSService": "false"}}, True),
        ({"Bool": {"aws:PrincipalIsAWSService": "true"}}, False),
        ({"StringEquals": {"aws:PrincipalAccount": HUB}}, True),
        ({"StringEquals": {"sts:ExternalId": "x"}}, False),
    ],
)
def test_a_trust_policy_sees_the_roles_arn_and_organization(
    cloud: LocalCloud, caller: str, condition: dict[str, Any], admitted: bool
) -> None:
    role = cloud.role(account=SPOKE, trust=trust(**condition))
    if admitted:
        assumed = assume(cloud, caller, role)["AssumedRoleUser"]["Arn"]
        assert assumed.startswith(f"arn:aws:sts::{SPOKE}:assumed-role/")
    else:
        with pytest.raises(ClientError, match="AccessDenied"):
            assume(cloud, caller, role)


def test_an_account_outside_has_no_organization(cloud: LocalCloud) -> None:
    outsider = cloud.role(allow("sts:AssumeRole"), account=OUTSIDER)
    role = cloud.role(account=SPOKE, trust=trust(OUTSIDER, StringEquals={"aws:PrincipalOrgID": "o-groundcrew01"}))
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(cloud, outsider, role)


def test_a_principal_is_named_with_its_path(cloud: LocalCloud, caller: str) -> None:
    def named(arn: str) -> str:
        return cloud.role(
            account=SPOKE, trust={"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"}
        )

    assume(cloud, caller, named(caller))
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(cloud, caller, named(caller.replace("/groundcrew/", "/other/")))


def test_a_role_is_assumed_by_its_whole_arn(cloud: LocalCloud, caller: str) -> None:
    role = cloud.role(account=SPOKE, trust=trust())
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(cloud, caller, role.replace("/groundcrew/", "/"))


def test_the_caller_needs_permission_for_exactly_that_role(cloud: LocalCloud) -> None:
    role = cloud.role(account=SPOKE, trust=trust())
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(cloud, cloud.role(allow("sts:AssumeRole", f"arn:aws:iam::{SPOKE}:role/other/*")), role)
    assume(cloud, cloud.role(allow("sts:AssumeRole", f"arn:aws:iam::{SPOKE}:role/groundcrew/*")), role)


def test_a_chained_session_lasts_an_hour_at_most(cloud: LocalCloud, caller: str) -> None:
    """https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html"""
    role = cloud.role(account=SPOKE, trust=trust())
    assume(cloud, caller, role, DurationSeconds=3600)
    with pytest.raises(ClientError, match="ValidationError"):
        assume(cloud, caller, role, DurationSeconds=3601)


def test_the_call_log_names_role_action_and_resource(cloud: LocalCloud) -> None:
    name = f"/groundcrew/{unique('parameter')}"
    arn = f"arn:aws:ssm:us-east-1:{HUB}:parameter{name}"
    cloud.client("ssm").put_parameter(Name=name, Value="x", Type="String")
    role = cloud.role(allow("ssm:GetParameter", arn))
    since = cloud.control.next_call()
    cloud.as_role("ssm", role).get_parameter(Name=name)
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.as_role("ssm", role).get_parameter(Name=f"{name}x")
    calls = cloud.control.calls(since, role=role)
    assert [(one["action"], one["resource"], one["allowed"]) for one in calls] == [
        ("ssm:GetParameter", arn, True),
        ("ssm:GetParameter", f"{arn}x", False),
    ]
    assert {one["principal"] for one in calls} == {role}


def test_a_refused_trust_is_recorded(cloud: LocalCloud, caller: str) -> None:
    role = cloud.role(account=SPOKE)
    since = cloud.control.next_call()
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(cloud, caller, role)
    assert [one["allowed"] for one in cloud.control.calls(since, action="sts:AssumeRole")][-1] is False


def test_the_permissions_report_says_what_was_never_used(cloud: LocalCloud) -> None:
    role = cloud.role(allow(["ssm:GetParameter", "ssm:GetParameters"], "*"))
    cloud.client("ssm").put_parameter(Name="/groundcrew/used", Value="x", Type="String", Overwrite=True)
    cloud.as_role("ssm", role).get_parameter(Name="/groundcrew/used")
    report = {row["action"]: row["used"] for row in cloud.control.permissions() if row["role"] == role}
    assert report == {"ssm:GetParameter": 1, "ssm:GetParameters": 0}


def test_a_queue_policy_alone_does_not_admit_another_accounts_role(cloud: LocalCloud) -> None:
    url, arn = cloud.queue()
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(statement)})
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.as_role("sqs", cloud.role(account=SPOKE)).send_message(QueueUrl=url, MessageBody="x")
    cloud.as_role("sqs", cloud.role(allow("sqs:SendMessage", arn), account=SPOKE)).send_message(
        QueueUrl=url, MessageBody="x"
    )

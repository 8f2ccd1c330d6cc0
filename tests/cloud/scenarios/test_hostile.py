"""What others can do to Groundcrew, and what its roles can do in the wrong hands, as IAM and EventBridge enforce it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.fleet import Network, make_network
from localcloud.installation import HUB, REGION, SPOKE_STACK, STACK
from localcloud.testing.served import OUTSIDER, allow, policy, unique
from tests.cloud.scenarios.deployed import OTHER, SECOND_REGION, SPOKE, Deployed

BUS = f"arn:aws:events:{REGION}:{HUB}:event-bus/groundcrew"
STACK_TAG = {"Key": "groundcrew:stack", "Value": f"{HUB}/{REGION}/{STACK}"}
SQS = f"com.amazonaws.{REGION}.sqs"
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
SECRET = "correct-horse-battery-staple"
STATUS_CHANGE = "MWAA Environment Status Change"


def role(kind: str, account: str = SPOKE) -> str:
    return f"arn:aws:iam::{account}:role/groundcrew/groundcrew-{kind}-{REGION}"


def refusal(act: Callable[[], Any]) -> str:
    """The code with which a call is refused; empty if it is not."""
    try:
        act()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def logged(groundcrew: Deployed, function: str = "endpoints") -> list[str]:
    """Every line of a function's log."""
    pages = groundcrew.aws.client("logs", HUB).get_paginator("filter_log_events")
    return [
        str(event["message"])
        for page in pages.paginate(logGroupName=f"/aws/lambda/groundcrew-{function}")
        for event in page["events"]
    ]


def refused(groundcrew: Deployed) -> list[str]:
    """The causes of all refusals so far, in order."""
    lines = [json.loads(line) for line in logged(groundcrew) if '"message":"cannot be done"' in line]
    return [line["cause"] for line in lines]


# ------------------------------------------------------------------------------------------------------- hostile events
def test_hostile_events_lead_to_one_line_each(groundcrew: Deployed) -> None:
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    ref, cloud = environment.ref, groundcrew.cloud
    before, failed, since = refused(groundcrew), groundcrew.logged("failed"), cloud.next_call()

    def ask(**change: Any) -> None:
        groundcrew.put(SPOKE, "groundcrew.request", "Endpoint Reconcile Requested", {"environment": ref} | change)

    def mwaa(account: str, detail: Any, *resources: str, source: str = "aws.airflow") -> None:
        entry = {"Source": source, "DetailType": STATUS_CHANGE, "Detail": json.dumps(detail), "Resources": resources}
        cloud.put_aws_event(account, REGION, entry)

    ask(environment=ref | {"name": "../../x"})
    ask(environment=ref | {"region": "us-west-2"})
    ask(**{f"key {number}": "x" * 1_000 for number in range(200)})
    ask(environment=json.loads('{"a":' * 200 + "1" + "}" * 200))
    mwaa(OTHER, {"name": environment.name}, environment.arn)
    mwaa(OTHER, {"name": "x" * 10_000})
    mwaa(OTHER, {"name": None})
    mwaa(SPOKE, {"name": environment.name}, environment.arn, source="aws.airflow-serverless")  # no rule knows it
    groundcrew.put(OTHER, "groundcrew", "Environment Observed", {"environment": ref, "status": "DELETED"})  # nor that
    expected = ["ForgedEvent", "InvalidEnvironment", "InvalidEnvironment", *["InvalidRequest"] * 3, "NotConfigured"]
    groundcrew.until(lambda: len(refused(groundcrew)) >= len(before) + len(expected), "the lines")
    groundcrew.until_idle()
    assert sorted(refused(groundcrew)[len(before) :]) == expected
    assert groundcrew.logged("failed") == failed
    assert cloud.calls(since, role="groundcrew-(observer|network)") == []
    assert cloud.failures() == []
    assert environment.faults() == []


def test_what_is_put_into_the_queue_by_hand_leads_to_one_line_each(groundcrew: Deployed) -> None:
    sqs = groundcrew.aws.client("sqs", HUB)
    url = sqs.get_queue_url(QueueName="groundcrew-endpoints")["QueueUrl"]
    serverless = {"id": "1", "account": SPOKE, "region": REGION, "detail": {}, "source": "aws.airflow-serverless"}
    bodies = ["no JSON", "[" * 100_000, '{"a":' * 20_000, json.dumps(serverless | {"detail-type": "Any"})]
    before, failed = refused(groundcrew), groundcrew.logged("failed")
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)
    groundcrew.until(lambda: len(refused(groundcrew)) >= len(before) + len(bodies), "the lines")
    groundcrew.until_idle()
    assert sorted(refused(groundcrew)[len(before) :]) == [*["MalformedEvent"] * 3, "UnknownEvent"]
    assert groundcrew.logged("failed") == failed


def test_nobody_passes_for_mwaa(groundcrew: Deployed) -> None:
    entry = {"Source": "aws.airflow", "DetailType": STATUS_CHANGE, "Detail": '{"name": "orders"}'}
    for account, bus in ((SPOKE, "default"), (SPOKE, BUS), (HUB, BUS)):
        events = groundcrew.aws.client("events", account)
        put = [entry | {"EventBusName": bus}]
        code = refusal(lambda events=events, put=put: events.put_events(Entries=put))  # type: ignore[misc]
        assert code in DENIED or events.put_events(Entries=put)["Entries"][0]["ErrorCode"], (account, bus)


def test_an_account_outside_the_organization_has_no_way_in(groundcrew: Deployed) -> None:
    """Not even with a role of the name that the bus admits."""
    iam = groundcrew.aws.client("iam", OUTSIDER)
    trust = policy({"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"})
    name = f"groundcrew-forward-{REGION}"
    arn = iam.create_role(RoleName=name, Path="/groundcrew/", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy(allow("events:PutEvents")))
    detail = json.dumps({"environment": {"account": OUTSIDER, "region": REGION, "name": "orders"}})
    entry = {"Source": "groundcrew.request", "DetailType": "Endpoint Reconcile Requested", "Detail": detail}
    before = len(refused(groundcrew))
    for events in (groundcrew.aws.client("events", OUTSIDER), groundcrew.aws.as_role("events", arn)):
        assert refusal(lambda e=events: e.put_events(Entries=[entry | {"EventBusName": BUS}])) in DENIED  # type: ignore[misc]
    groundcrew.until_idle()
    assert len(refused(groundcrew)) == before
    iam.delete_role_policy(RoleName=name, PolicyName="all")
    iam.delete_role(RoleName=name)


# ------------------------------------------------------------------------------------------------ roles in wrong hands
@dataclass(frozen=True)
class Theirs:
    """What somebody else has in an account that owns VPCs."""

    network: Network
    endpoint_id: str
    group_id: str
    tagged_group_id: str  # carries the hub's tag, so the network role may put endpoints behind it


@pytest.fixture
def theirs(groundcrew: Deployed) -> Iterator[Theirs]:
    network = make_network(groundcrew.aws, SPOKE, REGION)
    ec2 = groundcrew.aws.client("ec2", SPOKE)

    def group(*tags: dict[str, str]) -> str:
        specification = [{"ResourceType": "security-group", "Tags": list(tags)}] if tags else []
        made = ec2.create_security_group(
            GroupName=unique("theirs"), Description="x", VpcId=network.vpc_id, TagSpecifications=specification
        )
        return str(made["GroupId"])

    group_id, tagged_group_id = group(), group(STACK_TAG)
    made = ec2.create_vpc_endpoint(
        VpcId=network.vpc_id,
        ServiceName=SQS,
        VpcEndpointType="Interface",
        SubnetIds=list(network.subnet_ids),
        SecurityGroupIds=[group_id],
    )
    endpoint_id = made["VpcEndpoint"]["VpcEndpointId"]
    yield Theirs(network, endpoint_id, group_id, tagged_group_id)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint_id])
    gone = {"Filters": [{"Name": "vpc-endpoint-id", "Values": [endpoint_id]}]}
    groundcrew.until(lambda: not ec2.describe_vpc_endpoints(**gone)["VpcEndpoints"], "their endpoint gone")
    for one in (group_id, tagged_group_id):
        ec2.delete_security_group(GroupId=one)


def attempts(ec2: Any, theirs: Theirs) -> dict[str, Callable[[], Any]]:
    """What a network role must not be able to do."""
    vpc, subnets = theirs.network.vpc_id, list(theirs.network.subnet_ids)
    rule = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ours = [{"ResourceType": "vpc-endpoint", "Tags": [STACK_TAG]}]
    foreign = [{"ResourceType": "security-group", "Tags": [STACK_TAG | {"Value": f"{OTHER}/{REGION}/{STACK}"}]}]

    def endpoint(service: str, group_id: str, **more: Any) -> Callable[[], Any]:
        return lambda: ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName=service,
            VpcEndpointType="Interface",
            SubnetIds=subnets,
            SecurityGroupIds=[group_id],
            **more,
        )

    def group(**more: Any) -> Callable[[], Any]:
        return lambda: ec2.create_security_group(GroupName=unique("x"), Description="x", VpcId=vpc, **more)

    return {
        "delete an endpoint": lambda: ec2.delete_vpc_endpoints(VpcEndpointIds=[theirs.endpoint_id]),
        "change an endpoint": lambda: ec2.modify_vpc_endpoint(VpcEndpointId=theirs.endpoint_id, PolicyDocument="{}"),
        "delete a group": lambda: ec2.delete_security_group(GroupId=theirs.group_id),
        "open a group": lambda: ec2.authorize_security_group_ingress(GroupId=theirs.group_id, IpPermissions=rule),
        "close a group": lambda: ec2.revoke_security_group_ingress(GroupId=theirs.group_id, IpPermissions=rule),
        "tag an endpoint": lambda: ec2.create_tags(Resources=[theirs.endpoint_id], Tags=[STACK_TAG]),
        "tag a group": lambda: ec2.create_tags(Resources=[theirs.group_id], Tags=[STACK_TAG]),
        "tag a subnet": lambda: ec2.create_tags(Resources=subnets[:1], Tags=[STACK_TAG]),
        "retag with others' keys": lambda: ec2.create_tags(
            Resources=[theirs.tagged_group_id], Tags=[{"Key": "owner", "Value": "x"}]
        ),
        "make an untagged endpoint": endpoint(SQS, theirs.tagged_group_id),
        "make one behind somebody's group": endpoint(SQS, theirs.group_id, TagSpecifications=ours),
        "make one for another service": endpoint(
            f"com.amazonaws.{REGION}.secretsmanager", theirs.tagged_group_id, TagSpecifications=ours
        ),
        "make an untagged group": group(),
        "make a group of another hub": group(TagSpecifications=foreign),
        "delete a VPC": lambda: ec2.delete_vpc(VpcId=vpc),
    }


def test_the_network_role_touches_only_what_carries_the_hubs_tag(groundcrew: Deployed, theirs: Theirs) -> None:
    tried = attempts(groundcrew.aws.as_role("ec2", role("network")), theirs)
    codes = {name: refusal(act) for name, act in tried.items()}
    assert {name: code for name, code in codes.items() if code not in DENIED} == {}
    mwaa = groundcrew.aws.as_role("mwaa", role("network"))
    assert refusal(lambda: mwaa.get_environment(Name="orders")) in DENIED


def test_the_observer_role_changes_nothing_and_sees_one_region(groundcrew: Deployed, theirs: Theirs) -> None:
    tried = attempts(groundcrew.aws.as_role("ec2", role("observer")), theirs)
    mwaa = groundcrew.aws.as_role("mwaa", role("observer"))
    elsewhere = groundcrew.aws.as_role("ec2", role("observer"), SECOND_REGION)
    tried |= {
        "delete an environment": lambda: mwaa.delete_environment(Name="orders"),
        "update an environment": lambda: mwaa.update_environment(Name="orders"),
        "sign in to Airflow": lambda: mwaa.create_web_login_token(Name="orders"),
        "command Airflow": lambda: mwaa.create_cli_token(Name="orders"),
        "look at another Region": elsewhere.describe_vpcs,
        "look at its environments": lambda: groundcrew.aws.as_role(
            "mwaa", role("observer"), SECOND_REGION
        ).get_environment(Name="orders"),
        "read parameters": lambda: groundcrew.aws.as_role("ssm", role("observer")).get_parameter(Name="/x"),
    }
    codes = {name: refusal(act) for name, act in tried.items()}
    assert {name: code for name, code in codes.items() if code not in DENIED} == {}


def test_roles_are_taken_on_only_by_whom_they_are_for(groundcrew: Deployed) -> None:
    """In each account, root may do all that no trust policy has a say in: what is refused is refused by the roles."""
    iam = {account: groundcrew.aws.client("iam", account) for account in (HUB, SPOKE)}
    lambdas = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    hub = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{HUB}:root"}, "Action": "sts:AssumeRole"}
    made = []

    def make(account: str, name: str, path: str, trust: dict[str, Any]) -> str:
        created = iam[account].create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=policy(trust))
        iam[account].put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(allow("sts:AssumeRole")))
        made.append((account, name))
        return str(created["Role"]["Arn"])

    def assume(caller: str, target: str) -> str:
        sts = groundcrew.aws.as_role("sts", caller)
        return refusal(lambda: sts.assume_role(RoleArn=target, RoleSessionName="test"))

    endpoints, sweep = role("endpoints", HUB), role("sweep", HUB)
    runs, router, follow = role("runs", HUB), role("runs-router", HUB), role("runs-follow", HUB)
    observer, network, forward, airflow = role("observer"), role("network"), role("forward"), role("airflow")
    binder, rotate = role("binder"), role("tokens-rotate", HUB)
    try:
        other = make(HUB, unique("other"), "/groundcrew/", lambdas)
        namesake = make(SPOKE, endpoints.rsplit("/", 1)[-1], "/groundcrew/", lambdas)
        admin = make(SPOKE, unique("admin"), "/", hub)
        fake = make(SPOKE, unique("groundcrew-network"), "/", hub)
        trusting = make(SPOKE, unique("groundcrew-observer"), "/groundcrew/", hub)
        refusals = {
            (caller, target): assume(caller, target)
            for caller, targets in {
                rotate: (binder, network, forward, airflow, admin, fake),
                other: (observer, network, forward, airflow, binder),
                namesake: (observer, network, forward, airflow),
                sweep: (network, forward, airflow, endpoints, admin, fake),
                endpoints: (forward, airflow, sweep, admin, fake),
                runs: (network, forward, endpoints, admin, fake),
                router: (network, forward, airflow, runs, admin, fake),
                follow: (network, forward, runs, admin, fake),
                observer: (network, airflow, endpoints),
            }.items()
            for target in targets
        }
        assert {pair: code for pair, code in refusals.items() if code not in DENIED} == {}
        assert assume(other, admin) == assume(endpoints, trusting) == ""  # nothing else is in the way
    finally:
        for account, name in made:
            iam[account].delete_role_policy(RoleName=name, PolicyName="p")
            iam[account].delete_role(RoleName=name)


@pytest.mark.parametrize("kind", ["endpoints", "sweep"])
def test_a_functions_role_reaches_nothing_of_the_hub_itself(groundcrew: Deployed, kind: str) -> None:
    aws, arn = groundcrew.aws, role(kind, HUB)
    ec2, ssm, functions = aws.as_role("ec2", arn), aws.as_role("ssm", arn), aws.as_role("lambda", arn)
    tried: dict[str, Callable[[], Any]] = {
        "networks": ec2.describe_vpcs,
        "environments": lambda: aws.as_role("mwaa", arn).list_environments(),
        "other parameters": lambda: ssm.get_parameter(Name="/somebody/elses"),
        "policies, to write": lambda: ssm.put_parameter(
            Name="/groundcrew/endpoints/default", Value="{}", Type="String", Overwrite=True
        ),
        "functions": lambda: functions.invoke(FunctionName="groundcrew-sweep"),
        "code": lambda: functions.update_function_code(FunctionName="groundcrew-endpoints", ZipFile=b"x"),
        "roles": lambda: aws.as_role("iam", arn).list_roles(),
        "the stack": lambda: aws.as_role("cloudformation", arn).delete_stack(StackName=SPOKE_STACK),
        "another bus": lambda: aws.as_role("events", arn).put_events(
            Entries=[{"Source": "groundcrew", "DetailType": "x", "Detail": "{}"}]
        ),
    }
    if kind == "sweep":
        tried["policies"] = lambda: ssm.get_parameter(Name="/groundcrew/endpoints/default")
        tried["jobs"] = lambda: aws.as_role("sqs", arn).get_queue_url(QueueName="groundcrew-endpoints")
    codes = {name: refusal(act) for name, act in tried.items()}
    assert {name: code for name, code in codes.items() if code not in DENIED} == {}


# -------------------------------------------------------------------------------------------------------------- secrets
def test_a_planted_secret_reaches_nothing_that_was_written(groundcrew: Deployed) -> None:
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    mwaa = groundcrew.aws.client("mwaa", environment.account)
    mwaa.update_environment(Name=environment.name, AirflowConfigurationOptions={"smtp.smtp_password": SECRET})
    groundcrew.until_right(environment)
    assert SECRET in json.dumps(environment.describe(), default=str)
    with groundcrew.without(f"groundcrew-observer-{REGION}", HUB, "ec2:DescribeVpcEndpoints"):
        groundcrew.request(environment)  # a refusal is announced
        groundcrew.until_fact("Endpoints Blocked", environment)
    groundcrew.request(environment, dry_run=True)
    groundcrew.until_fact("Endpoints Planned", environment)
    groundcrew.sweep()
    groundcrew.until_fact("Environment Observed", environment)
    groundcrew.until_idle()
    written = {
        "endpoints log": logged(groundcrew),
        "sweep log": logged(groundcrew, "sweep"),
        "events": [json.dumps(fact) for fact in groundcrew.heard],
        "tags": [json.dumps([environment.endpoints(), environment.groups()], default=str)],
        "calls": [json.dumps(groundcrew.cloud.calls())],
    }
    assert [name for name, texts in written.items() if any(SECRET in text for text in texts)] == []
    # the same search finds what is there
    found = {name for name, texts in written.items() if any(environment.name in text for text in texts)}
    assert found == set(written) - {"sweep log"}
    assert written["sweep log"]

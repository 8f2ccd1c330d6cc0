import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from localcloud.inprocess.aws import InProcessAws, in_process
from localcloud.inprocess.faults import Killed, Kind
from localcloud.model.caller import Caller
from localcloud.tests.unit.conftest import HUB, REGION, SPOKE, Shared, client, refused

ROLE = f"arn:aws:iam::{SPOKE}:role/groundcrew/groundcrew-observer-{REGION}"
SQS = f"com.amazonaws.{REGION}.sqs"


def assumed(role: str = ROLE) -> dict[str, str]:
    credentials = client("sts").assume_role(RoleArn=role, RoleSessionName="tests")["Credentials"]
    return {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }


def test_a_session_acts_in_the_account_of_its_role(shared: Shared) -> None:
    credentials: dict[str, Any] = assumed()
    spoke = boto3.client("ec2", **credentials)
    assert [subnet["OwnerId"] for subnet in spoke.describe_subnets()["Subnets"]] == [HUB, HUB]
    attempt = shared.aws.journal[-1].attempt
    assert (attempt.operation, attempt.account, attempt.role) == ("ec2:DescribeSubnets", SPOKE, ROLE)


def test_ambient_credentials_are_those_of_the_given_role() -> None:
    role = f"arn:aws:iam::{HUB}:role/groundcrew/groundcrew-endpoints-{REGION}"
    with in_process(role=role, region="eu-west-3") as aws:
        boto3.Session().client("ec2").describe_vpcs()
        attempt = aws.journal[-1].attempt
        assert (attempt.account, attempt.region, attempt.role) == (HUB, "eu-west-3", role)


def test_parameters_events_and_messages(aws: InProcessAws) -> None:
    aws.parameters["/groundcrew/endpoints/default"] = "{}"
    ssm, events, sqs = client("ssm"), client("events", SPOKE), client("sqs")
    assert ssm.get_parameter(Name="/groundcrew/endpoints/default")["Parameter"]["Value"] == "{}"
    assert refused(ssm.get_parameter, Name="/groundcrew/endpoints/none") == "ParameterNotFound"
    entry = {"Source": "groundcrew", "DetailType": "Endpoints Ready", "Detail": "{}", "EventBusName": "groundcrew"}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    assert aws.events == [{**entry, "account": SPOKE, "region": REGION}]
    queue = {"QueueUrl": f"https://sqs.{REGION}.amazonaws.com/{HUB}/q"}
    sqs.change_message_visibility(**queue, ReceiptHandle="r", VisibilityTimeout=60)
    sqs.send_message(**queue, MessageBody="again")
    assert aws.small.visibilities[0]["VisibilityTimeout"] == 60
    assert aws.small.messages[0]["MessageBody"] == "again"


def test_a_batch_of_messages_may_fail_in_part(aws: InProcessAws) -> None:
    aws.small.refused_entries = {"1"}
    entries: list[Any] = [{"Id": str(number), "MessageBody": f"m{number}"} for number in range(3)]
    answer = client("sqs").send_message_batch(QueueUrl="https://sqs/q", Entries=entries)
    assert [one["Id"] for one in answer["Successful"]] == ["0", "2"]
    assert [one["Id"] for one in answer["Failed"]] == ["1"]
    assert [(one["QueueUrl"], one["MessageBody"]) for one in aws.small.messages] == [
        ("https://sqs/q", "m0"), ("https://sqs/q", "m2")
    ]  # fmt: skip


def test_an_execution_is_started_once(aws: InProcessAws) -> None:
    states, machine = client("stepfunctions"), f"arn:aws:states:{REGION}:{HUB}:stateMachine:m"
    start = {"stateMachineArn": machine, "name": "one", "input": '{"n": 1}'}
    arn = states.start_execution(**start)["executionArn"]
    assert arn == f"arn:aws:states:{REGION}:{HUB}:execution:m:one"
    assert states.start_execution(**start)["executionArn"] == arn
    assert refused(states.start_execution, **{**start, "input": "{}"}) == "ExecutionAlreadyExists"
    aws.small.executions[arn]["status"] = "SUCCEEDED"
    assert refused(states.start_execution, **start) == "ExecutionAlreadyExists"
    assert list(aws.small.executions) == [arn]


def test_a_table_is_a_lock(aws: InProcessAws) -> None:
    """The same as localcloud/tests/contracts/test_dynamodb.py asks of the served cloud."""
    dynamodb = client("dynamodb")

    def acquire(holder: str, now: int, until: int) -> str | None:
        item = {"name": {"S": "x"}, "holder": {"S": holder}, "until": {"N": str(until)}}
        return outcome(
            dynamodb.put_item, TableName="locks", Item=item,
            ConditionExpression="attribute_not_exists(#name) OR #until < :now OR holder = :holder",
            ExpressionAttributeNames={"#name": "name", "#until": "until"},
            ExpressionAttributeValues={":now": {"N": str(now)}, ":holder": {"S": holder}},
        )  # fmt: skip

    def release(holder: str) -> str | None:
        return outcome(
            dynamodb.delete_item, TableName="locks", Key={"name": {"S": "x"}}, ConditionExpression="holder = :holder",
            ExpressionAttributeValues={":holder": {"S": holder}},
        )  # fmt: skip

    busy = "ConditionalCheckFailedException"
    assert acquire("a", now=99, until=200) is None
    assert acquire("b", now=150, until=250) == busy
    assert acquire("a", now=150, until=1000) is None
    assert acquire("b", now=300, until=2000) == busy  # as numbers, not as texts
    assert acquire("b", now=1001, until=2000) is None
    assert (release("a"), release("b"), release("b")) == (busy, None, busy)
    assert acquire("c", now=0, until=1) is None


@pytest.mark.parametrize(
    ("operation", "service"),
    [("dynamodb:PutItem", "dynamodb"), ("states:StartExecution", "stepfunctions"), ("sqs:SendMessageBatch", "sqs")],
)
def test_every_call_may_fail(aws: InProcessAws, operation: str, service: str) -> None:
    calls = {
        "dynamodb": lambda client: client.put_item(TableName="t", Item={"name": {"S": "x"}}),
        "stepfunctions": lambda client: client.start_execution(stateMachineArn="arn:aws:states:r:a:stateMachine:m"),
        "sqs": lambda client: client.send_message_batch(QueueUrl="u", Entries=[{"Id": "1", "MessageBody": "x"}]),
    }
    for kind in (Kind.THROTTLED, Kind.SERVER_ERROR, Kind.DENIED):
        rule = aws.faults.add(kind, operation)
        with pytest.raises(ClientError):
            calls[service](client(service))
        assert rule.fired
    calls[service](client(service))


def outcome(call: Callable[..., Any], **params: Any) -> str | None:
    """The code of the error, if there was one."""
    try:
        call(**params)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None


def test_a_call_the_cloud_does_not_know_is_an_error_not_a_network_call(aws: InProcessAws) -> None:
    with pytest.raises(NotImplementedError, match="sqs:ListQueues"):
        client("sqs").list_queues()
    with pytest.raises(KeyError, match="lambda"):
        client("lambda").list_functions()


def test_the_journal_says_what_took_effect(shared: Shared) -> None:
    shared.hub.describe_vpcs()
    shared.endpoint(SQS)
    refused(shared.hub.delete_security_group, GroupId="sg-0")
    assert [(entry.operation, entry.effect, entry.error) for entry in shared.aws.journal] == [
        ("ec2:DescribeVpcs", False, None),
        ("ec2:CreateVpcEndpoint", True, None),
        ("ec2:DeleteSecurityGroup", False, "InvalidGroup.NotFound"),
    ]
    assert len(shared.aws.calls("ec2:Create*")) == 1


# ---------------------------------------------------------------------- faults
@pytest.mark.parametrize(
    ("kind", "code"), [(Kind.THROTTLED, "RequestLimitExceeded"), (Kind.SERVER_ERROR, "InternalError")]
)
def test_a_fault_outlasts_the_sdks_retries_unless_limited(shared: Shared, kind: Kind, code: str) -> None:
    lasting = shared.aws.faults.add(kind, "ec2:DescribeVpcs")
    assert refused(shared.hub.describe_vpcs) == code
    assert lasting.fired == 3
    assert shared.aws.slept > 0
    shared.hub.describe_vpcs()  # the next call is well
    shared.aws.faults.clear()
    passing = shared.aws.faults.add(kind, "ec2:DescribeVpcs", attempts=1)
    shared.hub.describe_vpcs()
    assert passing.fired == 1


def test_denied_in_each_services_own_words(shared: Shared) -> None:
    rule = shared.aws.faults.add(Kind.DENIED, nth=None)
    assert refused(shared.hub.describe_vpcs) == "UnauthorizedOperation"
    assert refused(client("sts").assume_role, RoleArn=ROLE, RoleSessionName="tests") == "AccessDenied"
    assert refused(client("mwaa").list_environments) == "AccessDeniedException"
    assert refused(client("ssm").get_parameter, Name="/x") == "AccessDeniedException"
    assert rule.fired == 4


def test_timed_out_after_taking_effect(shared: Shared) -> None:
    rule = shared.aws.faults.add(Kind.TIMED_OUT_AFTER, "ec2:CreateVpcEndpoint")
    params: dict[str, Any] = {"VpcId": shared.vpc, "ServiceName": SQS, "VpcEndpointType": "Interface"}
    with pytest.raises(ReadTimeoutError):
        shared.hub.create_vpc_endpoint(**params, ClientToken="once")
    assert rule.fired == 3  # the SDK tried again, and the token made it one endpoint
    assert len(shared.aws.endpoints()) == 1
    assert [entry.effect for entry in shared.aws.calls("ec2:CreateVpcEndpoint")] == [True] * 3


def test_reset_before_taking_effect(shared: Shared) -> None:
    rule = shared.aws.faults.add(Kind.RESET_BEFORE, "ec2:CreateTags")
    with pytest.raises(ConnectionClosedError):
        shared.hub.create_tags(Resources=[shared.group], Tags=[{"Key": "a", "Value": "b"}])
    assert rule.fired == 3
    assert shared.aws.groups(HUB)[1].tags == {}


@pytest.mark.parametrize(("kind", "tags"), [(Kind.KILLED_BEFORE, {}), (Kind.KILLED_AFTER, {"a": "b"})])
def test_killed_in_the_middle(shared: Shared, kind: Kind, tags: dict[str, str]) -> None:
    rule = shared.aws.faults.add(kind, "ec2:CreateTags")
    with pytest.raises(Killed):
        shared.hub.create_tags(Resources=[shared.group], Tags=[{"Key": "a", "Value": "b"}])
    assert rule.fired == 1
    assert shared.aws.groups(HUB)[1].tags == tags


def test_the_nth_call_that_a_condition_picks(shared: Shared) -> None:
    rule = shared.aws.faults.add(
        Kind.DENIED, "sts:AssumeRole", nth=2, where=lambda attempt: "observer" in attempt.params["RoleArn"]
    )
    assumed()
    assumed(f"arn:aws:iam::{SPOKE}:role/groundcrew/groundcrew-network-{REGION}")
    assert rule.fired == 0
    with pytest.raises(ClientError):
        assumed()
    assert rule.fired == 1


def test_a_rule_for_calls_that_never_come_says_so(shared: Shared) -> None:
    rule = shared.aws.faults.add(Kind.THROTTLED, "ec2:DeleteVpcEndpoints", nth=7)
    shared.hub.describe_vpcs()
    assert rule.fired == 0


# ---------------------------------------------------------------------- many
def test_threads_share_one_cloud(shared: Shared) -> None:
    def create(number: int) -> str:
        return shared.endpoint(SQS, PrivateDnsEnabled=False, ClientToken=f"token-{number % 5}")

    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(create, range(40)))
    assert len(made) == len(shared.aws.endpoints()) == 5


def test_a_thousand_environments_in_fifty_accounts(aws: InProcessAws) -> None:
    accounts = [f"{number:012}" for number in range(500, 550)]
    for account in accounts:
        vpc = aws.network.vpc(owner=HUB)
        subnets = aws.network.private_subnets(vpc)
        aws.share(subnets, account)
        group = aws.security_group(account, vpc, "airflow")
        for number in range(20):
            aws.create_environment(account, REGION, f"e{number}", subnets, "PRIVATE_ONLY", groups=[group])
    started = time.process_time()
    aws.clock.advance(60)
    assert len(aws.delivered) == 2000
    hub = client("ec2", HUB)
    for account in accounts:
        environment = aws.mwaa.get(Caller(account, REGION), "e0")
        group = hub.create_security_group(
            GroupName=f"own-{account}",
            Description="d",
            VpcId=aws.network.subnets(REGION)[environment.subnets[0]]["VpcId"],
        )["GroupId"]
        pairs = [{"GroupId": environment.groups[0], "UserId": account}]
        hub.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": pairs}]
        )
    assert time.process_time() - started < 5


def test_answers_are_quick(shared: Shared) -> None:
    client("ec2").describe_vpcs()
    quiet = boto3.client("ec2", config=Config(retries={"total_max_attempts": 1}))
    started = time.process_time()
    for _ in range(100):
        quiet.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [shared.vpc]}])
    assert (
        time.process_time() - started
    ) / 100 < 0.02  # mostly botocore's own work; about 0.7 ms in all on an idle core

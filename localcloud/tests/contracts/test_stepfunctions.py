"""State machines: who starts, stops and redrives their executions, and what is said of them.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-statemachines.html
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.machines import Machine, counter, states, task, waiting
from localcloud.testing.served import HUB, LocalCloud, allow, policy, unique
from localcloud.testing.waiting import eventually


@pytest.fixture(scope="module")
def function(cloud: LocalCloud) -> str:
    return counter(cloud)


def test_the_same_start_again_is_the_same_execution(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html"""
    machine = waiting(cloud)
    first = machine.start({"n": 1}, "one")
    assert machine.start({"n": 1}, "one") == first
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        machine.start({"n": 2}, "one")
    cloud.control.advance(3601)
    machine.ended(first)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        machine.start({"n": 1}, "one")
    cloud.control.advance(91 * 86400, step=86400)
    assert machine.start({"n": 1}, "one") == first


def test_a_start_is_authorized_on_the_state_machine(cloud: LocalCloud) -> None:
    machine = waiting(cloud)
    cloud.as_role("stepfunctions", cloud.role(allow("states:StartExecution", machine.arn))).start_execution(
        stateMachineArn=machine.arn
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.as_role("stepfunctions", cloud.role(allow("states:StartExecution", f"{machine.arn}x"))).start_execution(
            stateMachineArn=machine.arn
        )


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"name": "a b"}, "InvalidName"),
        ({"name": "x" * 81}, "InvalidName"),
        ({"input": "{"}, "InvalidExecutionInput"),
        ({"stateMachineArn": f"arn:aws:states:us-east-1:{HUB}:stateMachine:nobody"}, "StateMachineDoesNotExist"),
    ],
)
def test_a_start_is_refused(cloud: LocalCloud, request_: dict[str, str], error: str) -> None:
    machine = waiting(cloud)
    with pytest.raises(ClientError, match=error):
        machine.client.start_execution(**{"stateMachineArn": machine.arn, **request_})


@pytest.mark.parametrize(
    ("definition", "error"),
    [
        ({"StartAt": "Nowhere", "States": {}}, "MISSING_TRANSITION_TARGET"),
        (states(A={"Type": "Pass", "Next": "B"}), "MISSING_TRANSITION_TARGET"),
        (states(A={"Type": "Pass"}), "SCHEMA_VALIDATION_FAILED"),
        (states(A={"Type": "Pass", "End": True}, B={"Type": "Succeed"}), "SCHEMA_VALIDATION_FAILED"),
        (states(A={"Type": "Sleep", "End": True}), "SCHEMA_VALIDATION_FAILED"),
    ],
)
def test_a_wrong_definition_is_refused(cloud: LocalCloud, definition: dict[str, Any], error: str) -> None:
    with pytest.raises(ClientError, match=error):
        Machine(cloud, definition)


def test_the_role_must_trust_step_functions_and_may_deliver_logs(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html#cloudwatch-iam-policy"""
    client, definition = cloud.client("stepfunctions"), json.dumps(states(A={"Type": "Succeed"}))
    with pytest.raises(ClientError, match="authorized to assume"):
        client.create_state_machine(name=unique("machine"), roleArn=cloud.role(), definition=definition)
    group = f"arn:aws:logs:us-east-1:{HUB}:log-group:/test:*"
    logging = {"level": "ERROR", "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}]}
    for statements, works in (((), False), ((allow("logs:*"),), True)):
        role = cloud.role(*statements, trust="states.amazonaws.com")
        request = {"name": unique("machine"), "roleArn": role, "definition": definition}
        if works:
            client.create_state_machine(**request, loggingConfiguration=logging)
        else:
            with pytest.raises(ClientError, match="Log Destination"):
                client.create_state_machine(**request, loggingConfiguration=logging)


def test_a_machine_has_a_timeout(cloud: LocalCloud) -> None:
    definition = {**states(Pause={"Type": "Wait", "Seconds": 3600, "End": True}), "TimeoutSeconds": 600}
    machine = Machine(cloud, definition)
    execution = machine.start()
    cloud.control.advance(540)
    assert machine.described(execution)["status"] == "RUNNING"
    cloud.control.advance(61)
    assert machine.described(execution)["status"] == "TIMED_OUT"
    assert machine.kinds(execution)[-1] == "ExecutionTimedOut"
    statistics = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/States", MetricName="ExecutionsTimedOut", Period=86400, Statistics=["Sum"],
        Dimensions=[{"Name": "StateMachineArn", "Value": machine.arn}],
        StartTime=cloud.control.now() - 3600, EndTime=cloud.control.now() + 60,
    )  # fmt: skip
    assert sum(point["Sum"] for point in statistics["Datapoints"]) == 1


def test_an_execution_is_stopped(cloud: LocalCloud) -> None:
    machine = waiting(cloud)
    execution = machine.start()
    machine.client.stop_execution(executionArn=execution, error="Enough", cause="asked")
    stopped = machine.described(execution)
    assert (stopped["status"], stopped["error"], stopped["cause"]) == ("ABORTED", "Enough", "asked")
    cloud.control.advance(3700)
    assert machine.kinds(execution)[-1] == "ExecutionAborted"
    listed = machine.client.list_executions(stateMachineArn=machine.arn, statusFilter="ABORTED")["executions"]
    assert [one["executionArn"] for one in listed] == [execution]


def test_a_redrive_goes_on_from_the_failed_state(cloud: LocalCloud, function: str) -> None:
    """https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html"""
    machine = Machine(
        cloud,
        states(First={"Type": "Pass", "Next": "Call"}, Call=task(function)),
        allow("lambda:InvokeFunction", function),
    )
    execution = machine.start({"key": unique("k"), "failures": 1})
    assert machine.ended(execution)["redriveStatus"] == "REDRIVABLE"
    mine = f"arn:aws:states:us-east-1:{HUB}:execution:{machine.name}:*"
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.as_role("stepfunctions", cloud.role(allow("states:RedriveExecution", machine.arn))).redrive_execution(
            executionArn=execution
        )
    cloud.as_role("stepfunctions", cloud.role(allow("states:RedriveExecution", mine))).redrive_execution(
        executionArn=execution
    )
    assert machine.output(execution)["n"] == 2
    described = machine.described(execution)
    assert (described["redriveCount"], described["redriveStatus"]) == (1, "NOT_REDRIVABLE")
    kinds = machine.kinds(execution)
    assert (kinds.count("PassStateEntered"), kinds.count("TaskStateEntered")) == (1, 2)
    assert "ExecutionRedriven" in kinds
    with pytest.raises(ClientError, match="ExecutionNotRedrivable"):
        machine.client.redrive_execution(executionArn=execution)
    late = machine.start({"key": unique("k"), "failures": 9})
    machine.ended(late)
    cloud.control.advance(15 * 86400, step=86400)
    with pytest.raises(ClientError, match="redrivable period exceeded"):
        machine.client.redrive_execution(executionArn=late)


def test_a_running_execution_keeps_its_definition(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/step-functions/latest/apireference/API_UpdateStateMachine.html"""
    pause = {"Type": "Wait", "Seconds": 600, "Next": "End"}
    machine = Machine(cloud, states(Pause=pause, End={"Type": "Pass", "Result": 1, "End": True}))
    execution = machine.start()
    eventually(lambda: "WaitStateEntered" in machine.kinds(execution))
    changed = states(Pause=pause, End={"Type": "Pass", "Result": 2, "End": True})
    machine.client.update_state_machine(stateMachineArn=machine.arn, definition=json.dumps(changed))
    later = machine.start()
    eventually(lambda: "WaitStateEntered" in machine.kinds(later))
    cloud.control.advance(660)
    assert (machine.output(execution), machine.output(later)) == (1, 2)


def test_executions_are_measured_and_told(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html"""
    url, queue = cloud.queue()
    statement = {**allow("sqs:SendMessage", queue), "Principal": {"Service": "events.amazonaws.com"}}
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(statement)})
    machine = Machine(cloud, states(No={"Type": "Fail", "Error": "No", "Cause": "never"}))
    alarm, rule = unique("alarm"), unique("rule")
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=alarm, Namespace="AWS/States", MetricName="ExecutionsFailed", Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=0, ComparisonOperator="GreaterThanThreshold",
        Dimensions=[{"Name": "StateMachineArn", "Value": machine.arn}],
    )  # fmt: skip
    pattern = {"source": ["aws.states"], "detail": {"stateMachineArn": [machine.arn], "status": ["FAILED"]}}
    cloud.client("events").put_rule(Name=rule, EventPattern=json.dumps(pattern))
    cloud.client("events").put_targets(Rule=rule, Targets=[{"Id": "one", "Arn": queue}])
    execution = machine.start({"n": 1})
    machine.ended(execution)
    event = json.loads(cloud.received(url)["Body"])
    assert (event["detail-type"], event["resources"]) == ("Step Functions Execution Status Change", [execution])
    detail = event["detail"]
    assert (detail["error"], detail["cause"], detail["input"], detail["output"]) == ("No", "never", '{"n": 1}', None)
    assert detail["redriveStatus"] == "REDRIVABLE"
    cloud.control.advance(1)
    described = cloud.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]
    assert described["StateValue"] == "ALARM"
    cloud.client("events").disable_rule(Name=rule)
    cloud.client("cloudwatch").delete_alarms(AlarmNames=[alarm])

"""What the states of an execution do, on a clock that can be turned, with the state machine's role.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

import json
from typing import Any

import pytest

from localcloud.testing.machines import INVOKE, Machine, calling, counter, states, task, waiting
from localcloud.testing.served import HUB, LocalCloud, allow, unique
from localcloud.testing.waiting import eventually


@pytest.fixture(scope="module")
def function(cloud: LocalCloud) -> str:
    return counter(cloud)


def test_a_run_is_followed_for_hours_in_seconds(cloud: LocalCloud, function: str) -> None:
    look = {"FunctionName": function, "Payload.$": "$.look"}
    again = {"Variable": "$.seen.done", "BooleanEquals": True, "Next": "Done"}
    machine = Machine(
        cloud,
        states(
            Look={
                "Type": "Task", "Resource": INVOKE, "Parameters": look, "ResultPath": "$.seen", "Next": "Ended",
                "ResultSelector": {"done.$": "$.Payload.done", "wait.$": "$.Payload.wait", "n.$": "$.Payload.n"},
            },
            Ended={"Type": "Choice", "Choices": [again], "Default": "Pause"},
            Pause={"Type": "Wait", "SecondsPath": "$.seen.wait", "Next": "Look"},
            Done={"Type": "Succeed", "OutputPath": "$.seen"},
        ),
        allow("lambda:InvokeFunction", function),
    )  # fmt: skip
    execution = machine.start({"look": {"key": unique("k"), "looks": 61, "wait": 120}})
    started = cloud.control.now()
    eventually(lambda: "WaitStateEntered" in machine.kinds(execution))
    cloud.control.advance(7200 + 120)
    ended = machine.ended(execution)
    assert json.loads(ended["output"]) == {"done": True, "wait": 120, "n": 61}
    assert 7200 <= ended["stopDate"].timestamp() - started < 7400
    assert machine.kinds(execution)[:9] == [
        "ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited",
        "ChoiceStateEntered", "ChoiceStateExited", "WaitStateEntered",
    ]  # fmt: skip


def test_a_wait_ends_in_real_time_too(cloud: LocalCloud) -> None:
    machine = waiting(cloud, 1)
    machine.output(machine.start())


def test_a_failed_task_is_retried_as_its_retrier_says(cloud: LocalCloud, function: str) -> None:
    """https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"""
    retry = {"ErrorEquals": ["Busy"], "IntervalSeconds": 60, "BackoffRate": 3, "MaxDelaySeconds": 100, "MaxAttempts": 3}
    machine = calling(cloud, function, Retry=[retry])
    execution = machine.start({"key": unique("k"), "failures": 3})
    eventually(lambda: "TaskFailed" in machine.kinds(execution))
    cloud.control.advance(300, step=10)
    assert machine.output(execution)["n"] == 4
    history = machine.history(execution)
    failed = [event["timestamp"].timestamp() for event in history if event["type"] == "TaskFailed"]
    scheduled = [event["timestamp"].timestamp() for event in history if event["type"] == "TaskScheduled"]
    delays = [again - before for before, again in zip(failed, scheduled[1:], strict=True)]
    assert [wanted <= delay < wanted + 11 for wanted, delay in zip((60, 100, 100), delays, strict=True)] == [True] * 3


def test_jitter_waits_less(cloud: LocalCloud, function: str) -> None:
    retry = {"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1000, "JitterStrategy": "FULL"}
    machine = calling(cloud, function, Retry=[retry])
    execution = machine.start({"key": unique("k"), "failures": 1})
    eventually(lambda: "TaskFailed" in machine.kinds(execution))
    cloud.control.advance(1000)
    machine.output(execution)


def test_a_failure_has_the_name_of_its_exception(cloud: LocalCloud, function: str) -> None:
    machine = calling(cloud, function)
    failed = machine.ended(machine.start({"failures": 9, "key": unique("k")}))
    assert (failed["status"], failed["error"]) == ("FAILED", "Busy")
    assert json.loads(failed["cause"])["errorMessage"] == "as asked"
    slow = machine.ended(machine.start({"sleep": 4}))
    assert slow["error"] == "Sandbox.Timedout"
    caught = Machine(
        cloud,
        states(
            Call=task(function, Catch=[{"ErrorEquals": ["Busy"], "ResultPath": "$.error", "Next": "Caught"}]),
            Caught={"Type": "Pass", "End": True},
        ),
        allow("lambda:InvokeFunction", function),
    )
    output = caught.output(caught.start({"failures": 9, "key": unique("k")}))
    assert output["error"]["Error"] == "Busy"


def test_a_throttled_function_is_its_own_error(cloud: LocalCloud, function: str) -> None:
    throttled = {"ErrorEquals": ["Lambda.TooManyRequestsException"], "IntervalSeconds": 30, "MaxAttempts": 5}
    machine = calling(cloud, function, Retry=[throttled])
    lambda_ = cloud.client("lambda")
    lambda_.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    execution = machine.start({"key": unique("k")})
    eventually(lambda: "TaskFailed" in machine.kinds(execution))
    lambda_.delete_function_concurrency(FunctionName=function)
    cloud.control.advance(31)
    assert machine.output(execution)["n"] == 1


@pytest.mark.usefixtures("_no_faults")
def test_a_task_meets_faults(cloud: LocalCloud, function: str) -> None:
    machine = calling(cloud, function)
    for kind, error in (
        ("throttle", "Lambda.TooManyRequestsException"),
        ("error", "Lambda.ServiceException"),
        ("drop", "Lambda.SdkClientException"),
    ):
        cloud.control.clear_faults()
        cloud.control.add_fault(role=machine.role, action="lambda:InvokeFunction", kind=kind)
        assert machine.ended(machine.start())["error"] == error
        assert cloud.control.faults()[0]["fired"] == 1


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Pass", "Parameters": {"x.$": "$.nothing"}, "End": True},
        {"Type": "Wait", "SecondsPath": "$.nothing", "End": True},
        {"Type": "Wait", "SecondsPath": "$.text", "End": True},
        {"Type": "Choice", "Choices": [{"Variable": "$.nothing", "StringEquals": "x", "Next": "A"}], "Default": "A"},
    ],
)
def test_a_path_to_nothing_fails_the_execution(cloud: LocalCloud, state: dict[str, Any]) -> None:
    rest = {"A": {"Type": "Succeed"}} if state["Type"] == "Choice" else {}
    machine = Machine(cloud, states(First=state, **rest))
    assert machine.ended(machine.start({"text": "1"}))["error"] == "States.Runtime"


def test_a_choice_may_ask_whether_something_is_there(cloud: LocalCloud) -> None:
    present = [{"Variable": "$.x", "IsPresent": True, "Next": "Yes"}]
    machine = Machine(
        cloud,
        states(
            Ask={"Type": "Choice", "Choices": present, "Default": "No"},
            Yes={"Type": "Succeed"},
            No={"Type": "Fail", "Error": "Absent", "CausePath": "$.why"},
        ),
    )
    machine.output(machine.start({"x": None}))
    failed = machine.ended(machine.start({"why": "because"}))
    assert (failed["error"], failed["cause"]) == ("Absent", "because")


def test_the_machines_role_must_be_allowed_to_invoke(cloud: LocalCloud, function: str) -> None:
    machine = Machine(cloud, states(Call=task(function)), allow("lambda:InvokeFunction", f"{function}x"))
    since = cloud.control.next_call()
    failed = machine.ended(machine.start())
    assert failed["error"] == "Lambda.AWSLambdaException"
    assert "not authorized to perform: lambda:InvokeFunction" in failed["cause"]
    call = cloud.control.calls(since, role=machine.role)[-1]
    assert (call["allowed"], call["service"], call["resource"]) == (False, "states.amazonaws.com", function)


def test_the_role_is_asked_for_every_other_service_too(cloud: LocalCloud) -> None:
    url, queue = cloud.queue()
    send = {
        "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": True,
        "Parameters": {"QueueUrl": url, "MessageBody": "x"},
    }  # fmt: skip
    entry = {"Source": "x", "DetailType": "x", "Detail": {"n": 1}, "EventBusName": "default"}
    put = {
        "Type": "Task", "Resource": "arn:aws:states:::events:putEvents", "End": True, "Parameters": {"Entries": [entry]}
    }  # fmt: skip
    bus = f"arn:aws:events:us-east-1:{HUB}:event-bus/default"
    for state, action, resource in ((send, "sqs:SendMessage", queue), (put, "events:PutEvents", bus)):
        allowed = Machine(cloud, states(Do=state), allow(action, resource))
        allowed.output(allowed.start())
        refused = Machine(cloud, states(Do=state), allow(action, f"{resource}x"))
        assert "AccessDenied" in refused.ended(refused.start())["error"]
    assert cloud.received(url)["Body"] == "x"

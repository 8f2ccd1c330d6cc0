"""State machines for tests, and a function for their tasks."""

import json
from typing import Any

from localcloud.testing.served import LocalCloud, allow, unique
from localcloud.testing.waiting import eventually
from localcloud.tests.contracts.test_functions import LOGS, package

INVOKE = "arn:aws:states:::lambda:invoke"
CODE = """
import time


class Busy(Exception):
    pass


seen = {}


def handler(event, context):
    key = event.get("key")
    seen[key] = seen.get(key, 0) + 1
    time.sleep(event.get("sleep", 0))
    if seen[key] <= event.get("failures", 0):
        raise Busy("as asked")
    return {"n": seen[key], "done": seen[key] >= event.get("looks", 1), "wait": event.get("wait", 1)}
"""


class Machine:
    """A state machine of its own role, and its executions."""

    def __init__(self, cloud: LocalCloud, definition: dict[str, Any], *statements: dict[str, Any]) -> None:
        self.cloud, self.client, self.name = cloud, cloud.client("stepfunctions"), unique("machine")
        self.role = cloud.role(*statements, trust="states.amazonaws.com")
        created = self.client.create_state_machine(name=self.name, roleArn=self.role, definition=json.dumps(definition))
        self.arn = str(created["stateMachineArn"])

    def start(self, data: Any = None, name: str = "") -> str:
        named = {"name": name} if name else {}
        return str(
            self.client.start_execution(stateMachineArn=self.arn, input=json.dumps(data or {}), **named)["executionArn"]
        )

    def described(self, execution: str) -> dict[str, Any]:
        return dict(self.client.describe_execution(executionArn=execution))

    def ended(self, execution: str) -> dict[str, Any]:
        return dict(eventually(lambda: (d := self.described(execution))["status"] != "RUNNING" and d))

    def output(self, execution: str) -> Any:
        ended = self.ended(execution)
        assert ended["status"] == "SUCCEEDED", ended
        return json.loads(ended["output"])

    def history(self, execution: str) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def kinds(self, execution: str) -> list[str]:
        return [event["type"] for event in self.history(execution)]


def states(**named: Any) -> dict[str, Any]:
    return {"StartAt": next(iter(named)), "States": named}


def task(function: str, **fields: Any) -> dict[str, Any]:
    parameters = {"FunctionName": function, "Payload.$": "$"}
    rest = fields if "Next" in fields else {"End": True, **fields}
    return {"Type": "Task", "Resource": INVOKE, "Parameters": parameters, "OutputPath": "$.Payload", **rest}


def counter(cloud: LocalCloud) -> str:
    """The ARN of a new function that counts its calls by key, fails and sleeps as asked."""
    created = cloud.client("lambda").create_function(
        FunctionName=unique("function"), Role=cloud.role(LOGS), Handler="app.handler", Timeout=3,
        Code={"ZipFile": package(CODE)}, Runtime=cloud.control.status()["runtime"],
    )  # fmt: skip
    return str(created["FunctionArn"])


def calling(cloud: LocalCloud, function: str, **fields: Any) -> Machine:
    """A machine of one task that calls the function."""
    return Machine(cloud, states(Call=task(function, **fields)), allow("lambda:InvokeFunction", function))


def waiting(cloud: LocalCloud, seconds: int = 3600) -> Machine:
    return Machine(cloud, states(Pause={"Type": "Wait", "Seconds": seconds, "End": True}))

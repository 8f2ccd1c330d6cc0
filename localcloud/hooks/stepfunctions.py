"""Step Functions: state machines and what may be asked of their executions.

https://docs.aws.amazon.com/step-functions/latest/apireference/Welcome.html
"""

import datetime
import json
import re
import uuid
from typing import Any

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response
from ministack.services import iam, stepfunctions
from ministack.services.cloudformation import provisioners

from localcloud.cloud import Cloud
from localcloud.hooks import asl, identity, tasks
from localcloud.hooks.executions import MAX_PAYLOAD_BYTES, Executions, Run, add_event

NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")
NAME_KEPT_SECONDS = 90 * 86400  # how long the name of a closed execution stays taken
# https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html#cloudwatch-iam-policy
LOG_DELIVERY = (
    "CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery", "ListLogDeliveries",
    "PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups",
)  # fmt: skip

Data = dict[str, Any]


def install(cloud: Cloud) -> None:
    executions = Executions(cloud)
    api = _Api(cloud, executions)
    stepfunctions.now_iso = lambda: _stamp(cloud.clock.now())
    stepfunctions._scaled_sleep = executions.pause
    stepfunctions._execute_task = tasks.Tasks(cloud, executions).run
    stepfunctions._execute_wait = asl.checked_wait(stepfunctions._execute_wait)
    stepfunctions._invoke_resource = tasks.invoke_resource(stepfunctions._invoke_resource)
    stepfunctions._call_lambda = tasks.call_lambda
    stepfunctions._error_matches = asl.error_matches
    stepfunctions._resolve_path = asl.resolve_path
    stepfunctions._evaluate_rule = asl.evaluate_rule(stepfunctions._evaluate_rule)
    stepfunctions._start_execution = api.start
    stepfunctions._stop_execution = api.stop
    stepfunctions._describe_execution = api.describe(stepfunctions._describe_execution)
    stepfunctions._create_state_machine = _checked_machine(stepfunctions._create_state_machine)
    stepfunctions._update_state_machine = _checked_machine(stepfunctions._update_state_machine)
    stepfunctions.handle_request = api.with_redrive(stepfunctions.handle_request)
    provisioners._sfn_definition = asl.as_json(provisioners._sfn_definition)
    handlers = provisioners._RESOURCE_HANDLERS["AWS::StepFunctions::StateMachine"]
    handlers["create"] = _checked_resource(handlers["create"], position=1)
    handlers["update"] = _checked_resource(handlers["update"], position=2)
    cloud.clock.on_tick(executions.tick)
    cloud.clock.on_settle(executions.settle)
    cloud.on_reset(executions.forget)


class _Api:
    """What starts, stops, redrives and describes executions."""

    def __init__(self, cloud: Cloud, executions: Executions) -> None:
        self.cloud = cloud
        self.executions = executions

    def start(self, data: Data) -> Any:
        """https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html"""
        machine = stepfunctions._state_machines.get(data.get("stateMachineArn", ""))
        if machine is None:
            return _error("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{data.get('stateMachineArn')}'")
        name, text = data.get("name") or str(uuid.uuid4()), data.get("input") or "{}"
        if not NAME.fullmatch(name):
            return _error("InvalidName", f"Invalid Name: '{name}'")
        try:
            given = json.loads(text)
        except ValueError:
            return _error("InvalidExecutionInput", "Invalid State Machine Execution Input: it is not JSON")
        if len(text.encode()) > MAX_PAYLOAD_BYTES:
            return _error("ValidationException", "Value at 'input' failed to satisfy constraint: length 262144")
        arn = f"arn:aws:states:{get_region()}:{get_account_id()}:execution:{machine['name']}:{name}"
        with self.executions.turned:
            if (known := stepfunctions._executions.get(arn)) is not None:
                if known["status"] == "RUNNING" and known["input"] == text:
                    return json_response({"executionArn": arn, "startDate": known["startDate"]})
                if known["status"] == "RUNNING" or self._closed_for(known) <= NAME_KEPT_SECONDS:
                    return _error("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
            record = stepfunctions._executions[arn] = {
                "executionArn": arn,
                "stateMachineArn": machine["stateMachineArn"],
                "name": name,
                "status": "RUNNING",
                "startDate": self.executions.stamp(),
                "stopDate": None,
                "input": text,
                "output": None,
                "events": [],
            }
        definition, role = json.loads(machine["definition"]), machine["roleArn"]
        add_event(record, "ExecutionStarted", {"executionStartedEventDetails": {"input": text, "roleArn": role}})
        run = Run(record, definition, role, get_account_id(), get_region(), definition["StartAt"], given)
        self.executions.measure(run, "ExecutionsStarted")
        self.executions.start(run)
        return json_response({"executionArn": arn, "startDate": record["startDate"]})

    def stop(self, data: Data) -> Any:
        """https://docs.aws.amazon.com/step-functions/latest/apireference/API_StopExecution.html"""
        run = self.executions.runs.get(data.get("executionArn", ""))
        if run is None:
            return _missing(data)
        self.executions.end(run, "ABORTED", data.get("error"), data.get("cause"))
        return json_response({"stopDate": run.record["stopDate"]})

    def redrive(self, data: Data) -> Any:
        """Go on from the state that failed, with the same input and definition; a timeout begins anew.

        https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
        """
        run = self.executions.runs.get(data.get("executionArn", ""))
        if run is None:
            return _missing(data)
        with self.executions.turned:
            if why := self.executions.redrivable(run):
                return _error("ExecutionNotRedrivable", f"{why}: '{run.record['executionArn']}'")
            run.redrives += 1
            run.redriven_at = self.executions.stamp()
            run.record.update(status="RUNNING", stopDate=None, error=None, cause=None)
            details = {"executionRedrivenEventDetails": {"redriveCount": run.redrives}}
            add_event(run.record, "ExecutionRedriven", details)
        self.executions.start(run)
        return stepfunctions._finalize_response(json_response({"redriveDate": run.redriven_at}))

    def describe(self, stock: Any) -> Any:
        def described(data: Data) -> Any:
            status, headers, body = stock(data)
            run = self.executions.runs.get(data.get("executionArn", ""))
            if run is None or status >= 400:
                return status, headers, body
            why = self.executions.redrivable(run)
            facts = {"redriveCount": run.redrives, "redriveStatus": "NOT_REDRIVABLE" if why else "REDRIVABLE"}
            optional = {"redriveStatusReason": why, "redriveDate": run.redriven_at}
            found = {**json.loads(body), **facts, **{key: value for key, value in optional.items() if value}}
            return json_response({key: value for key, value in found.items() if value is not None})

        return described

    def with_redrive(self, stock: Any) -> Any:
        async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
            if headers.get("x-amz-target", "").endswith(".RedriveExecution"):
                return self.redrive(json.loads(body))
            return await stock(method, path, headers, body, query)

        return handle

    def _closed_for(self, record: Data) -> float:
        return self.cloud.clock.now() - float(stepfunctions._timestamp_response_value(record["stopDate"]))


def _error(code: str, message: str) -> Any:
    return error_response_json(code, message, 400)


def _missing(data: Data) -> Any:
    return _error("ExecutionDoesNotExist", f"Execution Does Not Exist: '{data.get('executionArn')}'")


def _stamp(now: float) -> str:
    return datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ------------------------------------------------------------------ state machines
def _refusal(name: str, role: str, logging: Data) -> str | None:
    """What Step Functions checks of a state machine's role when it is created or changed."""
    stored = iam._roles.get_scoped(role.split(":")[4], None, role.rsplit("/", 1)[-1]) if role.count(":") > 4 else None
    trust = stored["AssumeRolePolicyDocument"] if stored and stored["Arn"] == role else None
    source = f"arn:aws:states:{get_region()}:{get_account_id()}:stateMachine:{name}"
    if not identity.service_may(tasks.SERVICE, "sts:AssumeRole", role, trust, source_arn=source):
        return (
            "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume "
            "the provided role."
        )
    if logging.get("level", "OFF") != "OFF" and any(
        identity.role_may(role, tasks.SERVICE, f"logs:{action}", "*", source_arn=source) for action in LOG_DELIVERY
    ):
        return "The state machine IAM Role is not authorized to access the Log Destination"
    return None


def _checked_machine(stock: Any) -> Any:
    """CreateStateMachine and UpdateStateMachine."""

    def call(data: Data) -> Any:
        if data.get("type") == "EXPRESS":
            return _error("StateMachineTypeNotSupported", "EXPRESS state machines are not served here")
        if "definition" in data and (problem := asl.problem(data["definition"])):
            return _error("InvalidDefinition", f"Invalid State Machine Definition: '{problem}'")
        known = stepfunctions._state_machines.get(data.get("stateMachineArn", "")) or {}
        role = data.get("roleArn") or known.get("roleArn", "")
        logging = data.get("loggingConfiguration") or known.get("loggingConfiguration") or {}
        name = data.get("name") or known.get("name")
        if name and (refused := _refusal(name, role, logging)):
            return _error("AccessDeniedException", refused)
        return stock(data)

    return call


def _checked_resource(stock: Any, position: int) -> Any:
    """The same for CloudFormation; ``position`` is that of the new properties among the arguments."""

    def call(*arguments: Any, **named: Any) -> Any:
        properties = arguments[position]
        logging = _camel(properties.get("LoggingConfiguration") or {})
        name, role = properties.get("StateMachineName", "*"), properties.get("RoleArn", "")
        if refused := asl.problem(provisioners._sfn_definition(properties)) or _refusal(name, role, logging):
            raise ValueError(f"Resource handler returned message: {refused}")
        changed = {**properties, "LoggingConfiguration": logging} if logging else properties
        return stock(*arguments[:position], changed, *arguments[position + 1 :], **named)

    return call


def _camel(value: Any) -> Any:
    """CloudFormation's properties as the API spells them; `cloudWatchLogsLogGroup` and all others begin small."""
    if isinstance(value, list):
        return [_camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key[0].lower() + key[1:]: _camel(one) for key, one in value.items()}

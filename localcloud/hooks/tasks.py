"""Step Functions: task states. What they may call, how they fail, retry and catch.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

import json
import time
from typing import Any

from ministack.services import lambda_svc, stepfunctions

from localcloud.cloud import Cloud
from localcloud.hooks import asl, integrations
from localcloud.hooks.executions import Executions, add_event, current

SERVICE = "states.amazonaws.com"
# kind of an injected fault -> error name of a Lambda task:
# https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception
FAULTS = {
    "throttle": "Lambda.TooManyRequestsException",
    "error": "Lambda.ServiceException",
    "denied": "Lambda.AWSLambdaException",
    "denied by scp": "Lambda.AWSLambdaException",
    "drop": "Lambda.SdkClientException",
}

Record = dict[str, Any]


class Tasks:
    """Runs task states for the executions."""

    def __init__(self, cloud: Cloud, executions: Executions) -> None:
        self.cloud = cloud
        self.executions = executions

    def run(self, state: Record, data: Any, record: Record, context: Record) -> tuple[Any, str | None]:
        """The output of a task state and the state that follows; in ministack's place."""
        tries: dict[int, int] = {}
        jsonata = stepfunctions._state_query_language(state, context) == "JSONata"
        while True:
            context["State"]["RetryCount"] = sum(tries.values())
            try:
                result = self._attempt(state, self._arguments(state, data, context, jsonata), record)
                break
            except stepfunctions._ExecutionError as error:
                delay = asl.retry_delay(state.get("Retry") or [], error.error, tries)
                if delay is not None:
                    self.executions.pause(delay)
                    continue
                catcher = stepfunctions._find_matching_catcher(state.get("Catch") or [], error.error)
                if catcher is None:
                    raise
                caught = {"Error": error.error, "Cause": error.cause}
                language = "JSONata" if jsonata else "JSONPath"
                return stepfunctions._apply_catcher(catcher, data, context, language, caught), catcher["Next"]
        if jsonata:
            output = stepfunctions._apply_jsonata_output(state, data, context, result=result, default=result)
            stepfunctions._apply_state_assign(state, data, context, result=result)
        else:
            selected = stepfunctions._apply_result_selector(state, result)
            output = stepfunctions._apply_result_path(state, data, selected)
            output = stepfunctions._apply_output_path(state, output, context)
        return output, stepfunctions._next_or_end(state)

    def _arguments(self, state: Record, data: Any, context: Record, jsonata: bool) -> Any:
        if jsonata:
            return stepfunctions._apply_jsonata_arguments(state, data, context)
        return stepfunctions._apply_parameters(state, stepfunctions._apply_input_path(state, data, context), context)

    def _attempt(self, state: Record, arguments: Any, record: Record) -> Any:
        resource = str(state["Resource"])
        service, action = integrations.named(resource)
        names = {"resourceType": service, "resource": action}
        scheduled = {**names, "region": current().region, "parameters": json.dumps(arguments)}
        add_event(record, "TaskScheduled", {"taskScheduledEventDetails": scheduled})
        add_event(record, "TaskStarted", {"taskStartedEventDetails": names})
        try:
            with self.executions.calling():
                self._authorize(resource, arguments)
                if "TimeoutSeconds" in state:
                    result = stepfunctions._invoke_resource_with_timeout(resource, arguments, state["TimeoutSeconds"])
                else:
                    result = stepfunctions._invoke_resource(resource, arguments)
        except stepfunctions._ExecutionError as error:
            kind = "taskTimedOut" if error.error == "States.Timeout" else "taskFailed"
            facts = {**names, "error": error.error, "cause": error.cause}
            add_event(record, kind[0].upper() + kind[1:], {f"{kind}EventDetails": facts})
            raise
        facts = {**names, "output": json.dumps(result)}
        add_event(record, "TaskSucceeded", {"taskSucceededEventDetails": facts})
        return result

    def _authorize(self, resource: str, arguments: Any) -> None:
        """The state machine's role must be allowed what its task does; a fault may strike it."""
        run = current()
        if ".waitForTaskToken" in resource or ":activity:" in resource:
            raise stepfunctions._ExecutionError("States.Runtime", f"{resource} is not served here")
        service = integrations.named(resource)[0]
        refused = integrations.refused(run.role, SERVICE, resource, arguments, run.record["stateMachineArn"])
        if refused:
            name = FAULTS["denied"] if service == "lambda" else f"{service.capitalize()}.AccessDeniedException"
            raise stepfunctions._ExecutionError(name, f"User: {refused}")
        for action, _target, _context in integrations.permissions(resource, arguments):
            fault = self.cloud.faults.strike(run.role, action)
            if fault is not None and fault.kind == "delay":
                time.sleep(fault.seconds)
            elif fault is not None:
                if fault.kind == "drop":
                    stepfunctions._invoke_resource(resource, arguments)
                raise stepfunctions._ExecutionError(FAULTS[fault.kind], "injected fault")


def call_lambda(reference: str, event: Any) -> Any:
    """The answer of a function; its failure under the name of the exception, as AWS reports it."""
    function, config, name = lambda_svc._get_func_record_for_ref(reference)
    if not function or not config:
        raise stepfunctions._ExecutionError("Lambda.ResourceNotFoundException", f"Function not found: {name}")
    record = lambda_svc._execution_record_for_config(function, config)
    result = lambda_svc._execute_function_with_config_scope(record, event)
    body = result.get("body")
    if result.get("throttle"):
        raise stepfunctions._ExecutionError("Lambda.TooManyRequestsException", "Rate Exceeded.")
    if result.get("error"):
        name = body.get("errorType") if isinstance(body, dict) else None
        raise stepfunctions._ExecutionError(name or "Lambda.Unknown", json.dumps(body))
    return body


def invoke_resource(stock: Any) -> Any:
    """The optimized integrations that do more than call.

    https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
    https://docs.aws.amazon.com/step-functions/latest/dg/connect-eventbridge.html
    """

    def invoke(resource: str, arguments: Any) -> Any:
        if "states:::lambda:invoke" in resource:
            reference = stepfunctions._resolve_lambda_function_ref(arguments.get("FunctionName", ""), optimized=True)
            payload = call_lambda(reference, arguments.get("Payload", {}))
            return {"ExecutedVersion": "$LATEST", "Payload": payload, "StatusCode": 200}
        if "states:::events:putEvents" not in resource:
            return stock(resource, arguments)
        answer = stock(resource, {"Entries": [_entry(entry) for entry in arguments["Entries"]]})
        if answer["FailedEntryCount"]:
            raise stepfunctions._ExecutionError("EventBridge.FailedEntry", json.dumps(answer))
        return answer

    return invoke


def _entry(entry: Record) -> Record:
    """``Detail`` may be an object; the execution and its state machine become resources of the event."""
    record, detail = current().record, entry.get("Detail")
    return {
        **entry,
        "Detail": detail if isinstance(detail, str) else json.dumps(detail),
        "Resources": [*(entry.get("Resources") or []), record["executionArn"], record["stateMachineArn"]],
    }

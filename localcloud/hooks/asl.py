"""The Amazon States Language: its states, and where ministack reads it too kindly.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html
"""

import json
import random
from collections.abc import Callable
from typing import Any

import yaml
from ministack.services import stepfunctions

KINDS = {"Task", "Pass", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map"}
UNCATCHABLE = ("States.DataLimitExceeded", "States.Runtime")  # by States.ALL and States.TaskFailed

Data = dict[str, Any]


def problem(definition: str) -> str | None:
    """Why Step Functions would not take a definition; states inside Parallel and Map are not looked at."""
    try:
        machine = json.loads(definition)
        states = machine["States"]
    except (ValueError, KeyError, TypeError):
        return "INVALID_JSON_DESCRIPTION: it is not a JSON object with States"
    reached = {machine.get("StartAt")}
    for name, state in states.items():
        if state.get("Type") not in KINDS:
            return f"SCHEMA_VALIDATION_FAILED: unknown Type at /States/{name}"
        targets = [state.get("Next"), state.get("Default")]
        targets += [one.get("Next") for one in (*(state.get("Choices") or []), *(state.get("Catch") or []))]
        reached |= {target for target in targets if target}
        ends = state["Type"] in ("Succeed", "Fail", "Choice")
        if not ends and ("Next" in state) == bool(state.get("End")):
            return f"SCHEMA_VALIDATION_FAILED: Next or End is required at /States/{name}"
    if missing := reached - set(states):
        return f"MISSING_TRANSITION_TARGET: {sorted(map(str, missing))}"
    unreached = set(states) - reached
    return f"SCHEMA_VALIDATION_FAILED: {sorted(unreached)} cannot be reached" if unreached else None


def as_json(stock: Any) -> Any:
    """A definition may be YAML; CloudFormation gives JSON to Step Functions."""

    def definition(properties: Data) -> str:
        text = stock(properties)
        try:
            json.loads(text)
        except ValueError:
            return json.dumps(yaml.safe_load(text))
        return str(text)

    return definition


def resolve_path(path: str, data: Any) -> Any:
    """The value a JSONPath selects; one that is not there fails the execution, where stock takes null.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html (States.Runtime)
    """
    if not path.startswith("$") or path == "$":
        return data
    tokens = stepfunctions._parse_jsonpath_tokens(path)
    values = [data]
    for kind, value in tokens or []:
        if kind == "field":
            values = [one[value] for one in values if isinstance(one, dict) and value in one]
        elif kind == "index":
            values = [one[value] for one in values if isinstance(one, list) and -len(one) <= value < len(one)]
        else:
            values = [each for one in values for each in (one.values() if isinstance(one, dict) else one)]
    if any(kind == "wildcard" for kind, _value in tokens or []):
        return values
    if tokens is None or not values:
        raise stepfunctions._ExecutionError("States.Runtime", f"The JSONPath '{path}' could not be found in the input")
    return values[0]


def evaluate_rule(stock: Any) -> Any:
    def evaluate(rule: Data, data: Any, context: Data | None = None) -> bool:
        if "IsPresent" not in rule:
            return bool(stock(rule, data, context))
        try:
            stepfunctions._resolve_path_or_ctx(rule["Variable"], data, context)
        except stepfunctions._ExecutionError:
            return not rule["IsPresent"]
        return bool(rule["IsPresent"])

    return evaluate


def checked_wait(stock: Any) -> Any:
    def wait(state: Data, data: Any, context: Data | None = None) -> Any:
        if path := state.get("SecondsPath"):
            seconds = stepfunctions._resolve_path_or_ctx(path, data, context)
            if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
                raise stepfunctions._ExecutionError(
                    "States.Runtime", f"The SecondsPath '{path}' must refer to a whole number, not {seconds!r}"
                )
        return stock(state, data, context)

    return wait


def retry_delay(retriers: list[Data], error: str, tries: dict[int, int]) -> float | None:
    """Seconds before the next attempt, which is counted in ``tries``; None if there is none.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html#error-handling-retrying-after-an-error
    """
    retrier, index = stepfunctions._find_matching_retrier(retriers, error, tries)
    if retrier is None:
        return None
    count = tries.get(index, 0)
    tries[index] = count + 1
    delay = float(retrier.get("IntervalSeconds", 1)) * float(retrier.get("BackoffRate", 2.0)) ** count
    delay = min(delay, float(retrier.get("MaxDelaySeconds", delay)))
    return random.uniform(0, delay) if retrier.get("JitterStrategy") == "FULL" else delay


def error_matches(names: list[str], error: str) -> bool:
    if error in names:
        return True
    if error in UNCATCHABLE:
        return False
    return "States.ALL" in names or ("States.TaskFailed" in names and error != "States.Timeout")


def handler(kind: str) -> Callable[[Data, Any, Data, Data], tuple[Any, str | None]]:
    """How a state of this type turns its input into its output and the next state."""
    handlers: dict[str, Callable[[Data, Any, Data, Data], tuple[Any, str | None]]] = {
        "Task": stepfunctions._execute_task,
        "Parallel": stepfunctions._execute_parallel,
        "Map": stepfunctions._execute_map,
        "Pass": lambda state, data, _record, context: stepfunctions._execute_pass(state, data, context),
        "Choice": lambda state, data, _record, context: stepfunctions._execute_choice(state, data, context),
        "Wait": lambda state, data, _record, context: stepfunctions._execute_wait(state, data, context),
        "Succeed": _succeed,
        "Fail": _fail,
    }
    return handlers[kind]


def _succeed(state: Data, data: Any, _record: Data, context: Data) -> tuple[Any, None]:
    selected = stepfunctions._apply_input_path(state, data, context)
    return stepfunctions._apply_output_path(state, selected, context), None


def _fail(state: Data, data: Any, _record: Data, context: Data) -> tuple[Any, None]:
    raise stepfunctions._ExecutionError(*stepfunctions._fail_state_error(state, data, context))

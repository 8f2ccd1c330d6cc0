"""Plays the product's state machines as their files in ``statemachines/`` say, on a virtual clock.

It knows what these files use; anything else is an error.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from localcloud.inprocess.faults import Killed
from tests.support.context import Context

FOLDER = Path(__file__).parents[2] / "statemachines"
MOST_STEPS = 2_000

Data = dict[str, Any]
Function = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class End:
    """The end of an execution: ``Succeed``, ``Fail``, ``stopped``, or ``failed`` for an error that nothing caught."""

    kind: str
    state: str
    data: Data


@cache
def _definition(file: str) -> Data:
    """What a file says; read once, for it takes as long as thirty calls."""
    definition: Data = yaml.safe_load((FOLDER / file).read_text())
    return definition


@dataclass
class Machine:
    """One state machine. ``functions``: by the names that its file gives them, such as ``${StepFunctionArn}``."""

    file: str
    functions: Mapping[str, Function]
    now: Callable[[], datetime]
    pass_time: Callable[[float], object]
    waited: Callable[[], object] = lambda: None
    """Called after each ``Wait``."""
    failed: Callable[[BaseException], object] = lambda _error: None
    """Called with what a function has raised."""

    def __post_init__(self) -> None:
        self._definition = _definition(self.file)
        self._states: dict[str, Data] = self._definition["States"]

    def run(
        self, data: Data, state: str = "", redrives: int = 0, until: Callable[[Data], bool] = lambda _data: False
    ) -> End:
        """Play an execution from ``state`` on, from the first one by default."""
        name = state or self._definition["StartAt"]
        for _ in range(MOST_STEPS):
            here = self._states[name]
            match here["Type"]:
                case "Task":
                    following = self._task(here, data, redrives)
                    if following is None:
                        return End("failed", name, data)
                    name, data = following
                case "Choice":
                    name = next((one["Next"] for one in here["Choices"] if _holds(one, data)), here["Default"])
                case "Wait":
                    self.pass_time(_resolved(here["SecondsPath"], data))
                    self.waited()
                    name = here["Next"]
                case "Succeed" | "Fail":
                    return End(here["Type"], name, data)
                case kind:
                    raise AssertionError(f"{self.file}: a state of type {kind} cannot be played")
            if until(data):
                return End("stopped", name, data)
        raise AssertionError(f"{self.file}: the execution never ends")

    def _task(self, state: Data, data: Data, redrives: int) -> tuple[str, Data] | None:
        """The state that follows, and its input; None if the task has failed for good."""
        context = {"State": {"EnteredTime": self.now().isoformat()}, "Execution": {"RedriveCount": redrives}}
        function = self.functions[state["Parameters"]["FunctionName"]]
        tries = [0] * len(state["Retry"])
        while True:
            payload = _filled(state["Parameters"], data, context)["Payload"]
            try:
                answer: Data = json.loads(json.dumps(function(payload, Context())))
            except (Exception, Killed) as error:
                self.failed(error)
                pause = self._pause(state["Retry"], tries, error)
                if pause is not None:
                    self.pass_time(pause)
                    continue
                for catcher in state.get("Catch", ()):
                    if _matches(catcher, error):
                        name = catcher["ResultPath"].removeprefix("$.")
                        return catcher["Next"], {**data, name: {"Error": type(error).__name__, "Cause": str(error)}}
                return None
            assert state["OutputPath"] == "$.Payload"
            return state["Next"], answer

    @staticmethod
    def _pause(retriers: list[Data], tries: list[int], error: BaseException) -> float | None:
        """Seconds until the next try, at the longest that the jitter allows; None if there is none."""
        for number, retrier in enumerate(retriers):
            if _matches(retrier, error):
                if tries[number] >= retrier["MaxAttempts"]:
                    return None
                pause = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** tries[number]
                tries[number] += 1
                return float(min(pause, retrier["MaxDelaySeconds"]))
        return None


def _matches(one: Data, error: BaseException) -> bool:
    return bool({"States.ALL", type(error).__name__} & set(one["ErrorEquals"]))


def _filled(template: Any, data: Data, context: Data) -> Any:
    """Parameters, with each ``name.$`` replaced by the value at its path."""
    if not isinstance(template, dict):
        return template
    return dict(_members(template, data, context))


def _members(template: Data, data: Data, context: Data) -> Iterator[tuple[str, Any]]:
    for key, value in template.items():
        if key.endswith(".$"):
            yield key.removesuffix(".$"), json.loads(json.dumps(_resolved(value, data, context)))
        else:
            yield key, _filled(value, data, context)


def _resolved(path: str, data: Data, context: Data | None = None) -> Any:
    """The value at ``$.a.b``, or at ``$$.A.B`` in the context object."""
    found: Any = context if path.startswith("$$") else data
    for name in path.lstrip("$").split(".")[1:]:
        found = found[name]
    return found


def _holds(choice: Data, data: Data) -> bool:
    value = _resolved(choice["Variable"], data)
    if "StringEquals" in choice:
        return bool(value == choice["StringEquals"])
    if "BooleanEquals" in choice:
        return value is choice["BooleanEquals"]
    return bool(value > choice["NumericGreaterThan"])

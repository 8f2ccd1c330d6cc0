"""The player of state machines: what it makes of errors, for every test that counts on it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from localcloud.inprocess.faults import Killed
from tests.support.asl import Data, End, Machine

NOW = datetime(2026, 11, 30, tzinfo=UTC)


class ExportFailed(Exception):
    """As the product raises it: tried again by nobody."""


class Step:
    """A function that fails some times before it answers, and what it was asked."""

    def __init__(self, *failures: BaseException, answer: Any = None) -> None:
        self.failures = list(failures)
        self.answer = answer or {"next": "end"}
        self.asked: list[Data] = []

    def __call__(self, event: Data, _context: object) -> Any:
        self.asked.append(event)
        if self.failures:
            raise self.failures.pop(0)
        return self.answer


def play(file: str, step: Step, **options: Any) -> tuple[End, list[float]]:
    pauses: list[float] = []
    names = ("${StepFunctionArn}", "${VerifyFunctionArn}", "${FollowFunctionArn}")
    machine = Machine(file, dict.fromkeys(names, step), lambda: NOW, pauses.append)
    return machine.run({"export_id": "1"}, **options), pauses


def test_a_function_gets_what_its_state_says() -> None:
    step = Step()
    end, pauses = play("exports.asl.yaml", step, redrives=2)
    assert (end.kind, end.state, pauses) == ("Succeed", "Done", [])
    assert step.asked == [{"step": "plan", "order": {"export_id": "1"}, "now": NOW.isoformat(), "redrives": 2}]


@pytest.mark.parametrize("error", [ValueError("busy"), Killed("s3:PutObject")])
def test_what_fails_is_tried_again_after_growing_pauses(error: BaseException) -> None:
    step = Step(*[error] * 8)
    end, pauses = play("exports.asl.yaml", step)
    assert end.kind == "Succeed"
    assert pauses == [15, 30, 60, 120, 240, 480, 600, 600]


def test_until_its_retrier_gives_up() -> None:
    end, pauses = play("exports.asl.yaml", Step(*[ValueError("busy")] * 100))
    assert (end.kind, end.state, len(pauses)) == ("failed", "Plan", 30)


def test_an_error_that_is_named_is_not_tried_again_and_a_redrive_goes_on_there() -> None:
    step = Step(ExportFailed("no such table"))
    end, pauses = play("exports.asl.yaml", step, state="Extract")
    assert (end.kind, end.state, pauses) == ("failed", "Extract", [])


def test_what_is_caught_goes_where_the_catcher_says() -> None:
    step = Step(*[ValueError("gone")] * 21)
    end, _ = play("cleanup.asl.yaml", step)
    assert step.asked[-1]["error"] == {"Error": "ValueError", "Cause": "gone"}
    assert (end.kind, step.asked[-1]["step"]) == ("Succeed", "report")


def test_it_waits_and_goes_on() -> None:
    answers = iter([{"ended": False, "seconds": 30}, {"ended": False, "seconds": 60}, {"ended": True}])
    pauses: list[float] = []
    machine = Machine("follow.asl.yaml", {"${FollowFunctionArn}": lambda *_: next(answers)}, lambda: NOW, pauses.append)
    assert machine.run({}).kind == "Succeed"
    assert pauses == [30, 60]


def test_what_is_no_json_is_an_error_of_the_function() -> None:
    end, _ = play("exports.asl.yaml", Step(answer={"at": NOW}))
    assert end.kind == "failed"

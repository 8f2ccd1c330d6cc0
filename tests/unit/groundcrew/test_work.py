import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import AccessDenied, PermanentError, TransientError
from groundcrew.events import Envelope
from groundcrew.observability import about, logger
from groundcrew.work import LONGEST_PAUSE, LOOKS, LookAgain, keeping, work_through


@dataclass
class HandQueue:
    """Remembers for how long which message was hidden."""

    hidden: list[tuple[str, int]] = field(default_factory=list)
    error: Exception | None = None

    def hide(self, queue_arn: str, receipt_handle: str, seconds: int) -> None:  # noqa: ARG002 - the port's
        if self.error:
            raise self.error
        self.hidden.append((receipt_handle, seconds))


def record(name: str, received: int = 1, body: str | None = None) -> dict[str, Any]:
    event = {"id": name, "source": "s", "detail-type": "d", "account": "1" * 12, "region": "r", "detail": {}}
    return {
        "messageId": name,
        "receiptHandle": name,
        "body": json.dumps(event) if body is None else body,
        "attributes": {"ApproximateReceiveCount": str(received), "SentTimestamp": "1767225600000"},
        "eventSourceARN": "arn:aws:sqs:us-east-1:111111111111:queue",
    }


def work(job: Callable[[Envelope], LookAgain | None], *records: dict[str, Any], queue: HandQueue) -> list[str]:
    """The messages that stay."""
    answer = work_through({"Records": records}, job, queue)
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def failing(error: Exception) -> Callable[[Envelope], None]:
    def job(_envelope: Envelope) -> None:
        raise error

    return job


@pytest.fixture
def queue() -> HandQueue:
    return HandQueue()


def test_what_is_done_leaves_the_queue(queue: HandQueue) -> None:
    assert work(lambda _: None, record("a"), record("b"), queue=queue) == []
    assert queue.hidden == []


def test_only_what_failed_stays(queue: HandQueue) -> None:
    def job(envelope: Envelope) -> LookAgain | None:
        match envelope.id:
            case "transient":
                raise TransientError("busy")
            case "permanent":
                raise AccessDenied("no")
            case "mistake":
                raise ZeroDivisionError
            case "unfinished":
                return LookAgain(30)
        return None

    names = ["transient", "done", "permanent", "mistake", "unfinished", "last"]
    assert work(job, *map(record, names), queue=queue) == ["transient", "mistake", "unfinished"]
    assert [name for name, _ in queue.hidden] == ["transient", "unfinished"]


def test_who_looks_again_comes_back_when_asked_to(queue: HandQueue) -> None:
    assert work(lambda _: LookAgain(45), record("a"), queue=queue) == ["a"]
    assert queue.hidden == [("a", 45)]


@pytest.mark.parametrize(("received", "stays"), [(1, True), (LOOKS - 1, True), (LOOKS, False), (LOOKS + 5, False)])
def test_after_so_many_looks_the_sweep_takes_over(queue: HandQueue, received: int, stays: bool) -> None:
    assert work(lambda _: LookAgain(30), record("a", received), queue=queue) == (["a"] if stays else [])


@pytest.mark.parametrize("received", range(1, 20))
@pytest.mark.parametrize("luck", ["least", "most"])
def test_tries_are_spread_and_bounded(queue: HandQueue, received: int, luck: str) -> None:
    pick = (lambda _stop: 0) if luck == "least" else (lambda stop: stop - 1)
    with mock.patch("groundcrew.work.random.randrange", pick):
        assert work(failing(TransientError("busy")), record("a", received), queue=queue) == ["a"]
    ((_, seconds),) = queue.hidden
    least = min(LONGEST_PAUSE, 2**received)
    assert seconds == (least if luck == "least" else least + min(30, 2**received))
    assert seconds <= LONGEST_PAUSE + 30


@pytest.mark.parametrize("error", [PermanentError("no"), AccessDenied("no")])
def test_what_trying_again_cannot_cure_leaves_the_queue(queue: HandQueue, error: Exception) -> None:
    assert work(failing(error), record("a"), queue=queue) == []


def test_a_mistake_stays_until_the_dead_letter_queue(queue: HandQueue) -> None:
    assert work(failing(KeyError("x")), record("a", 19), queue=queue) == ["a"]
    assert queue.hidden == []


def test_nobody_says_twice_who_asks(queue: HandQueue) -> None:
    """As a text can that EventBridge has put, unescaped, into the template of a route."""
    text = 'x"}, "account": "222222222222", "more": {"a": "b'
    body = json.dumps(json.loads(record("a")["body"]) | {"detail": {"text": "TEXT"}}).replace("TEXT", text)
    assert json.loads(body)["account"] == "222222222222"
    assert work(failing(AssertionError("it was read")), record("a", body=body), queue=queue) == []


@pytest.mark.parametrize("body", ["", "not json", "[]", "{}", "null", '{"detail": {}}'])
def test_a_poisonous_body_stops_no_other(queue: HandQueue, body: str) -> None:
    seen = []
    assert work(lambda envelope: seen.append(envelope.id), record("bad", body=body), record("b"), queue=queue) == []
    assert seen == ["b"]


@pytest.mark.parametrize("error", [TransientError("busy"), AccessDenied("no")])
def test_a_message_that_cannot_be_hidden_comes_back_later(error: Exception) -> None:
    assert work(lambda _: LookAgain(30), record("a"), queue=HandQueue(error=error)) == ["a"]


def test_a_broken_line_is_not_blamed_on_the_message_before(queue: HandQueue) -> None:
    def job(envelope: Envelope) -> None:
        about(EnvironmentRef("222222222222", "us-east-1", "data"), envelope.id)

    work(job, record("good"), record("bad", body="{"), queue=queue)
    keys = logger.get_current_keys()
    assert (keys["message_id"], keys.get("environment")) == ("bad", None)


def test_whoever_wants_is_told_of_a_message_that_is_no_event(queue: HandQueue) -> None:
    told: list[tuple[str, str]] = []
    records = {"Records": [record("a", body="nonsense"), record("b")]}
    answer = work_through(records, lambda _: None, queue, lambda name, error: told.append((name, error.cause)))
    assert (answer["batchItemFailures"], told) == ([], [("a", "MalformedEvent")])


def test_who_cannot_be_told_now_is_told_later(queue: HandQueue) -> None:
    def busy(_name: str, _error: PermanentError) -> None:
        raise TransientError("busy")

    answer = work_through({"Records": [record("a", body="nonsense")]}, lambda _: None, queue, busy)
    assert answer["batchItemFailures"] == [{"itemIdentifier": "a"}]


def test_what_is_no_fault_of_the_message_keeps_it() -> None:
    with pytest.raises(TransientError) as caught, keeping():
        raise AccessDenied("no", cause="AccessDenied", remedy="Update the stack.")
    assert (caught.value.what, caught.value.cause, caught.value.remedy) == ("no", "AccessDenied", "Update the stack.")
    with pytest.raises(PermanentError), keeping(AccessDenied):
        raise PermanentError("something else")

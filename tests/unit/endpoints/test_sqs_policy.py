"""Policies of SQS endpoints in every shape that IAM allows."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints.sqs_policy import ACTIONS, admits, admitting, denies, may_admit, same_policy, sid, statement, withdrawing
from tests.support.endpoints.stories import QUEUE, allow

STACK = "111111111111/us-east-1/groundcrew"
ELSEWHERE = "arn:aws:sqs:us-east-1:111111111111:mine"


def policy(*statements: Any, version: str | None = "2012-10-17") -> str:
    return json.dumps(({"Version": version} if version else {}) | {"Statement": list(statements)})


def deny(resource: Any = "*", **changes: Any) -> dict[str, Any]:
    return allow(resource, Effect="Deny", **changes)


def without(item: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in keys}


SHAPES: list[tuple[str, str, bool]] = [
    ("no document is full access", "", True),
    ("EC2's default", '{"Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*"}]}', True),
    ("no Version", policy(allow(), version=None), True),
    ("a statement that is no list", json.dumps({"Statement": allow()}), True),
    ("no statement", policy(), False),
    ("no Statement element", json.dumps({"Version": "2012-10-17"}), False),
    ("a document that is no object", "[]", False),
    ("a statement that is no object", policy("*"), False),
    ("Resource is the queue", policy(allow(QUEUE)), True),
    ("Resource is a list", policy(allow([ELSEWHERE, QUEUE])), True),
    ("Resource is another queue", policy(allow(ELSEWHERE)), False),
    ("Resource is a wildcard that matches", policy(allow("arn:aws:sqs:us-east-1:*:airflow-celery-*")), True),
    ("Resource is a wildcard that does not", policy(allow("arn:aws:sqs:eu-west-3:*:airflow-celery-*")), False),
    ("? is one character", policy(allow(QUEUE[:-1] + "?")), True),
    ("a star in an ARN is not everything", policy(allow("arn:aws:sqs:us-east-1:111111111111:*")), False),
    ("[ is no wildcard", policy(allow(QUEUE[:-1] + "[0-9]")), False),
    ("resources are case-sensitive", policy(allow(QUEUE.upper())), False),
    ("no Resource", policy(without(allow(), "Resource")), False),
    ("Action is everything", policy(allow(Action="*")), True),
    ("Action is a list of all", policy(allow(Action=list(ACTIONS))), True),
    ("Action is a list without one", policy(allow(Action=list(ACTIONS)[1:])), False),
    ("actions ignore case", policy(allow(Action="SQS:*")), True),
    ("two statements together", policy(allow(Action=list(ACTIONS)[1:]), allow(Action=ACTIONS[0])), True),
    ("NotAction leaves sqs out", policy(without(allow(), "Action") | {"NotAction": "s3:*"}), True),
    ("NotAction means sqs", policy(without(allow(), "Action") | {"NotAction": ["sqs:*"]}), False),
    ("NotAction means one of ours", policy(without(allow(), "Action") | {"NotAction": ["sqs:SendMessage"]}), False),
    ("NotResource leaves the queue out", policy(without(allow(), "Resource") | {"NotResource": ELSEWHERE}), True),
    ("NotResource means the queue", policy(without(allow(), "Resource") | {"NotResource": [QUEUE]}), False),
    ("Principal AWS is *", policy(allow(Principal={"AWS": "*"})), True),
    ("Principal AWS is a list with *", policy(allow(Principal={"AWS": ["*"]})), True),
    ("Principal is one account", policy(allow(Principal={"AWS": "arn:aws:iam::222222222222:root"})), False),
    ("Principal is a service", policy(allow(Principal={"Service": "airflow.amazonaws.com"})), False),
    ("no Principal", policy(without(allow(), "Principal")), False),
    ("a condition puts it in doubt", policy(allow(Condition={"Bool": {"aws:SecureTransport": "true"}})), False),
    ("no condition is no doubt", policy(allow(Condition={})), True),
    ("a Deny for everything", policy(allow(), deny()), False),
    ("a Deny for the queue", policy(allow(), deny(QUEUE)), False),
    ("a Deny for another queue", policy(allow(), deny(ELSEWHERE)), True),
    ("a Deny of one action", policy(allow(), deny(Action="sqs:ReceiveMessage")), False),
    ("a Deny of an action nobody needs", policy(allow(), deny(Action="sqs:DeleteQueue")), True),
    ("a Deny of all but the queue", policy(allow(), without(deny(), "Resource") | {"NotResource": QUEUE}), True),
    ("a Deny with a condition is in doubt", policy(allow(), deny(Condition={"Bool": {"x": "y"}})), True),
    ("a Deny for somebody else", policy(allow(), deny(Principal={"AWS": "222222222222"})), True),
]


@pytest.mark.parametrize(("document", "admitted"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_does_this_policy_admit_the_queue(document: str, admitted: bool) -> None:
    assert admits(document, QUEUE) is admitted


@pytest.mark.parametrize("document", [case[1] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_a_managed_policy_admits_the_queue_or_denies_it_and_is_written_once(document: str) -> None:
    written = admitting(document, STACK, [QUEUE])
    result = document if written is None else written
    assert admits(result, QUEUE) or denies(result, QUEUE)
    assert admitting(result, STACK, [QUEUE]) is None


def test_our_sid_is_letters_and_digits_and_the_stacks_own() -> None:
    assert sid(STACK).isalnum()
    assert sid(STACK) != sid(STACK + "2")


def test_another_stacks_statement_is_foreign() -> None:
    other = statement(STACK + "2", [ELSEWHERE])
    written = admitting(policy(other), STACK, [QUEUE])
    assert written is not None
    assert json.loads(written)["Statement"] == [other, statement(STACK, [QUEUE])]


def test_the_statement_goes_with_its_last_queue() -> None:
    written = withdrawing(policy(allow(ELSEWHERE), statement(STACK, [QUEUE])), STACK, [QUEUE])
    assert written is not None
    assert json.loads(written)["Statement"] == [allow(ELSEWHERE)]


def test_only_the_queue_that_is_gone_is_withdrawn() -> None:
    written = withdrawing(policy(statement(STACK, [QUEUE, QUEUE + "-2"])), STACK, [QUEUE])
    assert written is not None
    assert json.loads(written)["Statement"] == [statement(STACK, [QUEUE + "-2"])]


@pytest.mark.parametrize("document", ["", policy(), policy(allow(QUEUE)), json.dumps({"Statement": allow()})])
def test_where_nothing_is_ours_there_is_nothing_to_withdraw(document: str) -> None:
    assert withdrawing(document, STACK, [QUEUE]) is None


def test_a_statement_of_ours_that_somebody_has_changed_is_put_right() -> None:
    changed = statement(STACK, [QUEUE]) | {"Effect": "Deny", "Condition": {"Bool": {"a": "b"}}}
    written = admitting(policy(allow(ELSEWHERE), changed), STACK, [QUEUE])
    assert written is not None
    assert admits(written, QUEUE)


def test_what_is_in_doubt_may_be_admitted() -> None:
    doubtful = policy(allow(Principal={"AWS": "222222222222"}), allow(ELSEWHERE))
    assert (admits(doubtful, QUEUE), may_admit(doubtful, QUEUE)) == (False, True)
    assert not may_admit(policy(allow(ELSEWHERE)), QUEUE)
    assert not may_admit(policy(allow(), deny()), QUEUE)


def test_the_same_policy_may_be_written_otherwise() -> None:
    assert same_policy('{"a":1,"b":2}', '{ "b": 2, "a": 1 }')
    assert not same_policy(policy(allow()), policy(deny()))


# ---------------------------------------------------------------------------------------------- for arbitrary documents
RESOURCES = st.sampled_from(["*", QUEUE, ELSEWHERE, "arn:aws:sqs:*:*:airflow-celery-*", "arn:aws:s3:::x"])
NAMES = st.sampled_from(["*", "sqs:*", "SQS:sendmessage", "sqs:ReceiveMessage", "s3:GetObject", *ACTIONS])


def one_or_more(values: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.one_of(values, st.lists(values, max_size=3))


STATEMENTS = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"])},
    optional={
        "Sid": st.text(max_size=8),
        "Principal": st.sampled_from(["*", {"AWS": "*"}, {"AWS": ["*"]}, {"Service": "x"}, {"AWS": "222222222222"}]),
        "Action": one_or_more(NAMES),
        "NotAction": one_or_more(NAMES),
        "Resource": one_or_more(RESOURCES),
        "NotResource": one_or_more(RESOURCES),
        "Condition": st.dictionaries(st.text(max_size=3), st.just({"a": "b"}), max_size=1),
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {"Statement": st.one_of(STATEMENTS, st.lists(STATEMENTS, max_size=4))},
    optional={"Version": st.sampled_from(["2008-10-17", "2012-10-17"]), "Id": st.text(max_size=5)},
)
QUEUES = st.lists(st.sampled_from([QUEUE, QUEUE + "-2", QUEUE + "-3"]), unique=True)


def foreign_statements(document: str) -> list[str]:
    """The statements that are not ours, byte for byte."""
    found = json.loads(document)["Statement"]
    listed = found if isinstance(found, list) else [found]
    return [json.dumps(item) for item in listed if item.get("Sid") != sid(STACK)]


def queues_of_ours(document: str) -> list[str]:
    """What our statement admits."""
    found = json.loads(document)["Statement"]
    ours = [item for item in (found if isinstance(found, list) else [found]) if item.get("Sid") == sid(STACK)]
    return [queue for item in ours for queue in item["Resource"]]


@settings(deadline=None, max_examples=300)
@given(DOCUMENTS, QUEUES, QUEUES, QUEUES)
def test_foreign_statements_survive_and_exactly_what_is_needed_is_admitted(
    content: dict[str, Any], before: list[str], after: list[str], gone: list[str]
) -> None:
    original = document = json.dumps(content)
    needed: set[str] = set()
    for queues in (before, after):
        document = admitting(document, STACK, queues) or document
        needed |= {queue for queue in queues if not admits(original, queue) and not denies(original, queue)}
        assert all(admits(document, queue) or denies(document, queue) for queue in queues)
        assert queues_of_ours(document) == sorted(needed)
        assert admitting(document, STACK, queues) is None
    document = withdrawing(document, STACK, gone) or document
    assert queues_of_ours(document) == sorted(needed - set(gone))
    assert foreign_statements(document) == foreign_statements(original)
    rest = {key: value for key, value in json.loads(document).items() if key != "Statement"}
    assert rest == {key: value for key, value in content.items() if key != "Statement"}


@settings(deadline=None, max_examples=100)
@given(DOCUMENTS, st.lists(st.sampled_from("ABab"), min_size=1, max_size=12))
def test_writers_that_interleave_end_with_every_queue(content: dict[str, Any], turns: list[str]) -> None:
    """Capital letters read the policy, small ones write what they read then; at the end each looks once more."""
    need = {"a": QUEUE, "b": QUEUE + "-2"}
    document, read = json.dumps(content), dict[str, str]()
    for turn in turns:
        if turn.isupper():
            read[turn.lower()] = document
        elif turn in read:
            document = admitting(read[turn], STACK, [need[turn]]) or document
    for queue in need.values():
        document = admitting(document, STACK, [queue]) or document
    assert all(admits(document, queue) or denies(document, queue) for queue in need.values())
    assert foreign_statements(document) == foreign_statements(json.dumps(content))

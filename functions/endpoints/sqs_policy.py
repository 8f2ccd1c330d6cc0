"""Does the policy of an SQS endpoint let an environment reach its Celery queue, and what statement would?

The environment's containers call SQS with its execution role, for queues of MWAA's own account. An interface endpoint
with private DNS captures these calls for the whole VPC, so its policy decides over every user in it
(https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

ACTIONS = (
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "sqs:ReceiveMessage",
    "sqs:SendMessage",
)
"""What an execution role may do with its queue (guide L3551)."""

Statement = dict[str, Any]


def sid(stack_tag: str) -> str:
    """The ``Sid`` of the one statement of ours; letters and digits only, as IAM wants it."""
    return "Groundcrew" + hashlib.sha256(stack_tag.encode()).hexdigest()[:12]


def admits(document: str, queue_arn: str) -> bool:
    """Whether the policy certainly lets everybody use the queue.

    A statement with a condition or for some principals only is in doubt: such an Allow is not counted on, such a Deny
    is not held against anybody.
    """
    certain = [item for item in _statements(document) if not item.get("Condition") and _everybody(item)]
    return not denies(document, queue_arn) and _all_allowed(certain, queue_arn)


def may_admit(document: str, queue_arn: str) -> bool:
    """Whether the policy lets the environment use the queue if every doubt is decided in its favour."""
    return not denies(document, queue_arn) and _all_allowed(_statements(document), queue_arn)


def denies(document: str, queue_arn: str) -> bool:
    """Whether a Deny stands in the way, so that no added statement could help."""
    return any(
        _covers(item, action, queue_arn)
        for item in _statements(document)
        if item.get("Effect") == "Deny" and not item.get("Condition") and _everybody(item)
        for action in ACTIONS
    )


def statement(stack_tag: str, queue_arns: Iterable[str]) -> Statement:
    """The statement that lets everybody in the VPC use these queues; who really may is decided by role and queue."""
    return {
        "Sid": sid(stack_tag),
        "Effect": "Allow",
        "Principal": "*",
        "Action": list(ACTIONS),
        "Resource": sorted(queue_arns),
    }


def as_text(item: Statement) -> str:
    """A statement to be pasted into a policy."""
    return json.dumps(item)


def same_policy(one: str, other: str) -> bool:
    """Whether two documents say the same, however they are written."""
    return _policy(one) == _policy(other)


def admitting(document: str, stack_tag: str, queue_arns: Iterable[str]) -> str | None:
    """The policy with these queues in the statement of ours, if they need it; None if nothing is to be changed.

    Nothing is taken out. All other statements stay as they are, whatever their shape.
    """
    without = json.dumps(_policy(document) | {"Statement": others(document, stack_tag)})
    needed = {arn for arn in queue_arns if not admits(without, arn) and not denies(without, arn)}
    return _rewritten(document, stack_tag, _ours(document, stack_tag) | needed)


def withdrawing(document: str, stack_tag: str, queue_arns: Iterable[str]) -> str | None:
    """The policy without these queues in the statement of ours; None if nothing is to be changed."""
    return _rewritten(document, stack_tag, _ours(document, stack_tag) - set(queue_arns))


def _rewritten(document: str, stack_tag: str, queue_arns: set[str]) -> str | None:
    ours = [statement(stack_tag, queue_arns)] if queue_arns else []
    statements = [*others(document, stack_tag), *ours]
    if statements == _as_list(_policy(document).get("Statement")):
        return None
    return json.dumps(_policy(document) | {"Statement": statements})


def _ours(document: str, stack_tag: str) -> set[str]:
    """The queues in the statement of ours."""
    mine = [item for item in _statements(document) if item.get("Sid") == sid(stack_tag)]
    return {str(arn) for item in mine for arn in _as_list(item.get("Resource"))}


def others(document: str, stack_tag: str) -> list[Any]:
    """The statements that are not ours, as they are."""
    statements = _as_list(_policy(document).get("Statement"))
    return [item for item in statements if not (isinstance(item, Mapping) and item.get("Sid") == sid(stack_tag))]


def _policy(document: str) -> dict[str, Any]:
    """The document; an endpoint without one gives full access, which EC2 shows as a policy that allows everything."""
    policy = (
        json.loads(document)
        if document
        else {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}
    )
    return policy if isinstance(policy, dict) else {}


def _statements(document: str) -> list[Statement]:
    return [item for item in _as_list(_policy(document).get("Statement")) if isinstance(item, dict)]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _all_allowed(statements: list[Statement], queue_arn: str) -> bool:
    allowing = [item for item in statements if item.get("Effect") == "Allow"]
    return all(any(_covers(item, action, queue_arn) for item in allowing) for action in ACTIONS)


def _everybody(item: Statement) -> bool:
    principal = item.get("Principal")
    return principal == "*" or (isinstance(principal, Mapping) and "*" in _as_list(principal.get("AWS")))


def _covers(item: Statement, action: str, queue_arn: str) -> bool:
    return _matches(item, "Action", action, fold=True) and _matches(item, "Resource", queue_arn, fold=False)


def _matches(item: Statement, element: str, value: str, *, fold: bool) -> bool:
    """Match ``Action``/``NotAction`` or ``Resource``/``NotResource``; ``*`` and ``?`` are wildcards, actions ignore
    case.
    """
    negated = f"Not{element}" in item
    patterns = [str(pattern) for pattern in _as_list(item.get(f"Not{element}" if negated else element))]
    if fold:
        value, patterns = value.lower(), [pattern.lower() for pattern in patterns]
    # fnmatch gives brackets a meaning that IAM does not know.
    return any(fnmatchcase(value, pattern.replace("[", "[[]")) for pattern in patterns) is not negated

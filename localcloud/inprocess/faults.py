"""What can go wrong with a call in process: rules by operation and number, each telling whether it fired.

Calls are counted as the product makes them: the SDK's own retries of one call belong to it (they carry the same
``amz-sdk-invocation-id``), so by default a fault stays until the SDK gives up.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any


class Kind(Enum):
    """How a call fails."""

    THROTTLED = "throttled"
    SERVER_ERROR = "server error"
    DENIED = "denied"
    TIMED_OUT_AFTER = "timed out after taking effect"
    RESET_BEFORE = "connection reset before taking effect"
    KILLED_BEFORE = "process killed before the call"
    KILLED_AFTER = "process killed after it took effect"

    @property
    def takes_effect(self) -> bool:
        return self in (Kind.TIMED_OUT_AFTER, Kind.KILLED_AFTER)


class Killed(BaseException):
    """The process is gone in the middle of a call; no handler may catch this."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request on the wire, as rules and the journal see it."""

    operation: str  # e.g. "ec2:CreateVpcEndpoint"
    account: str
    region: str
    role: str  # the role's ARN, or the account id of a root key
    params: dict[str, Any]
    invocation: str


@dataclass
class Rule:
    """The ``nth`` matching call (from 1; None: every one) fails; ``attempts`` limits how many tries of it do."""

    kind: Kind
    operation: str = "*"  # a pattern: "ec2:*", "sts:AssumeRole"
    nth: int | None = 1
    attempts: int | None = None
    where: Callable[[Attempt], bool] = lambda _attempt: True
    fired: int = 0
    _calls: dict[str, int] = field(default_factory=dict, repr=False)  # invocation -> number of the call
    _tries: Counter[str] = field(default_factory=Counter, repr=False)  # invocation -> attempts seen

    def strikes(self, attempt: Attempt) -> bool:
        """Count the attempt; does it fail?"""
        if not (fnmatchcase(attempt.operation, self.operation) and self.where(attempt)):
            return False
        number = self._calls.setdefault(attempt.invocation, len(self._calls) + 1)
        self._tries[attempt.invocation] += 1
        if self.nth not in (None, number):
            return False
        if self.attempts is not None and self._tries[attempt.invocation] > self.attempts:
            return False
        self.fired += 1
        return True


class Faults:
    """The rules in force; the first that strikes decides."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(
        self,
        kind: Kind,
        operation: str = "*",
        *,
        nth: int | None = 1,
        attempts: int | None = None,
        where: Callable[[Attempt], bool] = lambda _attempt: True,
    ) -> Rule:
        """Put a rule in force; look at its ``fired`` afterwards."""
        rule = Rule(kind, operation, nth, attempts, where)
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        self.rules.clear()

    def strike(self, attempt: Attempt) -> Rule | None:
        """Every rule counts the attempt, the first that strikes is returned."""
        struck = [rule for rule in self.rules if rule.strikes(attempt)]
        return struck[0] if struck else None

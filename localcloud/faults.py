"""Which calls are to go wrong, and how: the rules of the fault injector."""

import re
import threading
from dataclasses import dataclass
from typing import Literal

Kind = Literal["throttle", "error", "denied", "denied by scp", "drop", "delay"]


@dataclass
class Fault:
    """The ``nth`` call (from 1) of a matching role and action goes wrong, and each one after it up to ``times``."""

    role: str  # regular expression, searched in the role's ARN (or the account id of a root key)
    action: str  # regular expression, matched against the whole IAM action, e.g. "ec2:CreateVpcEndpoint"
    kind: Kind  # "drop" takes effect and loses the answer; "delay" answers late
    nth: int = 1
    times: int = 1
    seconds: float = 0.0  # of a delay
    seen: int = 0
    fired: int = 0


class Faults:
    """The rules in force; each counts the calls it has seen and how often it fired."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> int:
        """Returns the rule's index in ``rules()``."""
        with self._lock:
            self._rules.append(fault)
            return len(self._rules) - 1

    def rules(self) -> list[Fault]:
        with self._lock:
            return list(self._rules)

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def strike(self, role: str, action: str) -> Fault | None:
        """The fault this call meets; every matching rule counts the call, the first one due fires."""
        struck = None
        with self._lock:
            for rule in self._rules:
                if not (re.search(rule.role, role) and re.fullmatch(rule.action, action)):
                    continue
                rule.seen += 1
                if struck is None and rule.nth <= rule.seen < rule.nth + rule.times:
                    rule.fired += 1
                    struck = rule
        return struck

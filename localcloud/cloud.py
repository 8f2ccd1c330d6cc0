"""What the services of the local cloud share: who belongs to the organization, time, and the record of every call."""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from localcloud.clock import Clock
from localcloud.faults import Faults


@dataclass(frozen=True, slots=True)
class Call:
    """One authorization decision: a principal asked for an action on a resource."""

    at: float
    principal: str  # the role's ARN with its path, or the account id of a root key
    account: str
    region: str
    action: str
    resource: str
    allowed: bool
    fault: str | None = None
    service: str | None = None  # the AWS service that called with the role itself, if it was not the role's code
    request: str | None = None  # decisions with the same one belong to one API call
    trace: str | None = None  # the invocation it was made in, if a function made it


class CallLog:
    """Every call of every principal, in order; the source of call counts and of permissions never used."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    def since(self, index: int) -> Sequence[Call]:
        """The calls from ``index`` on; ``len(log)`` is the index of the next one."""
        with self._lock:
            return self._calls[index:]

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()

    def __len__(self) -> int:
        return len(self._calls)


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """An event that a rule or a schedule gave up on."""

    at: float
    source: str  # ARN of the rule or schedule
    target: str
    code: str
    message: str


EventSink = Callable[[str, str, dict[str, Any]], None]
"""(account, Region, PutEvents entry with an ``aws.*`` source) -> None; puts it on that account's default bus."""


def _no_events(account: str, region: str, entry: dict[str, Any]) -> None:
    raise RuntimeError("no EventBridge is attached to this cloud")


@dataclass
class Cloud:
    """One organization of known accounts, served by one process."""

    organization: str = "o-groundcrew01"
    accounts: frozenset[str] = frozenset({"111111111111", "222222222222", "333333333333"})
    management: str = "111111111111"  # the account that manages the organization
    clock: Clock = field(default_factory=Clock)
    calls: CallLog = field(default_factory=CallLog)
    shares: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # subnet id -> accounts (RAM)
    put_aws_event: EventSink = _no_events
    faults: Faults = field(default_factory=Faults)
    failures: list[FailedDelivery] = field(default_factory=list)
    switches: dict[str, Any] = field(default_factory=dict)  # behaviours AWS does not document, by name
    _resets: list[Callable[[], None]] = field(default_factory=list, repr=False)

    def on_reset(self, forget: Callable[[], None]) -> None:
        """Call ``forget()`` when the cloud is emptied; for state kept outside this object."""
        self._resets.append(forget)

    def reset(self) -> None:
        """Forget everything that happened; configuration and hooks stay."""
        self.clock.offset = 0.0
        self.calls.clear()
        self.shares.clear()
        self.faults.clear()
        self.failures.clear()
        self.switches.clear()
        for forget in self._resets:
            forget()

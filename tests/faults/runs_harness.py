"""Let one call fail, let every message be worked off, and count: each request has started its run once, or none."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from localcloud.inprocess.aws import Entry
from localcloud.inprocess.faults import Attempt, Killed, Kind, Rule
from tests.faults.runs_scenarios import Prepare, Wanted, ref
from tests.support.runs.hub import Hub, open_hub
from tests.support.stage import HUB, SETTINGS, SPOKE, SPOKE2

FLEET = replace(SETTINGS, spoke_accounts=(HUB, SPOKE, SPOKE2))
Variant = Callable[[], AbstractContextManager[object]]
UNSEEN = "could not be seen"
"""What a rejection says if nobody could look whether an earlier try has started the run."""

READS = frozenset({Kind.THROTTLED, Kind.DENIED, Kind.KILLED_BEFORE})
"""A call to AWS that only reads fails in three ways: try again, do not, and no more time to say anything."""


@dataclass(frozen=True)
class Case:
    """The ``nth`` call of a scenario fails in one way."""

    scenario: Prepare
    kind: Kind
    nth: int
    operation: str

    def __str__(self) -> str:
        return f"{self.scenario.__name__}: call {self.nth} ({self.operation}) {self.kind.value}"


@dataclass
class Crash:
    """The fault of one case. Whoever is killed makes no further call, until somebody takes the message again."""

    kind: Kind
    nth: int
    revived: bool = False
    rule: Rule = field(init=False)

    def install(self, hub: Hub) -> None:
        """Before the rules of the scenario itself."""
        self.rule = Rule(self.kind, nth=self.nth)
        rules = [self.rule]
        if self.kind in (Kind.KILLED_BEFORE, Kind.KILLED_AFTER):
            dead = lambda _attempt: self.rule.fired > 0 and not self.revived  # noqa: E731 - of one line
            rules.append(Rule(Kind.KILLED_BEFORE, nth=None, where=dead))
        hub.stage.aws.faults.rules[:0] = rules
        hub.revive = self.revive

    def revive(self) -> None:
        """A new process goes on."""
        self.revived = True


def play(hub: Hub, crash: Crash | None = None) -> None:
    """Work until nothing is left to do, whoever dies in between."""
    while True:
        try:
            hub.work_off()
            hub.follow()
        except Killed:
            assert crash is not None
            crash.revive()
        else:
            return


@cache
def calls(scenario: Prepare) -> tuple[Entry, ...]:
    """The calls of a scenario without a fault."""
    with open_hub(FLEET) as hub:
        scenario(hub)
        since = len(hub.stage.aws.journal)
        play(hub)
        return tuple({entry.attempt.invocation: entry for entry in hub.stage.aws.journal[since:]}.values())


def cases(scenario: Prepare, kind: Kind) -> Iterator[Case]:
    """Every call of the scenario, failing in this way."""
    for number, call in enumerate(calls(scenario), 1):
        if call.effect or kind in READS or _asks_airflow(call.attempt):
            yield Case(scenario, kind, number, call.operation)


def _asks_airflow(attempt: Attempt) -> bool:
    return attempt.operation == "airflow:InvokeRestApi" or attempt.operation.startswith("airflow-cli:")


def problems(case: Case, variant: Variant = nullcontext) -> list[str]:
    """What is not as it should be in one case; ``variant`` breaks the product for a negative control."""
    with open_hub(FLEET) as hub:
        wanted = case.scenario(hub)
        crash = Crash(case.kind, case.nth)
        with variant():
            crash.install(hub)
            play(hub, crash)
        found = [] if crash.rule.fired else ["the fault did not fire"]
        found += judged(hub, wanted, case.kind)
        return [f"{case}: {problem}" for problem in found]


def judged(hub: Hub, wanted: list[Wanted], kind: Kind | None = None) -> list[str]:
    """What the requests came to, against what they should have come to; a refused call may end in a rejection."""
    facts = hub.facts()
    found = [f"{len(hub.dead)} dead letters"] if hub.dead else []
    nowhere = [detail for said, detail in facts if detail.get("environment") is None]
    if nowhere:
        return found if kind is Kind.DENIED and all(map(_is_denial, nowhere)) else [*found, f"rejected: {nowhere}"]
    for one in wanted:
        about = [
            (said, detail) for said, detail in facts if detail.get("environment") == ref(one.environment).as_detail()
        ]
        found += [f"{ref(one.environment)}: {problem}" for problem in _verdict(hub, one, about, kind)]
    return found


def _verdict(hub: Hub, wanted: Wanted, facts: list[tuple[str, dict[str, Any]]], kind: Kind | None) -> Iterator[str]:
    started = [detail for said, detail in facts if said == "Started"]
    rejected = [detail for said, detail in facts if said == "Rejected"]
    runs = len(hub.runs(wanted.environment)) - wanted.foreign
    denied = kind is Kind.DENIED and any(_is_denial(detail) for detail in rejected)
    if runs not in (0, 1):
        yield f"{runs} runs"
    if started and not runs:
        yield "a start is announced, and there is no run"
    if runs and not started and not any(UNSEEN in detail["evidence"] for detail in rejected):
        yield f"there is a run, and no start is announced: {rejected}"
    if started and rejected and not (denied and wanted.copies > 1):
        yield f"both is announced: {rejected}"
    if not (started or rejected):
        yield "nothing is announced"
    if any(not (detail["cause"] and detail["evidence"] and detail["remedy"]) for detail in rejected):
        yield f"a rejection says too little: {rejected}"
    if denied:
        return
    if {detail["cause"] for detail in rejected} != ({wanted.cause} if wanted.cause else set()):
        yield f"rejected: {rejected}, wanted: {wanted.cause}"
    ends = [detail["state"] for said, detail in facts if said == "Finished"]
    if set(ends) != ({"success"} if wanted.finished else set()) and not (kind is Kind.DENIED and ends == ["unknown"]):
        yield f"ends: {ends}"
    if hub.stage.aws.airflow(wanted.environment).state.dags["held"].is_paused is wanted.unpaused:
        yield "the DAG is paused and should not be, or the other way round"


def _is_denial(rejected: dict[str, Any]) -> bool:
    return rejected["cause"] in {
        "AccessDeniedException",
        "AccessDenied",
        "SpokeRoleUnavailable",
        "CliRefused",
        "RestDenied",
    }

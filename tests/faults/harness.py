"""Let one call of a run fail, let one more sweep pass, and compare with what would be there without the fault."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from groundcrew.errors import GroundcrewError
from localcloud.inprocess.aws import Entry
from localcloud.inprocess.faults import Killed, Kind
from localcloud.model.endpoint import Endpoint
from localcloud.model.groups import Group
from tests.faults.scenarios import Prepare
from tests.support.stage import HUB, SETTINGS, SPOKE, Stage, open_stage

FLEET = replace(SETTINGS, spoke_accounts=(HUB, SPOKE))
"""No account more than the scenarios use: each costs every sweep its calls."""

Variant = Callable[[], AbstractContextManager[object]]
Picture = dict[str, list[str]]

WITHOUT_EFFECT = frozenset({Kind.THROTTLED, Kind.DENIED, Kind.KILLED_BEFORE})
"""A call that only reads fails in three ways: try again, do not, and no more time to say anything. The other kinds are
one of these to the product (``test_errors.py``), for there is no effect to take."""


@dataclass(frozen=True)
class Case:
    """The ``nth`` call of a scenario's run fails in one way."""

    scenario: Prepare
    kind: Kind
    nth: int
    operation: str
    event_lost: bool = False  # the run is a sweep and the work that follows, else the work on MWAA's event

    def __str__(self) -> str:
        run = f"{self.scenario.__name__}{' (event lost)' * self.event_lost}"
        return f"{run}: call {self.nth} ({self.operation}) {self.kind.value}"


@dataclass(frozen=True)
class Expected:
    """A scenario without a fault: the calls of its run, and what is there after one more sweep."""

    calls: tuple[Entry, ...]
    picture: Picture


@cache
def expected(scenario: Prepare, *, event_lost: bool = False) -> Expected:
    with open_stage(FLEET) as stage:
        event = scenario(stage)
        since = len(stage.aws.journal)
        if event_lost:
            stage.heal()
        else:
            stage.work(event)
        calls = {entry.attempt.invocation: entry for entry in stage.aws.journal[since:]}
        _settle(stage)
        return Expected(tuple(calls.values()), picture(stage))


def cases(scenario: Prepare, kind: Kind, *, event_lost: bool = False) -> Iterator[Case]:
    """Every call of the run, failing in this way."""
    for number, call in enumerate(expected(scenario, event_lost=event_lost).calls, 1):
        if call.effect or kind in WITHOUT_EFFECT:
            yield Case(scenario, kind, number, call.operation, event_lost)


def problems(case: Case, variant: Variant = nullcontext) -> list[str]:
    """What is not as it should be in one case; ``variant`` breaks the product for a negative control."""
    found = []
    with open_stage(FLEET) as stage:
        event = case.scenario(stage)
        since = len(stage.aws.journal)
        with variant():
            rule = stage.aws.faults.add(case.kind, nth=case.nth)
            outcome = _sweep(stage) if case.event_lost else _run(stage, event)
            stage.aws.faults.clear()
            if not rule.fired:
                found.append("the fault did not fire")
            elif outcome == "done" and not _was_said(stage) and not _is_done(stage, case):
                found.append("the failed call was swallowed: the message is done, the job is not, and nothing was said")
            _settle(stage)
        found += _unproven(stage, since)
        found += differences(expected(case.scenario).picture, picture(stage))
    return [f"{case}: {problem}" for problem in found]


def _run(stage: Stage, event: dict[str, Any]) -> str:
    """Work on the message until the fault has struck or the message is done; it never comes back after a fault."""
    (rule,) = stage.aws.faults.rules
    for received in range(1, 21):
        try:
            pause = stage.queue.receive(stage.body(event), received=received)
        except Killed:
            return "killed"
        if pause is None:
            return "done"
        if rule.fired:
            break
        stage.pass_time(pause)
    return "stays in the queue"


def _was_said(stage: Stage) -> bool:
    announced = stage.announced("Endpoints Blocked") + stage.announced("Environment Needs Attention")
    return bool(announced) or any(level in stage.log.getvalue() for level in ('"WARNING"', '"ERROR"'))


def _is_done(stage: Stage, case: Case) -> bool:
    """Whether the run has done its job all the same; some calls can be done without."""
    stage.pass_time(60)
    return not differences(expected(case.scenario, event_lost=case.event_lost).picture, picture(stage))


def _sweep(stage: Stage) -> str:
    """Sweep and do the work that follows, until a process is killed or gives up loudly."""
    try:
        stage.heal()
    except (Killed, GroundcrewError) as error:
        return type(error).__name__
    return "done"


def _settle(stage: Stage) -> None:
    """One more sweep a quarter of an hour later, and all that follows from it."""
    stage.pass_time(900)
    stage.heal()
    stage.pass_time(60)


def _unproven(stage: Stage, since: int) -> list[str]:
    """Endpoints that were deleted although an environment that lives was using them."""
    needed = {service for e in _environments(stage) for service in (e.database_service, e.webserver_service)}
    services = {e.endpoint_id: e.service for e in stage.aws.ec2.endpoints._endpoints.values()}
    return [
        f"{endpoint_id} was deleted without proof that its environment is gone"
        for entry in stage.aws.journal[since:]
        if entry.operation == "ec2:DeleteVpcEndpoints" and entry.effect
        for endpoint_id in entry.attempt.params["VpcEndpointIds"]
        if services.get(endpoint_id) in needed
    ]


# ---------------------------------------------------------------------------------------------------------- the picture
def picture(stage: Stage) -> Picture:
    """All that is there, without the ids that differ from run to run."""
    names = {group.group_id: group.name for account in (HUB, SPOKE) for group in stage.aws.groups(account)}
    services = {
        service: f"{purpose} of {e.name}"
        for e in _environments(stage)
        for purpose, service in (("database", e.database_service), ("webserver", e.webserver_service))
        if service
    }
    return {
        "environments": sorted(f"{e.arn} {e.status}" for e in _environments(stage)),
        "endpoints": sorted(_endpoint(e, names, services, stage.aws.clock.now()) for e in stage.aws.endpoints()),
        "groups": sorted(_group(g, names) for account in (HUB, SPOKE) for g in stage.aws.groups(account)),
    }


def differences(wanted: Picture, found: Picture) -> list[str]:
    """What is missing and what is too much."""
    result = []
    for kind, items in wanted.items():
        missing, surplus = list(items), []
        for item in found[kind]:
            if item in missing:
                missing.remove(item)
            else:
                surplus.append(item)
        result += [f"{kind}: missing {item}" for item in missing] + [f"{kind}: too many {item}" for item in surplus]
    return result


def _environments(stage: Stage) -> list[Any]:
    return [e for scope in stage.aws.mwaa._environments.values() for e in scope.values()]


def _endpoint(endpoint: Endpoint, names: dict[str, str], services: dict[str, str], now: float) -> str:
    return json.dumps(
        {
            "service": services.get(endpoint.service, endpoint.service),
            "where": [endpoint.owner, endpoint.vpc_id, sorted(endpoint.subnets)],
            "groups": sorted(names.get(group, "?") for group in endpoint.groups),
            "state": endpoint.state(now),
            "dns": endpoint.private_dns,
            "policy": json.loads(endpoint.policy),
            "tags": endpoint.tags,
        },
        sort_keys=True,
    )


def _group(group: Group, names: dict[str, str]) -> str:
    rules = sorted(
        [rule.egress, rule.protocol, str(rule.from_port), str(rule.to_port), names.get(rule.source, rule.source)]
        for rule in group.rules
    )
    return json.dumps([group.name, group.owner, group.vpc_id, rules, group.tags], sort_keys=True)

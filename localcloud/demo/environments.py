"""Steps ``endpoints`` and ``teardown``: environments come and go, Groundcrew's endpoints with them."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from localcloud.airflow import installed
from localcloud.demo.report import NotAsExpected, Step
from localcloud.demo.setting import LOOK_SECONDS, Setting
from localcloud.demo.view import DIM, GREEN, PLAIN, YELLOW, View
from localcloud.fleet import Environment, calls_for, foreign_resources, make_network
from localcloud.installation import HUB, REGION, SPOKES, dead_letters

LIFE = ["CREATING", "PENDING", "CREATING", "AVAILABLE"]
PATIENCE_SECONDS = 90.0
DOWNSTREAM_VERSION = "3.3.1"


def upstream_version() -> str:
    """Airflow 2, but where it cannot be: it ends with Python 3.12."""
    return "2.10.3" if installed.is_installed("2.10.3") else DOWNSTREAM_VERSION


@dataclass
class Watched:
    """An environment, and what was seen of it."""

    environment: Environment
    what: str
    statuses: list[str] = field(default_factory=list)
    since: list[float] = field(default_factory=list)
    endpoints: dict[str, str] = field(default_factory=dict)  # purpose -> state
    groups: int = 0

    def look(self) -> None:
        """Ask AWS how it is now."""
        status = self.environment.status()
        if self.statuses[-1:] != [status]:
            self.statuses.append(status)
            self.since.append(time.monotonic())
        self.endpoints = {_tag(one, "groundcrew:purpose"): one["State"] for one in self.environment.endpoints()}
        self.groups = len(self.environment.groups())

    @property
    def seconds_pending(self) -> float:
        """How long it waited for its endpoints; to the accuracy of our looks."""
        ends = [*self.since[1:], time.monotonic()]
        return sum(
            end - start
            for status, start, end in zip(self.statuses, self.since, ends, strict=True)
            if status == "PENDING"
        )

    def lines(self, view: View) -> list[str]:
        """What to show of it: two short lines that change in place, else one that says it all."""
        life = " → ".join(self.statuses)
        life += " " * (42 - len(life))
        by_state: dict[str, list[str]] = {}
        for purpose, state in sorted(self.endpoints.items()):
            by_state.setdefault(state, []).append(purpose)
        made = ", ".join(f"{' + '.join(purposes)} {state}" for state, purposes in by_state.items()) or "no endpoints"
        name = f"  {self.environment.name:8} {self.what:44}"
        if not view.live:
            return [f"{name} {life} {made}"]
        colour = {"AVAILABLE": GREEN, "PENDING": YELLOW}.get(self.statuses[-1], PLAIN)
        return [name.rstrip(), f"    {view.paint(life, colour)}  {view.paint(made, DIM)}"]


def create(setting: Setting, view: View, step: Step) -> list[Watched]:
    """Create three environments and watch them until they run; then hold everything against what it should be."""
    own = make_network(setting.aws, SPOKES[1], REGION)
    before = foreign_resources(setting.aws, (HUB, *SPOKES), REGION)
    plans = [
        ("orders", SPOKES[0], setting.shared, "PRIVATE_ONLY", "private web server, shared VPC", upstream_version()),
        ("reports", SPOKES[1], setting.shared, "PUBLIC_ONLY", "public web server, shared VPC", DOWNSTREAM_VERSION),
        ("science", SPOKES[1], own, "PRIVATE_ONLY", "private web server, own VPC", DOWNSTREAM_VERSION),
    ]
    watched = [
        Watched(
            Environment.create(setting.aws, account, name, network, mode=mode, version=version), f"{account} {what}"
        )
        for name, account, network, mode, what, version in plans
    ]
    _watch(view, watched, lambda: all(one.statuses[-1] not in ("CREATING", "PENDING") for one in watched))
    step.facts["environments"] = [_facts(setting, one) for one in watched]
    _expect_all(
        *(f"{one.environment.name} went {one.statuses}, not {LIFE}" for one in watched if one.statuses != LIFE),
        *(problem for one in watched for problem in one.environment.faults()),
        *_foreign_changes(setting, before, watched),
        *_undelivered(setting),
    )
    return watched


def delete(setting: Setting, view: View, step: Step, watched: list[Watched]) -> None:
    """Delete the first environment and watch its endpoints and group go, and nothing else."""
    gone, *others = watched
    before = foreign_resources(setting.aws, (HUB, *SPOKES), REGION)
    since = setting.cloud.next_call()
    endpoints, groups = len(gone.endpoints), gone.groups
    gone.statuses, gone.since = [], []
    gone.environment.delete()
    _watch(view, [gone], lambda: gone.statuses[-1] == "DELETED" and not gone.endpoints and not gone.groups)
    step.facts |= {
        "environment": gone.environment.name,
        "statuses": gone.statuses,
        "endpoints_removed": endpoints - len(gone.endpoints),
        "groups_removed": groups - gone.groups,
        "aws_calls": len(calls_for(setting.cloud.calls(since), gone.environment.arn)),
    }
    _expect_all(
        *(problem for one in others for problem in one.environment.faults()),
        *_foreign_changes(setting, before, watched),
        *_undelivered(setting),
    )
    ec2 = setting.aws.client("ec2", gone.environment.account, REGION)
    for group_id in gone.environment.group_ids:  # DependencyViolation, if Groundcrew's group still named it
        ec2.delete_security_group(GroupId=group_id)


def _watch(view: View, watched: list[Watched], done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        for one in watched:
            one.look()
        view.show([line for one in watched for line in one.lines(view)])
        if done():
            view.close()
            return
        if time.monotonic() > deadline:
            raise NotAsExpected(
                f"it should be done after {PATIENCE_SECONDS:.0f} s, but: "
                + "; ".join(f"{one.environment.name} {one.statuses} {one.endpoints}" for one in watched)
            )
        time.sleep(LOOK_SECONDS)


def _facts(setting: Setting, one: Watched) -> dict[str, Any]:
    environment = one.environment
    calls = calls_for(setting.cloud.calls(), environment.arn)
    return {
        "name": environment.name,
        "account": environment.account,
        "network_account": environment.network.account,
        "what": one.what.partition(" ")[2],
        "status": one.statuses[-1],
        "statuses": one.statuses,
        "endpoints": [
            {
                "id": made["VpcEndpointId"],
                "purpose": _tag(made, "groundcrew:purpose"),
                "service": made["ServiceName"],
                "state": made["State"],
            }
            for made in environment.endpoints()
        ],
        "seconds_pending": round(one.seconds_pending, 1),
        "aws_calls": len(calls),
        "aws_calls_by_action": dict(Counter(calls)),
    }


def _foreign_changes(setting: Setting, before: dict[str, str], watched: list[Watched]) -> list[str]:
    """What happened to resources that are not Groundcrew's, besides the environments' own groups."""
    now = foreign_resources(setting.aws, (HUB, *SPOKES), REGION)
    groups = {group_id for one in watched for group_id in one.environment.group_ids}
    changed = [
        f"{one} is not Groundcrew's and should be as before: {before[one]}, not {now.get(one, 'gone')}"
        for one in before
        if now.get(one) != before[one]
    ]
    new = [one for one in now if one not in before and one not in groups]
    return changed + [f"{one} should carry Groundcrew's tags" for one in new]


def _undelivered(setting: Setting) -> list[str]:
    waiting = [f"{queue} should be empty, it holds {count}" for queue, count in dead_letters(setting.cloud).items()]
    return waiting + [f"every event should arrive: {failure}" for failure in setting.cloud.failures()]


def _expect_all(*problems: str) -> None:
    if problems:
        raise NotAsExpected("\n".join(problems))


def _tag(resource: dict[str, Any], key: str) -> str:
    return next((str(tag["Value"]) for tag in resource["Tags"] if tag["Key"] == key), "")

"""A clean-up whose calls fail: asked for until somebody has taken it, then played to its end."""

from collections.abc import Callable
from typing import Any

from localcloud.inprocess.faults import Killed, Kind, Rule
from localcloud.model.environment import Environment
from tests.support.cleanup.hub import Hub

ONLY_READ = frozenset({Kind.THROTTLED, Kind.DENIED, Kind.KILLED_BEFORE})
"""A call that only reads fails in three ways: try again, do not, and no more time to say anything."""

Each = Callable[[dict[str, Any]], bool]


def run(hub: Hub, environment: Environment, each: Each | None = None) -> None:
    """Ask once; what dies is begun again, as SQS and Step Functions do it. ``each``: after every state."""
    event = hub.request(environment)
    for _ in range(30):
        try:
            if hub.deliver(event):
                break
        except Killed:
            hub.revive()
        hub.stage.pass_time(360)
    hub.play(each)


def run_with(hub: Hub, environment: Environment, kind: Kind, nth: int, each: Each | None = None) -> list[str]:
    """The same with one call that fails; what is wrong with the fault."""
    rule = Rule(kind, nth=nth)
    alive = [False]
    rules = [rule]
    if kind in (Kind.KILLED_BEFORE, Kind.KILLED_AFTER):  # whoever is killed makes no further call
        rules.append(Rule(Kind.KILLED_BEFORE, nth=None, where=lambda _: rule.fired > 0 and not alive[0]))

    def revive() -> None:
        alive[0] = True

    hub.revive = revive
    hub.stage.aws.faults.rules[:0] = rules
    run(hub, environment, each)
    hub.stage.aws.faults.clear()
    return [] if rule.fired else ["the fault did not fire"]

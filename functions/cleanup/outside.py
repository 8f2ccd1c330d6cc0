"""The outside engine: Airflow 3 is cleaned by its own ``db clean``, through MWAA's command line, one command a step."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Self

from cleanup import outside_output
from cleanup.outside_airflow import Airflow
from cleanup.outside_plan import Kept, Target, bound, targets
from cleanup.outside_slices import FIRST_ROWS, Progress
from cleanup.outside_versions import Capability
from cleanup.policy import Policy
from groundcrew.manifests import Coverage
from groundcrew.observability import logger

OUT_OF_TIME = "its time was up"
CLOSED = "the maintenance window has closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How far a clean-up has come: tables to come, the one in hand, those that are done."""

    todo: tuple[Target | Kept, ...]
    progress: Progress | None = None
    results: tuple[Mapping[str, Any], ...] = ()
    limit: int = FIRST_ROWS
    begins: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return not self.todo and self.progress is None

    @property
    def wait(self) -> bool:
        """Whether a command may still be running."""
        return self.progress is not None and self.progress.wait

    def given_up(self, reason: str) -> "Work":
        """Nothing more is sent; what is not done says why."""
        work: Work = self
        if work.progress:
            work = _done(work, work.progress.stopped(reason))
        while work.todo:
            work = _next(work, reason)
        return work

    def as_state(self) -> dict[str, Any]:
        """As the state machine carries it."""
        return {
            "todo": [_one(one) for one in self.todo],
            "progress": self.progress.as_state() if self.progress else None,
            "results": [dict(result) for result in self.results],
            "limit": self.limit,
            "begins": self.begins.isoformat() if self.begins else None,
        }

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> Self:
        """Read what ``as_state`` wrote."""
        return cls(
            todo=tuple(_read_one(one) for one in state["todo"]),
            progress=Progress.read(state["progress"]) if state["progress"] else None,
            results=tuple(state["results"]),
            limit=state["limit"],
            begins=datetime.fromisoformat(state["begins"]) if state["begins"] else None,
        )


def begin(airflow: Airflow, policy: Policy, can: Capability, covered: Coverage, now: datetime) -> Work:
    """Plan the clean-up.

    Raises:
        PermanentError: the policy asks for what cannot be honoured here.
        TransientError: try again.
    """
    planned = targets(policy, can, airflow.seen(covered, now), now)
    for one in planned:
        before = one.before if isinstance(one, Target) else None
        logger.info("planned", table=one.table, before=before, reason=one.reason)
    return Work(todo=tuple(planned), begins=airflow.begins())


def step(
    work: Work,
    airflow: Airflow,
    policy: Policy,
    can: Capability,
    covered: Coverage,
    stop: str | None = None,
) -> Work:
    """Send one command, at most. ``stop``: why no new slice may be begun; one that was is finished.

    Raises:
        TransientError: nothing has changed; try again.
    """
    if work.progress is None:
        return _next(work, stop)
    progress = work.progress
    if progress.between:
        if stop:
            progress = progress.stopped(stop)
        else:
            cleanable = can.tables[progress.target.table]
            progress = progress.moved(bound(progress.target, cleanable, airflow.seen(covered, progress.target.before)))
    if progress.stage == "done":
        return _done(work, progress)
    command = progress.command
    began = time.monotonic()
    output = airflow.clean(command, can)
    seconds = time.monotonic() - began
    answer = outside_output.read(output.stdout, output.stderr, command.table) if output else None
    logger.info(
        "cleaned" if not command.look else "looked",
        table=command.table,
        before=command.before,
        rows=answer.rows if answer else None,
        trouble=answer.trouble if answer else "no answer",
        seconds=round(seconds, 1),
    )
    return replace(work, progress=progress.after(answer, seconds, deletes=policy.deletes, confirm=policy.confirm))


def _next(work: Work, stop: str | None) -> Work:
    """Take the next table in hand, or be done with it at once."""
    if not work.todo:
        return work
    one, *rest = work.todo
    if isinstance(one, Target) and not stop:
        return replace(work, todo=tuple(rest), progress=Progress.of(one, work.limit, work.begins))
    kept = one.reason if isinstance(one, Kept) else stop
    before = one.before.isoformat() if isinstance(one, Target) else None
    result = {"table": one.table, "before": before, "kept": kept}
    return replace(work, todo=tuple(rest), results=(*work.results, result))


def _done(work: Work, progress: Progress) -> Work:
    target = progress.target
    result = {
        "table": target.table,
        "before": target.before.isoformat(),
        "reason": target.reason,
        "examined": progress.examined or 0,
        "deleted": dict(progress.deleted),
        "left": progress.left,
        "short": target.short,
        "kept": progress.kept,
        "failed": progress.failed,
        "commands": progress.commands,
        "longest_seconds": round(progress.longest, 1),
    }
    return replace(work, progress=None, results=(*work.results, result), limit=max(progress.limit, FIRST_ROWS))


def _one(one: Target | Kept) -> dict[str, Any]:
    more = {"before": one.before.isoformat()} if isinstance(one, Target) else {}
    return asdict(one) | more


def _read_one(state: Mapping[str, Any]) -> Target | Kept:
    if "before" not in state:
        return Kept(**state)
    return Target(**{**state, "before": datetime.fromisoformat(state["before"])})

"""(policy, version, what was seen, now) → up to when each table is cleaned, and what is kept and why. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cleanup.outside_versions import NEVER, Capability, Cleanable
from cleanup.policy import Policy
from groundcrew.errors import PermanentError
from groundcrew.manifests import Coverage

INSIDE_ONLY = {
    "protected_dags": "which DAGs it protects",
    "rows_per_transaction": "rows per transaction",
    "lock_timeout_seconds": "a lock timeout",
    "statement_timeout_seconds": "a statement timeout",
    "connections": "a number of connections",
}
"""What a policy may say that ``db clean`` cannot honour. ``--exclude-dag-ids`` would protect DAGs; but with it, the
command fails at ``deadline`` and ``task_reschedule``, which have no DAG id (3.2.1, 3.3.1).
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What bounds a clean-up.

    ``unfinished``: when the oldest unfinished run was due; ``changed``: when the oldest of those runs was due that
    changed, themselves or a task instance of theirs, since they were exported.
    """

    covered: Coverage
    unfinished: datetime | None = None
    changed: datetime | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Clean a table of what is older than ``before``; ``reason`` says why not of more.

    ``short``: the policy wants more of it gone.
    """

    table: str
    before: datetime
    reason: str
    short: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """A table that is left alone."""

    table: str
    reason: str


def targets(policy: Policy, can: Capability, seen: Seen, now: datetime) -> list[Target | Kept]:
    """What is to be done about each table, in order.

    Raises:
        PermanentError: the policy asks for what ``db clean`` cannot honour.
    """
    require_honourable(policy)
    return [_target(table, cleanable, policy, seen, now) for table, cleanable in can.tables.items()]


def require_honourable(policy: Policy) -> None:
    """Raise a PermanentError if the policy asks for what ``db clean`` cannot honour; nothing of it is ignored."""
    found = [said for key, said in INSIDE_ONLY.items() if policy.document.get(key)]
    days = policy.document["days"]
    found += ["days by DAG"] if days.get("dags") else []
    found += ["days by run type"] if days.get("run_types") else []
    found += ["more than the newest run of each DAG"] if policy.document.get("keep_newest", 1) > 1 else []
    found += [f"days of {table}" for table in sorted(NEVER & policy.days.keys()) if policy.days[table]]
    if found:
        raise PermanentError(
            f"`db clean` cannot honour what the policy says of {', '.join(found)}",
            cause="PolicyNotHonoured",
            remedy="Give environments with Airflow 3 a policy of days per table only.",
        )


def bound(target: Target, cleanable: Cleanable, seen: Seen) -> Target:
    """The target, moved back to before what must not go."""
    if not cleanable.of_runs:
        return target
    limits = [
        (seen.unfinished, "runs from then on are not finished"),
        (seen.changed, "runs from then on have changed since they were exported"),
    ]
    for limit, reason in limits:
        if limit is not None and limit < target.before:
            target = Target(target.table, limit, reason, short=True)
    return target


def _target(table: str, cleanable: Cleanable, policy: Policy, seen: Seen, now: datetime) -> Target | Kept:
    days = policy.days_of(table)
    if days is None:
        return Kept(table, "the policy keeps it")
    reason = f"{days} days are kept"
    for other in sorted(cleanable.with_it & policy.days.keys()):
        longer = policy.days[other]
        if longer is None:
            return Kept(table, f"rows of {other} go with it, and the policy keeps them")
        if longer > days:
            days, reason = longer, f"rows of {other} go with it, of which {longer} days are kept"
    target = Target(table, (now - timedelta(days=days)).replace(microsecond=0), reason)
    if policy.export_required:
        going = {table, *cleanable.with_it} - policy.expendable
        missing = sorted(one for one in going if not _exported(one, table, cleanable, seen))
        if missing:
            return Kept(table, f"rows of {', '.join(missing)} would go, which are neither exported nor expendable")
        for other in sorted(going):
            if seen.covered[other].until < target.before:
                target = Target(table, seen.covered[other].until, f"{other} is exported up to then", short=True)
    return bound(target, cleanable, seen)


def _exported(other: str, table: str, cleanable: Cleanable, seen: Seen) -> bool:
    """Whether all that goes can be told to be exported: of runs by what has changed since, of others by their age."""
    covered = seen.covered.get(other)
    return covered is not None and (cleanable.of_runs or (other == table and covered.column == cleanable.age))

"""(order, what was seen, now) → what to do next. Pure.

Nothing is rejected that an earlier try may have started: before a rejection the run is looked for.
"""

from datetime import datetime, timedelta

from groundcrew.events import GONE
from groundcrew.ways.seen import Run
from runs.order import Order
from runs.plan import UNSEEN, Begin, Confirm, Look, Plan, Reject, Seen, Wait

READY = frozenset({"AVAILABLE", "UPDATE_FAILED"})
"""Statuses in which Airflow can be asked; an environment whose update failed was rolled back "and is ready to use"
(botocore ``mwaa`` ``EnvironmentStatus``).
"""

ENDING = frozenset({"DELETING", GONE, "CREATE_FAILED"})
"""Statuses that no environment comes back from (guide L8256)."""

SHORTEST_WAIT, LONGEST_WAIT = 15, 600
"""Seconds between two looks at an environment that is not ready."""

PATIENCE = timedelta(minutes=15)
"""How long after its expiry an order is kept while Airflow cannot be asked what an earlier try has done."""

SECOND = timedelta(seconds=1)
"""What the command line of old versions drops of a logical date."""


def decide(order: Order, seen: Seen, now: datetime) -> Plan:
    """The next thing to do; as long as it is a ``Look``, look and ask again."""
    environment = seen.environment
    if environment.status in ENDING:
        return gone(environment.status)
    if environment.policy_name("runs") == "off":
        return Reject("Off", "the environment is tagged groundcrew:runs=off", "Change the tag, if runs are wanted.")
    if not seen.policy_allows:
        name = environment.policy_name("runs")
        return Reject(
            "NotAllowed",
            f"the policy /groundcrew/runs/{name} does not allow the DAG {order.dag_id}",
            "Add the DAG to the policy, or ask for another.",
        )
    ready = environment.status in READY
    if now >= order.expires_at:
        expired = Reject(
            "Expired",
            f"it could not be started by {order.expires_at.isoformat()}; the environment is {environment.status}",
            "Ask again, with a longer expires_in if the environment is busy that long.",
        )
        return _unless_started(order, seen, expired, last=not ready or now >= order.expires_at + PATIENCE)
    if not ready:
        return Wait(f"the environment is {environment.status}", _pause(order, now))
    if seen.failure:
        return _unless_started(order, seen, seen.failure)
    if seen.refused:
        return _about_conflict(order, seen)
    return _about_dag(order, seen)


def gone(status: str) -> Reject:
    """The rejection where there is no environment, or soon will be none."""
    return Reject("EnvironmentGone", f"the environment is {status}", "Ask for an environment that exists.")


def _about_dag(order: Order, seen: Seen) -> Plan:
    if seen.dag is UNSEEN:
        return Look("dag", "whether the DAG can run")
    if seen.dag is None:
        if seen.import_errors is UNSEEN:
            return Look("import_errors", "why the DAG is not there")
        return _unless_started(order, seen, _unknown(order, seen.import_errors))
    if seen.dag.has_import_errors:
        broken = Reject(
            "ImportErrors",
            f"the file of the DAG {order.dag_id} cannot be imported",
            "Mend it; Airflow's web server shows the error on its first page.",
        )
        return _unless_started(order, seen, broken)
    if seen.dag.is_paused and order.if_paused == "reject":
        paused = Reject(
            "Paused",
            f"the DAG {order.dag_id} is paused",
            "Unpause it, or ask with if_paused: unpause (starts now) or queue (starts when somebody unpauses it).",
        )
        return _unless_started(order, seen, paused)
    unpause = seen.dag.is_paused and order.if_paused == "unpause"
    return Begin("the DAG is paused and is to be unpaused" if unpause else "the DAG can run", unpause=unpause)


def _unknown(order: Order, files: tuple[str, ...]) -> Reject:
    broken = f"; {len(files)} files cannot be imported: {', '.join(files[:3])}" if files else ""
    return Reject(
        "UnknownDag",
        f"Airflow knows no DAG {order.dag_id}{broken}",
        "Look for a misspelt id, a file that cannot be imported, or one that is not in the DAG folder yet.",
    )


def _about_conflict(order: Order, seen: Seen) -> Plan:
    """Airflow has a run with that id or that logical date, and does not always say which."""
    if seen.run is UNSEEN:
        return Look("run", "whose run it is that Airflow has")
    if seen.run is not None:
        if is_ours(seen.run, order):
            return Confirm("the run was started by an earlier try", seen.run)
        return Reject(
            "RunIdTaken",
            f"the run {order.run_id} of {order.dag_id} exists and was not started by this request"
            f"{_described(seen.run)}",
            "Ask with another request_id or run_id.",
        )
    if order.logical_date is not None and seen.twin is UNSEEN:
        return Look("twin", "which run has that logical date")
    if seen.twin is not UNSEEN and seen.twin is not None and seen.twin.run_id != order.run_id:
        return Reject(
            "LogicalDateTaken",
            f"the run {seen.twin.run_id} of {order.dag_id} has the logical date {_iso(order.logical_date)}",
            "Ask with another logical_date, or with none.",
        )
    return Wait("Airflow says that it has the run, and does not show it", SHORTEST_WAIT)


def _unless_started(order: Order, seen: Seen, reject: Reject, *, last: bool = False) -> Plan:
    if seen.run is UNSEEN:
        return Look("run", f"an earlier try may have started it, before: {reject.reason}", reject, last)
    if seen.run is not None and is_ours(seen.run, order):
        return Confirm("the run was started by an earlier try", seen.run)
    return reject


def is_ours(run: Run, order: Order) -> bool:
    """Whether a run with the order's id is the one that the order has started.

    Our runs carry a note where the way in can write one. Without a note (the CLI writes none), it is a run with the
    same conf and logical date that is not older than the request.
    """
    if run.note:
        return run.note.splitlines()[-1] == marker(order)  # above it stands what anybody may write
    if order.logical_date and run.logical_date and abs(run.logical_date - order.logical_date) >= SECOND:
        return False
    moments = [run.created_at, run.start_date, run.logical_date if order.logical_date is None else None]
    older = any(moment is not None and moment < order.ref.earliest for moment in moments)
    return not older and (run.conf is None or run.conf == order.conf)


def marker(order: Order) -> str:
    """The line in a run's note by which it is known."""
    return f"Groundcrew request {order.request_id} of account {order.sender}"


def note(order: Order) -> str:
    """A run's note: what was asked for, and our mark."""
    return "\n".join(filter(None, (order.note, marker(order))))


def _pause(order: Order, now: datetime) -> int:
    """Longer and longer, but never far beyond the expiry."""
    waited = (now - order.requested_at).total_seconds()
    left = (order.expires_at - now).total_seconds()
    return max(SHORTEST_WAIT, min(LONGEST_WAIT, round(waited / 4), round(left) + 1))


def _described(run: Run) -> str:
    said = [f"in state {run.state}"] if run.state else []
    said += [f"its note says {run.note[:80]!r}"] if run.note else []
    said += [f"it started at {_iso(run.start_date)}"] if run.start_date else []
    return f" ({', '.join(said)})" if said else ""


def _iso(moment: datetime | None) -> str:
    return moment.isoformat() if moment else "none"

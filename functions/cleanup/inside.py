"""The inside engine: Airflow 2 is cleaned by a DAG that Groundcrew ships, starts, follows, and reads the report of.

Anybody may start a DAG, with any conf. So the conf only names an order, ``orders/<cleanup_id>.json``, which is shipped
beside the DAG, and takes away the order before it. Its digest is in the conf, so that the run works by the order it was
started with, or not at all.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from cleanup.order import Order
from cleanup.policy import Policy
from groundcrew.aws.locks import Locks
from groundcrew.aws.objects import Bucket
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment
from groundcrew.errors import PermanentError
from groundcrew.observability import logger
from groundcrew.shipping import Shipping, source
from groundcrew.ways.reach import Reach
from groundcrew.ways.seen import Run, RunRef, Start

DAG_ID = "groundcrew_cleanup"
FILES = (
    ".airflowignore",
    "groundcrew_cleanup.py",
    "groundcrew_cleaning",
    *(f"groundcrew_metadata/{name}.py" for name in ("__init__", "place", "storage")),
)
"""What is shipped, besides the order."""

BEGUN_WITHIN = timedelta(hours=1)
"""How long a shipped DAG may take to be seen and begun: MWAA syncs in 30 seconds, and Airflow lists the folder every
five minutes if nobody has set it otherwise (``[scheduler] dag_dir_list_interval``).
"""

SYNCED = timedelta(seconds=90)
"""How long what is shipped takes to reach every worker: MWAA copies the folder every 30 seconds."""

ENDED_WITHIN = timedelta(hours=1)
"""How long a run may go on when its time is up: it ends its transaction, and vacuums."""

SHORTEST_WAIT, LONGEST_WAIT = 60, 300
"""Seconds between two looks; a quarter of the time that has passed in between."""

_COUNTS = ("examined", "deleted", "left", "bytes_before", "bytes_after")
_TEXTS = ("before", "kept")
LONGEST_TEXT, MOST_TABLES = 500, 100
LONGEST_REPORT = 60_000
"""Bytes. It travels through the state machine, which carries 256 KB
(https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html).
"""


@dataclass(frozen=True, slots=True)
class Inside:
    """The engine in one environment, for one order."""

    roles: Roles
    environment: Environment
    locks: Locks
    order: Order
    in_vpc: bool

    def ship(self, policy: Policy, place: Mapping[str, Any], until: datetime) -> str:
        """Have the DAG in the environment's DAG folder, and the order beside it; the order's digest.

        Args:
            policy: what is to be kept.
            place: where this is, and where the report goes.
            until: when the run stops at the latest.
        """
        said = {
            "cleanup_id": self.order.cleanup_id,
            "place": dict(place),
            "mode": "delete" if policy.deletes else "report",
            "policy": dict(policy.document),
            "covered": dict(self.order.covered or {}),
            "seconds": policy.seconds_per_run,
            "until": until.isoformat(),
        }
        content = json.dumps(said, sort_keys=True, indent=1).encode()
        files = {**source(*FILES), f"orders/{self.order.cleanup_id}.json": content}
        Shipping(self.roles, self.environment, "cleanup").ship(files)
        return hashlib.sha256(content).hexdigest()

    def start(self, sha256: str) -> bool:
        """Start the run, once, with the order of that digest; False as long as Airflow does not know the DAG yet."""
        reach = self._reach
        dag, _ = reach.ask(lambda way: way.dag(DAG_ID))
        if dag is None:
            return False
        conf = {"cleanup_id": self.order.cleanup_id, "sha256": sha256}
        if dag.is_paused:
            reach.ask(lambda way: way.unpause(DAG_ID))
        # An earlier try may have started it: then Airflow says that it has such a run.
        reach.ask(lambda way: way.start(Start(self._ref, conf, "a clean-up by Groundcrew")))
        return True

    def run(self) -> Run:
        """The run as it is now.

        Raises:
            PermanentError: Airflow does not have it.
        """
        # Whatever Airflow's clock says: who looks for young runs only does not see one that is dated before the order.
        run, _ = self._reach.ask(lambda way: way.run(self._ref, of_any_age=True))
        if run is None:
            raise PermanentError(
                f"Airflow does not have the run {self._ref.run_id} any more",
                cause="RunRemoved",
                remedy="Look for whoever deleted it.",
            )
        return run

    @property
    def _ref(self) -> RunRef:
        return RunRef(DAG_ID, run_id(self.order), self.order.ordered_at)

    @property
    def _reach(self) -> Reach:
        return Reach(self.roles, self.environment, self.locks, in_vpc=self.in_vpc)


def follow(engine: Inside, bucket: Bucket, now: datetime, *, ready: bool) -> Order:
    """Start the run once its DAG is known, or look at it; the order goes to ``report`` when it has ended.

    Args:
        engine: of an order that was shipped.
        bucket: where the report is.
        now: when the state machine came here.
        ready: whether Airflow can be asked now.

    Raises:
        PermanentError: it does not begin, or not end, or leaves no report.
    """
    order = engine.order
    work, planned_at = dict(order.work or {}), datetime.fromisoformat(str(order.planned_at))
    until = datetime.fromisoformat(work["until"])
    if now > until and not work["started"]:
        raise _out_of_time(work)
    wait = replace(order, next="clean", seconds=LONGEST_WAIT)
    if not ready:
        if now > until + ENDED_WITHIN:
            raise _out_of_time(work)
        logger.info("not ready", status=engine.environment.status)
        return wait
    if not work["started"]:
        if now < planned_at + SYNCED:
            return replace(wait, seconds=SYNCED.seconds)
        if engine.start(work["sha256"]):
            return replace(wait, work=work | {"started": True}, seconds=SHORTEST_WAIT)
        if now > planned_at + BEGUN_WITHIN:
            raise PermanentError(
                f"Airflow has not seen the DAG {DAG_ID} for {BEGUN_WITHIN}",
                cause="DagNotSeen",
                remedy="Look for import errors in the environment, and whether its DAG folder is the usual one.",
            )
        return replace(wait, seconds=SHORTEST_WAIT)
    run = engine.run()
    if not run.ended:
        if now > until + ENDED_WITHIN:
            raise _out_of_time(work)
        logger.info("looked", state=run.state)
        waited = (now - planned_at).total_seconds()
        return replace(wait, seconds=round(min(LONGEST_WAIT, max(SHORTEST_WAIT, waited / 4))))
    about = said(order, bucket)
    done = replace(order, work=work | about, next="report", seconds=0)
    if run.state == "success":
        return done
    return done.failed(
        PermanentError(
            f"the run of {DAG_ID} has {run.state}: {about['trouble'] or 'it does not say why'}",
            cause="RunFailed",
            remedy="Read its log in Airflow; the next clean-up goes on.",
        )
    )


def _out_of_time(work: Mapping[str, Any]) -> PermanentError:
    if not work["started"]:
        return PermanentError(
            f"the run could not begin before {work['until']}",
            cause="OutOfTime",
            remedy="Look what has kept the environment from being available; the next clean-up begins anew.",
        )
    return PermanentError(
        f"the run of {DAG_ID} should have ended by {work['until']}",
        cause="RunTooSlow",
        remedy="Look whether it waits for a worker, or for a lock; it deletes nothing any more if it begins now.",
    )


def said(order: Order, bucket: Bucket) -> dict[str, Any]:
    """What the run has written about itself, where the environment's role may write: read strictly.

    Raises:
        PermanentError: nothing, or nothing that can be read.
    """
    key = report_key(order)
    # Listed first: who may not list the whole bucket is told that a missing object is forbidden.
    if not bucket.keys(key):
        raise _no_report(order, "has left no report")
    try:
        content = bucket.get(key)[1]
        if len(content) > LONGEST_REPORT:
            raise ValueError("too long a report")
        found = json.loads(content)
        tables = {_name(table): _table(about) for table, about in found["tables"].items()}
        if len(tables) > MOST_TABLES:
            raise ValueError("too many tables")
        return {"tables": tables, "converged": found["converged"] is True, "trouble": _text(found.get("failure"))}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _no_report(order, "has left a report that cannot be read") from error


def _no_report(order: Order, what: str) -> PermanentError:
    return PermanentError(
        f"the run {run_id(order)} {what}",
        cause="NoReport",
        remedy=f"Read the log of the DAG {DAG_ID} in the environment; the next clean-up goes on.",
    )


def run_id(order: Order) -> str:
    """Of the order's run in Airflow."""
    return f"groundcrew__{order.cleanup_id}"


def report_key(order: Order) -> str:
    """Where the environment's execution role may write."""
    return f"extracts/{order.environment}/{order.cleanup_id}/cleanup.json"


def until(policy: Policy, reason: str, now: datetime) -> datetime:
    """When a run that is shipped now stops at the latest: with its time, and with the policy's window if it is due."""
    ends = now + BEGUN_WITHIN + timedelta(seconds=policy.seconds_per_run)
    if reason != "due" or policy.window is None:
        return ends
    return min(ends, now + timedelta(seconds=policy.window.seconds_left(now)))


def _table(about: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a table, without what nobody asked for."""
    found: dict[str, Any] = {"examined": None, "deleted": 0, "left": None, "kept": None}
    found |= {key: _count(about[key]) for key in _COUNTS if about.get(key) is not None}
    found |= {key: _text(about[key]) for key in _TEXTS if key in about}
    if about.get("longest_seconds") is not None:
        found["longest_seconds"] = _seconds(about["longest_seconds"])
    return found


def _name(said: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,63}", said):
        raise ValueError("no table is named so")
    return said


def _count(said: object) -> int:
    if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said < 2**53:
        raise ValueError("a number is none")
    return said


def _seconds(said: object) -> float:
    if not isinstance(said, float | int) or isinstance(said, bool) or not 0 <= said < 2**53:
        raise ValueError("a duration is none")
    return float(said)


def _text(said: object) -> str | None:
    if said is not None and not isinstance(said, str):
        raise ValueError("a text is none")
    return said[:LONGEST_TEXT] if said else None

"""The steps of the state machine ``groundcrew-cleanup``: export, plan, clean, report.

Each takes the order as far as it can go at once, and says what comes next. What trying again cannot cure ends the
order, whose report says how far it had come.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from cleanup import converged, inside, outside, report
from cleanup.order import FAILED, FINISHED, Order
from cleanup.outside_airflow import Airflow
from cleanup.outside_plan import require_honourable
from cleanup.outside_versions import capability
from cleanup.policy import Policy
from groundcrew import manifests
from groundcrew.aws import airflow, bus, parameters
from groundcrew.aws.cli import LONGEST_COMMAND
from groundcrew.aws.locks import Locks
from groundcrew.aws.objects import Bucket
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment
from groundcrew.errors import PermanentError, TransientError
from groundcrew.events import Fact, moment
from groundcrew.manifests import Covered
from groundcrew.observability import about, count, logger, observed
from groundcrew.settings import MetadataSettings, Settings, metadata_settings, settings
from groundcrew.shipping import place

READY = frozenset({"AVAILABLE", "UPDATE_FAILED"})

EXPORT_REQUESTED = "Metadata Export Requested"

FRESH = timedelta(hours=24)
"""An export that is older when a clean-up is ordered is made anew."""

LATE = timedelta(minutes=5)
"""How long before it is committed a row may be dated: the next export overlaps by as much, and has it for certain."""

PATIENCE = timedelta(hours=6)
"""How long an export is waited for."""

SHORTEST_WAIT, LONGEST_WAIT = 60, 900
"""Seconds between two looks at an export: a quarter of the time that it has taken so far."""

LEASE_SECONDS = 1800
"""How long an environment stays one clean-up's own without a step of it: longer than any wait between two tries of one.
"""

BUSY_SECONDS = 300
"""Between two looks at an environment that is not ready."""


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take one step; the order to come back with."""
    order = Order.read(event["order"])
    about(order.environment, order.correlation_id)
    step = Step(settings(), metadata_settings(), order, moment(event.get("now")))
    try:
        return step.take(str(event["step"]), event.get("error")).as_state()
    except PermanentError as error:
        if event["step"] == "report":
            raise
        logger.error("cannot go on", cause=error.cause, error=error.what, remedy=error.remedy)
        return order.failed(error).as_state()


class Step:
    """One step of one order."""

    def __init__(self, config: Settings, more: MetadataSettings, order: Order, now: datetime) -> None:
        """``now``: when the state machine came to this step; nothing is asked yet."""
        self._now = now
        self._config = config
        self._more = more
        self._order = order
        self._roles = Roles(config.partition, config.region, session_name="groundcrew-cleanup-step")
        self._bucket = Bucket.own(more.bucket, config.account, config.region)
        self._locks = Locks(more.locks_table, config.region)
        self._lease = f"cleanup/{order.environment}"

    def take(self, step: str, error: Mapping[str, Any] | None) -> Order:
        """Take it.

        Raises:
            PermanentError: the order cannot go on.
            TransientError: try again.
        """
        match step:
            case "export":
                return self._export()
            case "plan":
                return self._plan()
            case "clean":
                return self._clean()
            case "report":
                return self._report(error)
            case _:
                raise PermanentError(f"there is no step {step[:40]!r}", cause="UnknownStep")

    def _export(self) -> Order:
        """See to it that there is a verified export, if the policy wants one."""
        order = self._order
        policy, environment = self._policy(), self._environment()
        engine = "inside" if environment.airflow_version.startswith("2.") else "outside"
        if engine == "outside":
            capability(environment.airflow_version)
            require_honourable(policy)
        order = replace(order, document=policy.document, engine=engine, airflow_version=environment.airflow_version)
        if not policy.export_required:
            return replace(order, covered={}, next="plan", seconds=0)
        newest = manifests.newest(self._bucket, order.environment, environment.created_at, self._now)
        if newest and newest.at >= order.ordered_at - FRESH:
            covered = {table: replace(one, until=one.until - LATE).as_json() for table, one in newest.covered.items()}
            return replace(order, covered=covered, next="plan", seconds=0)
        if self._now > order.ordered_at + PATIENCE:
            raise PermanentError(
                f"there is no verified export from after {(order.ordered_at - FRESH).isoformat()}",
                cause="NotExported",
                remedy="Look why the environment's export fails, or has no policy; or clean without one.",
            )
        if not order.asked:
            detail = {"environment": order.environment.as_detail(), "request_id": f"cleanup-{order.cleanup_id}"}
            bus.ask(EXPORT_REQUESTED, detail, bus=self._config.bus, region=self._config.region)
        waited = (self._now - order.ordered_at).total_seconds()
        seconds = round(min(LONGEST_WAIT, max(SHORTEST_WAIT, waited / 4)))
        return replace(order, asked=True, next="export", seconds=seconds)

    def _plan(self) -> Order:
        """Decide what is to be done about each table."""
        environment = self._environment()
        self._require_ready(environment)
        self._alone()
        order = replace(self._order, planned_at=self._now.isoformat(), next="clean", seconds=0)
        if order.engine == "inside":
            return replace(order, work=self._ordered(environment))
        work = outside.begin(self._airflow(environment), self._policy(), self._can(), self._covered(), self._now)
        return replace(order, work=work.as_state())

    def _clean(self) -> Order:
        """One command; or one look at the run that cleans."""
        order, policy = self._order, self._policy()
        if order.engine == "inside":
            return self._follow()
        work, stop, environment = outside.Work.read(order.work or {}), self._stop(policy), self._environment()
        self._alone()
        if environment.status in READY:
            work = outside.step(work, self._airflow(environment), policy, self._can(), self._covered(), stop)
        elif stop:
            work = work.given_up(stop)
        else:  # an update, say: its web server comes back
            logger.info("not ready", status=environment.status)
            return replace(order, next="clean", seconds=BUSY_SECONDS)
        done = "report" if work.ended else "clean"
        return replace(order, work=work.as_state(), next=done, seconds=LONGEST_COMMAND if work.wait else 0)

    def _ordered(self, environment: Environment) -> dict[str, Any]:
        """Ship the DAG that cleans, with its order. A step that is tried again ships the same."""
        policy, order = self._policy(), self._order
        if order.reason == "due" and not policy.may_run(self._now):
            raise PermanentError(
                "the maintenance window has closed before the clean-up could begin",
                cause="OutOfTime",
                remedy="Look how long its export takes; or let the policy's window be longer.",
            )
        until = inside.until(policy, order.reason, self._now)
        where = place(order.environment, self._bucket.name, self._config.account)
        sha256 = self._inside(environment).ship(policy, where, until)
        return {"started": False, "sha256": sha256, "until": until.isoformat()}

    def _follow(self) -> Order:
        """Start the run once its DAG is known; then wait for its end."""
        environment = self._environment()
        self._alone()
        return inside.follow(self._inside(environment), self._bucket, self._now, ready=environment.status in READY)

    def _report(self, error: Mapping[str, Any] | None) -> Order:
        """Say what was done, wherever it has ended."""
        order = self._order
        results: tuple[Mapping[str, Any], ...] = ()
        if order.engine == "outside" and order.work:
            results = outside.Work.read(order.work).given_up("it could not go on").results
        tables, reached = report.outside(results), report.converged(results)
        if order.engine == "inside":
            work = self._said_inside()
            tables, reached = work.get("tables", {}), work.get("converged") is True
        failure = order.failure or _failure(error, results)
        reached = reached and not failure
        seconds = max(0.0, (self._now - order.ordered_at).total_seconds())
        detail = order.about | {"tables": tables, "seconds": seconds, "report": order.report_key}
        if failure:
            fact = Fact(FAILED, order.environment, detail | dict(failure))
        else:
            mode = "delete" if self._policy().deletes else "report"
            fact = Fact(FINISHED, order.environment, detail | {"mode": mode, "converged": reached})
        said = fact.as_detail() | {"results": list(results), "finished_at": self._now.isoformat()}
        self._bucket.put(order.report_key, json.dumps(said, indent=1).encode())
        if reached:
            converged.mark(self._bucket, order.environment, self._now)
        bus.announce([fact], bus=self._config.bus, region=self._config.region)
        count("CleanupsFailed" if failure else "CleanupsFinished")
        self._locks.release(self._lease, order.cleanup_id)
        return replace(order, next="fail" if failure else "end", seconds=0)

    def _said_inside(self) -> Mapping[str, Any]:
        """What the run has said of itself; also of one that was given up, for it may have deleted a lot."""
        work = self._order.work or {}
        if "tables" not in work and work.get("started"):
            with suppress(PermanentError):
                return {**work, **inside.said(self._order, self._bucket)}
        return work

    # ------------------------------------------------------------------ what is needed
    def _alone(self) -> None:
        """One clean-up of an environment at a time, so that each row is counted once; another one waits."""
        self._locks.lease(self._lease, self._order.cleanup_id, LEASE_SECONDS)

    def _environment(self) -> Environment:
        return airflow.get_environment(self._roles, self._order.environment)

    def _require_ready(self, environment: Environment) -> None:
        if environment.status not in READY:
            raise TransientError(f"the environment is {environment.status}", cause="NotReady")

    def _policy(self) -> Policy:
        """The policy as it was at the beginning; only what is asked for, and the stack, may make it more careful."""
        name = f"/groundcrew/cleanup/{self._order.policy}"
        document = self._order.document
        if document is None:
            document = parameters.document(name, self._config.region)
        careful = {"mode": "report"} if self._order.dry_run or not self._config.acts else {}
        return Policy.read({**document, **careful}, name)

    def _can(self) -> Any:
        return capability(self._order.airflow_version or "")

    def _covered(self) -> dict[str, Covered]:
        covered = self._order.covered or {}
        return {table: Covered(one["column"], datetime.fromisoformat(one["until"])) for table, one in covered.items()}

    def _inside(self, environment: Environment) -> inside.Inside:
        return inside.Inside(self._roles, environment, self._locks, self._order, self._more.in_vpc)

    def _airflow(self, environment: Environment) -> Airflow:
        return Airflow(self._roles, environment, self._locks)

    @property
    def _planned_at(self) -> datetime:
        return datetime.fromisoformat(self._order.planned_at or self._order.ordered_at.isoformat())

    def _stop(self, policy: Policy) -> str | None:
        """Why no new slice may be begun."""
        order = self._order
        if self._now > self._planned_at + timedelta(seconds=policy.seconds_per_run):
            return outside.OUT_OF_TIME
        if order.reason == "due" and not policy.may_run(self._now):
            return outside.CLOSED
        return None


def _failure(error: Mapping[str, Any] | None, results: Any) -> dict[str, str] | None:
    """What went wrong: a step that was tried again and again, or tables that failed."""
    if error:
        words = str(error.get("Cause") or error.get("Error") or "")[:300]
        return {
            "cause": "StepFailed",
            "evidence": words,
            "remedy": "See the log of groundcrew-cleanup-step; the next clean-up goes on.",
        }
    if found := report.failures(results):
        return {
            "cause": "TableFailed",
            "evidence": "; ".join(found)[:1000],
            "remedy": "See what Airflow says of these tables; the others are done.",
        }
    return None

"""The steps ``plan``, ``extract`` and ``publish`` of the state machine ``groundcrew-exports``.

Each takes the order as far as it can go at once, and says what comes next.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from aws_lambda_powertools.utilities.typing import LambdaContext

from exports import inside, outside
from exports.ask import Ask
from exports.failing import failing
from exports.order import FINISHED, Order
from exports.outside_pace import Pace
from exports.plan import Export, Nothing, Refuse, Wait
from exports.planner import LOOK_SECONDS, READY, decide
from exports.policy import Policy
from groundcrew import manifests
from groundcrew.aws import airflow, bus, parameters
from groundcrew.aws.locks import Locks
from groundcrew.aws.objects import Bucket
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment
from groundcrew.errors import NotFound, PermanentError, TransientError
from groundcrew.events import Fact, moment
from groundcrew.observability import about, count, logger, observed
from groundcrew.settings import MetadataSettings, Settings, metadata_settings, settings
from groundcrew.shipping import Shipping
from groundcrew.ways.reach import Reach

PATIENCE = timedelta(hours=6)
"""How long an export waits for an environment that is not ready."""

LEASE_SECONDS = 3600
"""How long an environment stays one export's own without a step of it."""

CALLS_PER_SECOND = 10.0
"""Which MWAA allows (https://docs.aws.amazon.com/mwaa/latest/userguide/access-mwaa-apache-airflow-rest-api.html)."""

LEFT_OUT = (
    "Airflow's role User may not read it. Give that role the permission in Airflow (for log: can read on Audit Logs), "
    "or leave the table out of the policy."
)
"""What the fact says of a table that was left out."""

MARGIN_MS = 60_000
"""How long before its end a function reads no further page: a call takes ten seconds, a part is to be written."""


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take one step; the order to come back with."""
    order = Order.read(event["order"])
    about(order.environment, order.correlation_id)
    config = settings()
    step = Step(order, config, metadata_settings(), moment(event.get("now")), int(event.get("redrives") or 0))
    with failing(order, config):
        match event["step"]:
            case "plan":
                return step.plan().as_state()
            case "extract":
                return step.extract(lambda: context.get_remaining_time_in_millis() > MARGIN_MS).as_state()
            case "publish":
                return step.publish().as_state()
            case other:
                raise PermanentError(f"there is no step {str(other)[:40]!r}", cause="UnknownStep")


class Step:
    """One step of one order; ``now`` is when the state machine came to it."""

    def __init__(self, order: Order, config: Settings, more: MetadataSettings, now: datetime, redrives: int) -> None:
        """Nothing is asked yet."""
        self._order = order
        self._config = config
        self._now = now
        self._redrives = redrives
        self._in_vpc = more.in_vpc
        self._roles = Roles(config.partition, config.region, session_name="groundcrew-exports-step")
        self._bucket = Bucket.own(more.bucket, config.account, config.region)
        self._locks = Locks(more.locks_table, config.region)

    def plan(self) -> Order:
        """Decide what is to be exported.

        Raises:
            PermanentError: what is asked for cannot be.
            TransientError: another export of the environment runs, or AWS is in trouble.
        """
        order = self._order
        try:
            self._alone()
        except TransientError as error:
            if order.ask is not None:
                raise
            return self._end(f"another export runs: {error.what}")
        name = f"/groundcrew/exports/{order.policy}"
        policy = Policy.read(parameters.document(name, self._config.region), name)
        environment = self._environment()
        last = manifests.newest(self._bucket, order.environment, environment.created_at, self._now)
        ask = Ask.read(order.ask) if order.ask is not None else None
        plan = decide(environment, policy, last, ask, self._now)
        logger.info("planned", plan=type(plan).__name__, reason=plan.reason)
        match plan:
            case Nothing():
                return self._end(plan.reason)
            case Wait():
                self._require_patience(plan.reason)
                return replace(order, next="plan", seconds=plan.seconds)
            case Refuse():
                raise PermanentError(plan.reason, cause=plan.cause, remedy=plan.remedy)
            case Export():
                return self._planned(plan, policy, environment)
            case _:
                assert_never(plan)

    def _planned(self, plan: Export, policy: Policy, environment: Environment) -> Order:
        if not self._config.acts:
            if self._order.ask is None:
                return self._end("the stack is in Mode=report")
            raise PermanentError(
                "the stack is in Mode=report, in which nothing is exported",
                cause="ReportOnly",
                remedy="Deploy the stack with Mode=act.",
            )
        return replace(
            self._order,
            reason=plan.reason,
            engine=plan.engine,
            airflow_version=environment.airflow_version,
            made_at=environment.created_at,
            tables=plan.windows(),
            opt_in=policy.opt_in,
            rate_share=policy.rate_share,
            next="extract",
            seconds=0,
        )

    def extract(self, has_time: Callable[[], bool]) -> Order:
        """Have the engine go on.

        Raises:
            PermanentError: it cannot.
            TransientError: Airflow, or the road to it, is in trouble.
        """
        order = self._order
        self._alone()
        environment = self._environment()
        if environment.status not in READY:  # an update, say: runs go on behind it
            self._require_patience(f"the environment is {environment.status}")
            return replace(order, next="extract", seconds=LOOK_SECONDS)
        if order.engine == "outside":
            return self._outside(has_time)
        if order.shipped_at is None:
            shipping = Shipping(self._roles, environment, "exports")
            return inside.ship(order, shipping, self._bucket.name, self._config.account, self._now)
        reach = Reach(self._roles, environment, self._locks, in_vpc=self._in_vpc)
        return inside.follow(order, environment, reach, self._now, self._redrives)

    def _outside(self, has_time: Callable[[], bool]) -> Order:
        order = self._order
        asked = {
            "export_id": order.export_id,
            "environment": order.environment.as_detail(),
            "airflow_version": order.airflow_version,
            "tables": order.tables,
            "progress": order.progress,
        }

        def ask(path: str, query: Mapping[str, str]) -> tuple[int, Any]:
            return airflow.invoke_rest_api(self._roles, order.environment, "GET", path, query)

        def put(key: str, body: bytes) -> None:
            self._bucket.put(key, body, content_type="application/gzip" if key.endswith(".gz") else "application/json")

        pace = Pace(time.monotonic, time.sleep, CALLS_PER_SECOND * order.rate_share)
        answer = outside.extract(asked, ask, put, pace, has_time, self._now)
        done = bool(answer["done"])
        return replace(
            order,
            progress=None if done else answer["progress"],
            left_out=tuple(answer["left_out"]),
            next="verify" if done else "extract",
            seconds=0,
        )

    def publish(self) -> Order:
        """Write the manifest, which makes an export of what was verified, and announce it.

        Raises:
            PermanentError: what was written is not there any more, or something else is.
        """
        order = self._order
        try:
            verified = json.loads(self._bucket.get(order.verified_key)[1])
            files = [file for table in verified["tables"].values() for file in table["files"]]
            changed = [file["key"] for file in files if self._bucket.head(file["key"]).etag != file["etag"]]
        except NotFound as error:
            raise PermanentError(error.what, cause="MissingFile", remedy="Ask for the export again.") from error
        if changed:
            raise PermanentError(
                f"{', '.join(changed)[:500]} was written again since it was verified",
                cause="ChangedFile",
                remedy="Ask for the export again; if it comes back, look who else writes into the bucket of exports.",
            )
        last = manifests.newest(self._bucket, order.environment, order.made_at, self._now)
        covered = manifests.extended(last.covered if last else {}, _windows(verified))
        manifest = {
            "verified": True,
            **order.about,
            "environment": order.environment.as_detail(),
            "environment_made_at": order.made_at and order.made_at.astimezone(UTC).isoformat(),
            "snapshot_at": verified["snapshot_at"],
            "tables": verified["tables"],
            "left_out": manifests.left_out(last, verified["tables"], order.left_out),
            "covered": {table: one.as_json() for table, one in covered.items()},
        }
        key = manifests.key(order.environment, order.export_id)
        self._bucket.put(key, json.dumps(manifest).encode())  # on one line: it is a row of Athena's table exports
        tables = {name: table["rows"] for name, table in verified["tables"].items()}
        detail = order.about | {"snapshot_at": verified["snapshot_at"], "tables": tables, "manifest": key}
        detail["left_out"] = dict.fromkeys(order.left_out, LEFT_OUT)
        fact = Fact(FINISHED, order.environment, detail)
        bus.announce([fact], bus=self._config.bus, region=self._config.region)
        count("ExportsFinished")
        return self._end("published")

    # ------------------------------------------------------------------ what is needed
    def _alone(self) -> None:
        """One export of an environment at a time; another one waits."""
        self._locks.lease(self._order.lease, self._order.export_id, LEASE_SECONDS)

    def _end(self, why: str) -> Order:
        logger.info("ended", reason=why)
        self._locks.release(self._order.lease, self._order.export_id)
        return replace(self._order, next="end", seconds=0)

    def _environment(self) -> Environment:
        return airflow.get_environment(self._roles, self._order.environment)

    def _require_patience(self, why: str) -> None:
        if self._now > self._order.ordered_at + PATIENCE:
            raise PermanentError(
                f"{why}, for {PATIENCE} now", cause="NotReady", remedy="Ask again once the environment is AVAILABLE."
            )


def _windows(verified: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What each table's window covers: nothing of it can be younger than the snapshot, whatever clocks say."""
    found = {}
    for name, table in verified["tables"].items():
        window = dict(table["window"])
        if window["until"]:
            window["until"] = min((window["until"], verified["snapshot_at"]), key=datetime.fromisoformat)
        found[name] = window
    return found

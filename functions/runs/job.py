"""One order: observe, plan, act, until there is nothing left to do now."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import assert_never

from groundcrew.aws import airflow, parameters
from groundcrew.aws.locks import Locks
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment
from groundcrew.errors import AccessDenied, GroundcrewError, NotFound, PermanentError, TransientError
from groundcrew.events import GONE, schema_error
from groundcrew.observability import logger
from groundcrew.settings import Settings
from groundcrew.ways.reach import Reach
from groundcrew.ways.seen import Start, Way
from groundcrew.work import LookAgain, keeping
from runs.order import Order
from runs.plan import Begin, Confirm, Look, Reject, Seen, Wait
from runs.planner import READY, decide, gone, note
from runs.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Started:
    """The run is there. ``already``: an earlier try has started it; ``way`` is how it was started, or is seen now."""

    environment: Environment
    way: str
    already: bool


class Job:
    """One order in its environment."""

    def __init__(self, order: Order, config: Settings, more: RunSettings, roles: Roles) -> None:
        """Nothing is asked yet."""
        self._order = order
        self._config = config
        self._more = more
        self._roles = roles
        self._ref = order.ref

    def do(self, now: Callable[[], datetime]) -> Started | LookAgain:
        """Do what the planner says, as long as it has something to say.

        Raises:
            PermanentError: the order is rejected.
            TransientError: try again.
        """
        environment = self._environment()
        reach = Reach(
            self._roles,
            environment,
            Locks(self._more.locks_table, self._config.region),
            in_vpc=self._more.in_vpc,
        )
        seen, way = Seen(environment, policy_allows=self._allowed(environment)), "rest"
        while True:
            plan = decide(self._order, seen, now())
            logger.info("planned", plan=type(plan).__name__, reason=plan.reason)
            match plan:
                case Look():
                    seen, way = self._look(plan, seen, reach)
                case Begin():
                    began = self._begin(plan, seen, reach)
                    if isinstance(began, Started):
                        return began
                    seen = began
                case Confirm():
                    return Started(environment, way, already=True)
                case Wait():
                    return LookAgain(plan.seconds, swept=False)
                case Reject():
                    raise _rejected(plan)
                case _:
                    assert_never(plan)

    def _environment(self) -> Environment:
        try:
            return airflow.get_environment(self._roles, self._order.environment)
        except NotFound as error:
            raise _rejected(gone(GONE)) from error
        except PermanentError as error:
            raise _unsure(_reject(error), error) from error

    def _require_still_ready(self, seen: Seen, error: PermanentError) -> None:
        """Let an order wait that was refused because its environment has begun to change since it was looked at."""
        if seen.environment.status in READY and (status := self._environment().status) not in READY:
            raise TransientError(f"the environment is {status}: {error.what}", cause="NotReady") from error

    def _allowed(self, environment: Environment) -> bool:
        """Whether the environment's policy lets the DAG be started; without a tag all may be."""
        name = environment.policy_name("runs")
        if name is None or name == "off":
            return True
        with keeping(AccessDenied):
            policy = parameters.document(f"/groundcrew/runs/{name}", self._config.region)
        problem = schema_error(policy, "policies/runs.json")
        if problem:
            raise PermanentError(
                f"the policy /groundcrew/runs/{name} is not valid: {problem}",
                cause="InvalidPolicy",
                remedy=f"Correct the parameter /groundcrew/runs/{name}.",
            )
        return any(fnmatchcase(self._order.dag_id, pattern) for pattern in policy["dags"])

    def _look(self, plan: Look, seen: Seen, reach: Reach) -> tuple[Seen, str]:
        try:
            match plan.what:
                case "dag":
                    dag, way = reach.ask(lambda way: way.dag(self._order.dag_id))
                    return replace(seen, dag=dag), way
                case "run":
                    run, way = reach.ask(lambda way: way.run(self._ref))
                    if run is None and seen.refused:  # so somebody else's, from before the request
                        run, way = reach.ask(lambda way: way.run(self._ref, of_any_age=True))
                    return replace(seen, run=run), way
                case "twin":
                    twin, way = reach.ask(lambda way: way.twin(self._ref))
                    return replace(seen, twin=twin), way
                case "import_errors":
                    return replace(seen, import_errors=_import_errors(reach)), "rest"
                case _:
                    assert_never(plan.what)
        except TransientError as error:
            if plan.last and plan.or_else:
                raise _unsure(plan.or_else, error) from error
            raise
        except PermanentError as error:
            if not plan.last:
                self._require_still_ready(seen, error)
            if plan.or_else:
                raise _unsure(plan.or_else, error) from error
            if seen.refused:
                raise TransientError(error.what, cause=error.cause, remedy=error.remedy) from error
            return replace(seen, failure=_reject(error)), "rest"

    def _begin(self, plan: Begin, seen: Seen, reach: Reach) -> Started | Seen:
        """Start the run, or see what is in the way."""
        if not self._config.acts:
            raise PermanentError(
                "the stack is in Mode=report, in which nothing is started",
                cause="ReportOnly",
                remedy="Deploy the stack with Mode=act.",
            )

        def begin(way: Way) -> bool:
            if plan.unpause:
                way.unpause(self._order.dag_id)
            return way.start(Start(self._ref, self._order.conf, note(self._order)))

        try:
            began, way = reach.ask(begin)
        except PermanentError as error:
            self._require_still_ready(seen, error)
            return replace(seen, failure=_reject(error))
        return Started(seen.environment, way, already=False) if began else replace(seen, refused=True)


def _import_errors(reach: Reach) -> tuple[str, ...]:
    """They only adorn a rejection: none if they cannot be seen."""
    try:
        return tuple(reach.ask(lambda way: way.import_errors())[0])
    except GroundcrewError as error:
        logger.info("import errors not seen", cause=error.cause, error=error.what)
        return ()


def _unsure(plan: Reject, error: GroundcrewError) -> PermanentError:
    """A rejection of what an earlier try may have started, for all that could be seen."""
    why = f": {error.what}" if error.what not in plan.reason else ""
    return _rejected(
        replace(plan, reason=f"{plan.reason}; whether an earlier try has started it could not be seen{why}")
    )


def _reject(error: PermanentError) -> Reject:
    return Reject(error.cause, error.what, error.remedy)


def _rejected(plan: Reject) -> PermanentError:
    return PermanentError(plan.reason, cause=plan.cause, remedy=plan.remedy)

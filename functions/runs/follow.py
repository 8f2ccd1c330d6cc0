"""The look of the state machine ``groundcrew-runs`` at a run that somebody waits for."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from groundcrew.aws import airflow, bus
from groundcrew.aws.locks import Locks
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment
from groundcrew.errors import NotFound, PermanentError, TransientError
from groundcrew.events import Fact
from groundcrew.observability import about, count, logger, observed
from groundcrew.settings import Settings, settings
from groundcrew.ways.reach import Reach
from runs.order import FINISHED
from runs.planner import ENDING, READY
from runs.settings import RunSettings, run_settings
from runs.watched import Watched

SHORTEST_WAIT, LONGEST_WAIT = 5, 300
"""Seconds between two looks."""

GROWTH = 1.3
"""Each wait is so much longer than the last; so a run of n minutes is looked at about log(n) times at first, and every
five minutes in the end.
"""

NOBODY_KNOWS = "Nobody can know any more how the run ended."

LOOKS = 2100
"""How often a run is looked at, about a week; a state machine's history has 25,000 events, a look takes eleven
(https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html).
"""


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Look at a run once; its end is announced.

    Returns:
        The state to come back with, ``ended``, and ``seconds`` to wait.
    """
    watched = Watched.read(event)
    about(watched.environment, watched.correlation_id)
    config = settings()
    try:
        end = _end(watched, config, run_settings())
    except PermanentError as error:
        end = _unknown(error.cause, error.what, error.remedy)
    again = replace(watched, looks=watched.looks + 1)
    if not end:
        return again.as_state() | {"ended": False, "seconds": pause(again.looks)}
    detail = {"start_date": None, "end_date": None, "duration_seconds": None} | watched.about | end
    bus.announce([Fact(FINISHED, watched.environment, detail)], bus=config.bus, region=config.region)
    count("RunsFinished")
    return again.as_state() | {"ended": True, "seconds": 0}


def pause(looks: int) -> int:
    """Seconds until the next look."""
    return round(min(LONGEST_WAIT, SHORTEST_WAIT * GROWTH ** min(looks - 1, 50)))


def _end(watched: Watched, config: Settings, more: RunSettings) -> dict[str, Any] | None:
    """What to announce, if there is nothing more to wait for.

    Raises:
        PermanentError: nobody will know how it ends.
        TransientError: the state machine looks again.
    """
    roles = Roles(config.partition, config.region, session_name="groundcrew-runs-follow")
    environment = _environment(roles, watched)
    if environment.status not in READY:  # an update, say: runs go on behind it
        logger.info("not ready", status=environment.status, looks=watched.looks)
        return _last(watched, f"the environment is {environment.status}")
    reach = Reach(roles, environment, Locks(more.locks_table, config.region), in_vpc=more.in_vpc)
    try:
        run, _ = reach.ask(lambda way: way.run(watched.ref))
    except PermanentError as error:
        if _environment(roles, watched).status in READY:
            raise
        raise TransientError(error.what, cause=error.cause) from error  # it has begun to change since the look
    logger.info("looked", state=run.state if run else None, looks=watched.looks)
    if run is None:
        remedy = "Look for whoever deleted it, or cleaned the database while it ran."
        return _unknown("RunRemoved", "Airflow does not have the run any more", remedy)
    if not run.ended:
        return _last(watched, f"the run is {run.state}")
    seconds = (run.end_date - run.start_date).total_seconds() if run.end_date and run.start_date else None
    return {
        "state": run.state,
        "start_date": _iso(run.start_date),
        "end_date": _iso(run.end_date),
        "duration_seconds": seconds,
    }


def _environment(roles: Roles, watched: Watched) -> Environment:
    """The run's environment; PermanentError if it is no more, or will not be for long."""
    try:
        environment = airflow.get_environment(roles, watched.environment)
    except NotFound as error:
        raise PermanentError(error.what, cause="EnvironmentGone", remedy=NOBODY_KNOWS) from error
    if environment.status in ENDING:
        raise PermanentError(f"the environment is {environment.status}", cause="EnvironmentGone", remedy=NOBODY_KNOWS)
    return environment


def _last(watched: Watched, seen: str) -> dict[str, Any] | None:
    """What to announce if this was the last look."""
    if watched.looks < LOOKS:
        return None
    remedy = "Look at the run in Airflow; it is not followed any longer."
    return _unknown("StillRunning", f"{seen} after {watched.looks} looks", remedy)


def _unknown(cause: str, evidence: str, remedy: str) -> dict[str, Any]:
    return {"state": "unknown", "cause": cause, "evidence": evidence, "remedy": remedy}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None

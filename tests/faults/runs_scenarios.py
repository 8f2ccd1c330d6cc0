"""What the runs part does in its life: a cloud made ready, messages in its queues, and what must come of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from groundcrew.environment import EnvironmentRef
from localcloud.inprocess.faults import Kind
from localcloud.model.environment import Environment
from runs.order import Order
from tests.support.runs.hub import Hub
from tests.support.runs.secrets import SECRET
from tests.support.stage import SPOKE, SPOKE2

DATE = datetime(2026, 11, 1, tzinfo=UTC)
LONG_ID = f"groundcrew__{'e' * 36}"


@dataclass(frozen=True)
class Wanted:
    """What must come of a request in one environment, if nothing fails; ``foreign`` runs of others are there before."""

    environment: Environment
    cause: str | None = None  # of its rejection
    foreign: int = 0
    finished: bool = False
    unpaused: bool = False
    copies: int = 1  # of the request; each may be denied for itself


Prepare = Callable[[Hub], list[Wanted]]


# -------------------------------------------------------------------------------------------------------------- it runs
def start_on_2(hub: Hub) -> list[Wanted]:
    """Airflow 2, nothing in the way."""
    environment = hub.environment("2.10.3")
    hub.put(hub.order(environment, note="for the ticket"))
    return [Wanted(environment)]


def start_on_3(hub: Hub) -> list[Wanted]:
    """Airflow 3, for a logical date, as a policy allows it."""
    environment = hub.environment("3.3.1", tags={"groundcrew:runs": "some"})
    hub.stage.aws.parameters["/groundcrew/runs/some"] = '{"dags": ["lo*"]}'
    hub.put(hub.order(environment, logical_date=DATE))
    return [Wanted(environment)]


def start_where_nulls_are_dropped(hub: Hub) -> list[Wanted]:
    """Airflow 3 misses the logical date that was null."""
    hub.stage.aws.switches["mwaa.rest_drops_nulls"] = True
    environment = hub.environment("3.3.1")
    hub.put(hub.order(environment, run_id=LONG_ID))
    return [Wanted(environment)]


def unpause(hub: Hub) -> list[Wanted]:
    """The DAG is paused and is to be unpaused."""
    environment = hub.environment("2.10.3")
    hub.put(hub.order(environment, "held", if_paused="unpause"))
    return [Wanted(environment, unpaused=True)]


def queue(hub: Hub) -> list[Wanted]:
    """The DAG is paused, and stays so."""
    environment = hub.environment("3.3.1")
    hub.put(hub.order(environment, "held", if_paused="queue"))
    return [Wanted(environment)]


def wait(hub: Hub) -> list[Wanted]:
    """Somebody waits for the end."""
    environment = hub.environment("3.3.1")
    hub.put(hub.order(environment, wait=True))
    return [Wanted(environment, finished=True)]


def by_command_line_on_2(hub: Hub) -> list[Wanted]:
    """The role may not use the REST API; the DAG is to be unpaused."""
    environment = hub.environment("2.10.3")
    hub.refuse_rest()
    hub.put(hub.order(environment, "held", if_paused="unpause"))
    return [Wanted(environment, unpaused=True)]


def by_command_line_on_3(hub: Hub) -> list[Wanted]:
    """The same on Airflow 3; somebody waits for the end."""
    environment = hub.environment("3.3.1")
    hub.refuse_rest()
    hub.put(hub.order(environment, wait=True, logical_date=DATE))
    return [Wanted(environment, finished=True)]


def on_a_version_without_rest(hub: Hub) -> list[Wanted]:
    """Airflow 2.4.2."""
    environment = hub.environment("2.4.2")
    hub.put(hub.order(environment))
    return [Wanted(environment)]


def ready_later(hub: Hub) -> list[Wanted]:
    """The environment is updated for another two minutes."""
    environment = hub.environment("2.10.3")
    hub.busy(environment, 120)
    hub.put(hub.order(environment))
    return [Wanted(environment)]


# --------------------------------------------------------------------------------------------------------- again, again
def doubled_order(hub: Hub) -> list[Wanted]:
    """The same order is in the queue twice."""
    environment = hub.environment("2.10.3")
    order = hub.order(environment, run_id=LONG_ID)
    hub.put(order)
    hub.put(order)
    return [Wanted(environment, copies=2)]


def doubled_event(hub: Hub) -> list[Wanted]:
    """EventBridge delivers the request twice."""
    environment = hub.environment("3.3.1")
    for _ in range(2):
        hub.request(["data"], wait=True, conf={"password": SECRET})
    return [Wanted(environment, finished=True, copies=2)]


def lost_start(hub: Hub) -> list[Wanted]:
    """An earlier try has started it and could not say so."""
    return [Wanted(_started_before(hub, hub.environment("3.3.1"))[0])]


def lost_start_by_command_line(hub: Hub) -> list[Wanted]:
    """The same, with the command line as the only way in."""
    environment = hub.environment("2.10.3")
    hub.refuse_rest()
    return [Wanted(_started_before(hub, environment)[0])]


def expired_after_a_lost_start(hub: Hub) -> list[Wanted]:
    """An earlier try has started it, and the order has expired since."""
    environment, order = _started_before(hub, hub.environment("2.10.3"))
    hub.pass_time((order.expires_at - hub.now()).total_seconds() + 1)
    return [Wanted(environment)]


def paused_after_a_lost_start(hub: Hub) -> list[Wanted]:
    """An earlier try has started it, and somebody has paused the DAG since."""
    environment, _ = _started_before(hub, hub.environment("3.3.1"))
    hub.stage.aws.airflow(environment).state.dags["load"].is_paused = True
    return [Wanted(environment)]


def three_environments(hub: Hub) -> list[Wanted]:
    """One request for environments in two accounts."""
    made = [hub.environment("2.10.3"), hub.environment("3.3.1", "more"), hub.environment("3.3.1", "data", SPOKE2)]
    hub.stage.aws.parameters[f"/groundcrew/grants/{SPOKE}"] = (
        '{"environments": ["333333333333/*"], "requests": ["DAG Run Requested"]}'
    )
    hub.request(["data", made[1].arn, made[2].arn])
    return [Wanted(environment) for environment in made]


def selected_environments(hub: Hub) -> list[Wanted]:
    """One request for whatever has a tag."""
    made = [hub.environment("2.10.3", tags={"team": "x"}), hub.environment("3.3.1", "more", tags={"team": "x"})]
    hub.environment("3.3.1", "other", tags={"team": "y"})
    hub.request({"accounts": [SPOKE], "tags": {"team": "x"}})
    return [Wanted(environment) for environment in made]


# ------------------------------------------------------------------------------------------------------ it does not run
def conflict(hub: Hub) -> list[Wanted]:
    """Somebody else's run has that id."""
    environment = hub.environment("2.10.3")
    hub.foreign(environment, "groundcrew__ticket-1", note="by hand")
    hub.put(hub.order(environment))
    return [Wanted(environment, "RunIdTaken", foreign=1)]


def conflict_with_an_old_run(hub: Hub) -> list[Wanted]:
    """The same, from before the request, and no path to it that is short enough."""
    environment = hub.environment("3.3.1")
    hub.foreign(environment, LONG_ID)
    hub.pass_time(3600)
    hub.put(hub.order(environment, run_id=LONG_ID))
    return [Wanted(environment, "RunIdTaken", foreign=1)]


def conflict_of_dates(hub: Hub) -> list[Wanted]:
    """Somebody else's run has that logical date."""
    environment = hub.environment("3.3.1")
    hub.foreign(environment, "by-hand", logical_date=DATE.isoformat())
    hub.put(hub.order(environment, logical_date=DATE))
    return [Wanted(environment, "LogicalDateTaken", foreign=1)]


def unknown_dag(hub: Hub) -> list[Wanted]:
    """Airflow knows no such DAG."""
    environment = hub.environment("3.3.1")
    hub.put(hub.order(environment, "nobody"))
    return [Wanted(environment, "UnknownDag")]


def paused_by_command_line(hub: Hub) -> list[Wanted]:
    """The DAG is paused; the command line is the only way in."""
    environment = hub.environment("2.10.3")
    hub.refuse_rest()
    hub.put(hub.order(environment, "held"))
    return [Wanted(environment, "Paused")]


def expired(hub: Hub) -> list[Wanted]:
    """The environment was not ready in time."""
    environment = hub.environment("2.10.3")
    environment.status = "UPDATING"
    hub.put(hub.order(environment, expires_at=hub.now() + timedelta(minutes=2)))
    return [Wanted(environment, "Expired")]


def gone(hub: Hub) -> list[Wanted]:
    """The environment was deleted."""
    environment = hub.environment("2.10.3")
    hub.put(hub.order(environment))
    hub.stage.delete(environment)
    return [Wanted(environment, "EnvironmentGone")]


SCENARIOS: tuple[Prepare, ...] = (
    start_on_2,
    start_on_3,
    start_where_nulls_are_dropped,
    unpause,
    queue,
    wait,
    by_command_line_on_2,
    by_command_line_on_3,
    on_a_version_without_rest,
    ready_later,
    doubled_order,
    doubled_event,
    lost_start,
    lost_start_by_command_line,
    expired_after_a_lost_start,
    paused_after_a_lost_start,
    three_environments,
    selected_environments,
    conflict,
    conflict_with_an_old_run,
    conflict_of_dates,
    unknown_dag,
    paused_by_command_line,
    expired,
    gone,
)


def _started_before(hub: Hub, environment: Environment) -> tuple[Environment, Order]:
    """The first try of an order came as far as the start, and no further."""
    order = hub.order(environment)
    hub.put(order)
    loss = hub.stage.aws.faults.add(Kind.SERVER_ERROR, "events:PutEvents", nth=None)
    hub.deliver(hub.messages[0])
    hub.stage.aws.faults.rules.remove(loss)
    assert len(hub.runs(environment)) == 1
    return environment, order


def ref(environment: Environment) -> EnvironmentRef:
    caller = environment.caller
    return EnvironmentRef(caller.account, caller.region, environment.name)

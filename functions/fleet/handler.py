"""The sweep: look at every environment of every spoke, and say on the bus what is there."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from fleet.survey import Seen, facts, longest_pending, orphans
from groundcrew.aws import airflow, bus
from groundcrew.aws.network import ObservedNetwork
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.errors import GroundcrewError, NotFound
from groundcrew.events import Fact, moment
from groundcrew.observability import count, logger, measure_hours, observed
from groundcrew.places import Place, places, side_by_side
from groundcrew.settings import Settings, settings

if TYPE_CHECKING:
    from groundcrew.network import SecurityGroup, VpcEndpoint


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Sweep all spoke accounts and Regions; one that cannot be looked at is reported and stops no other."""
    config = settings()
    swept = places(config)
    views = side_by_side(lambda place: _look(place, config), swept)
    seen = [view for view, _ in views if view is not None]
    troubles = [*(fact for _, found in views for fact in found), *orphans(seen, swept)]
    announced = facts(seen)
    bus.announce([*announced, *troubles], bus=config.bus, region=config.region)
    count("EnvironmentsObserved", len(announced))
    count("Troubles", len(troubles))
    measure_hours("LongestPendingHours", longest_pending(seen, moment(event.get("time"))) / 3600)
    count("SweepCompleted")
    return {"places": len(swept), "environments": len(announced), "troubles": len(troubles)}


def _look(place: Place, config: Settings) -> tuple[Seen | None, list[Fact]]:
    """What a place shows, and what could not be looked at."""
    try:
        return _see(place, config)
    except Exception as error:
        # A mistake of ours must not blind the sweep for everybody else.
        return None, [_mistake(place, None, error)]


def _see(place: Place, config: Settings) -> tuple[Seen | None, list[Fact]]:
    roles = Roles(config.partition, config.region, session_name="groundcrew-sweep")
    troubles: list[Fact] = []
    try:
        refs = airflow.list_environments(roles, place.account, place.region)
        network = ObservedNetwork(roles, place.account, place.region)
        made: tuple[VpcEndpoint | SecurityGroup, ...] = (
            *network.endpoints(stack_tag=config.stack_tag),
            *network.groups({"groundcrew:stack": config.stack_tag}),
        )
    except GroundcrewError as error:
        return None, [_trouble(place, None, error)]
    environments = list(_read(refs, roles, troubles, place))
    unreadable = tuple(ref for ref in refs if ref not in {environment.ref for environment in environments})
    return Seen(place, tuple(environments), unreadable, made), troubles


def _read(refs: list[EnvironmentRef], roles: Roles, troubles: list[Fact], place: Place) -> Iterator[Environment]:
    for ref in refs:
        try:
            yield airflow.get_environment(roles, ref)
        except NotFound:
            logger.info("deleted between list and look", environment=ref.name, account=ref.account, region=ref.region)
        except GroundcrewError as error:
            troubles.append(_trouble(place, ref, error))
        except Exception as error:
            troubles.append(_mistake(place, ref, error))


def _mistake(place: Place, ref: EnvironmentRef | None, error: Exception) -> Fact:
    logger.exception("failed")
    what = f"looking at {ref or place} failed: {type(error).__name__}"
    return _trouble(place, ref, GroundcrewError(what, remedy="See the log of the sweep, and report this."))


def _trouble(place: Place, ref: EnvironmentRef | None, error: GroundcrewError) -> Fact:
    logger.error(
        "cannot be looked at",
        account=place.account,
        region=place.region,
        environment=ref.name if ref else None,
        cause=error.cause,
        error=error.what,
        remedy=error.remedy,
    )
    detail = {
        "account": place.account,
        "region": place.region,
        "cause": error.cause,
        "evidence": error.what,
        "remedy": error.remedy,
    }
    return Fact("Environment Needs Attention", ref, detail)

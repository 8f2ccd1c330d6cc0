"""What a sweep found, turned into facts. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.events import GONE, OBSERVED, Fact
from groundcrew.network import SecurityGroup, VpcEndpoint
from groundcrew.places import Place


@dataclass(frozen=True, slots=True)
class Seen:
    """What one place shows: its environments, and what this stack has made in its VPCs, for whomever."""

    place: Place
    environments: tuple[Environment, ...] = ()
    unreadable: tuple[EnvironmentRef, ...] = ()
    made: tuple[VpcEndpoint | SecurityGroup, ...] = ()


def facts(seen: Iterable[Seen]) -> list[Fact]:
    """One ``Environment Observed`` for each environment, and for each that is gone but has left something of ours
    behind.

    Only a place that could be listed completely can say that an environment is gone.
    """
    seen = list(seen)
    live = {environment.ref: environment for view in seen for environment in view.environments}
    known = set(live) | {ref for view in seen for ref in view.unreadable}
    listed = {view.place for view in seen}
    leftovers = _leftovers(seen, live)
    found = [_observed(environment, sorted(leftovers.get(ref, ()))) for ref, environment in sorted(live.items())]
    gone = [ref for ref in sorted(leftovers) if ref not in known and Place(ref.account, ref.region) in listed]
    return found + [Fact(OBSERVED, ref, {"status": GONE, "leftovers": sorted(leftovers[ref])}) for ref in gone]


def longest_pending(seen: Iterable[Seen], now: datetime) -> float:
    """Seconds that the environment which waits longest has been PENDING; one number, however large the fleet is.

    An environment that we are told to leave alone waits for somebody else.
    """
    waits = (
        environment.pending_for(now)
        for view in seen
        for environment in view.environments
        if environment.endpoint_management == "CUSTOMER" and environment.policy_name("endpoints") != "off"
    )
    return max((seconds for seconds in waits if seconds is not None), default=0.0)


def orphans(seen: Iterable[Seen], places: Collection[Place]) -> list[Fact]:
    """Resources of ours that no sweep can ever tie to an environment: reported, for a person to decide about."""
    found = []
    for view in seen:
        lost = sorted(resource.id for resource in view.made if not _shared(resource) and not _known(resource, places))
        if lost:
            detail = {
                "account": view.place.account,
                "region": view.place.region,
                "cause": "Orphaned",
                "evidence": f"made by Groundcrew, for an environment nobody looks after any more: {', '.join(lost)}",
                "remedy": "Delete them, or look after the account again that their tag groundcrew:environment names.",
            }
            found.append(Fact("Environment Needs Attention", None, detail))
    return found


def _known(resource: VpcEndpoint | SecurityGroup, places: Collection[Place]) -> bool:
    ref = _made_for(resource)
    return ref is not None and Place(ref.account, ref.region) in places


def _shared(resource: VpcEndpoint | SecurityGroup) -> bool:
    """An SQS endpoint and its group serve a whole VPC, no environment in particular."""
    return resource.tags.get("groundcrew:purpose") == "sqs"


def _leftovers(seen: Iterable[Seen], live: Mapping[EnvironmentRef, Environment]) -> dict[EnvironmentRef, set[str]]:
    """Environment → accounts with resources of ours that it does not seem to need."""
    made = [
        (ref, resource, view.place.account)
        for view in seen
        for resource in view.made
        if (ref := _made_for(resource)) is not None
    ]
    homes: defaultdict[EnvironmentRef, set[str]] = defaultdict(set)
    for ref, resource, _ in made:
        if ref in live and isinstance(resource, VpcEndpoint) and _serves(resource, live[ref]):
            homes[ref].add(resource.vpc_id)
    leftovers: defaultdict[EnvironmentRef, set[str]] = defaultdict(set)
    for ref, resource, account in made:
        if ref not in live or not _needed(resource, live[ref], homes[ref]):
            leftovers[ref].add(account)
    return dict(leftovers)


def _made_for(resource: VpcEndpoint | SecurityGroup) -> EnvironmentRef | None:
    try:
        return EnvironmentRef.from_arn(resource.tags.get("groundcrew:environment", ""))
    except PermanentError:
        return None


def _needed(resource: VpcEndpoint | SecurityGroup, environment: Environment, homes: set[str]) -> bool:
    """Groups are needed where the environment's endpoints are; while it has none, whoever looks closer must say."""
    if environment.endpoint_management != "CUSTOMER":
        return False
    if isinstance(resource, SecurityGroup):
        return resource.vpc_id in homes
    return _serves(resource, environment)


def _serves(endpoint: VpcEndpoint, environment: Environment) -> bool:
    return endpoint.service in (environment.database_service, environment.webserver_service)


def _observed(environment: Environment, leftovers: list[str]) -> Fact:
    detail = {
        "status": environment.status,
        "endpoint_management": environment.endpoint_management,
        "webserver_access_mode": environment.webserver_access_mode,
        "airflow_version": environment.airflow_version,
        "tags": dict(environment.tags),
    }
    return Fact(OBSERVED, environment.ref, detail | ({"leftovers": leftovers} if leftovers else {}))

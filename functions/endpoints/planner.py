"""Decide what an environment's endpoints need: (environment, site, policy) → a plan. Pure.

A *site* is an account and Region that owns VPCs. Only what is ours (``ownership.py``) is ever changed, except the
policy of an SQS endpoint whose owner lets us.
"""

import hashlib
from dataclasses import dataclass, field

from endpoints.admissions import ranges_instead, wanted_admissions
from endpoints.families import with_address_type
from endpoints.foreign import what_is_wrong
from endpoints.ownership import PURPOSE, QUEUE, Owner
from endpoints.plan import (
    NEW_GROUP,
    Action,
    Admit,
    CorrectEndpoint,
    CreateEndpoint,
    CreateGroup,
    DeleteEndpoints,
    DeleteGroup,
    Finding,
    Plan,
    Purpose,
    Revoke,
    SetTags,
)
from endpoints.policy import Policy
from endpoints.sqs import way_to_queue
from endpoints.states import FAILED, NOT_ACCEPTED, not_accepted, rejected
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.network import AdmittedRange, SecurityGroup, Site, Subnet, VpcEndpoint

SETTLED = frozenset({"PENDING", "CREATING", "AVAILABLE", "UPDATE_FAILED"})
"""Statuses in which what ``GetEnvironment`` says is in force. In all others nothing is taken away: whether an
environment's endpoint services change while MWAA updates it is not documented."""

WAITING = frozenset({"CREATING", "PENDING"})
"""Statuses of an environment that needs its endpoints to come to be."""

RUNNING = frozenset({"AVAILABLE", "UPDATE_FAILED"})
"""Statuses of an environment that works with the endpoints it has (UPDATE_FAILED: rolled back, guide L5782)."""

ENDING = frozenset({"DELETING", "DELETED", "CREATE_FAILED"})
"""Statuses that no endpoint can help (guide L8260); the endpoints go when the environment is gone."""

MWAA_WAITS = "MwaaDoesNotGoOn"
"""The cause if nothing is left to be done and MWAA waits all the same."""

WITH_WEBSERVER_ENDPOINT = frozenset({"PRIVATE_ONLY", "PUBLIC_AND_PRIVATE"})


@dataclass(frozen=True, slots=True)
class Observed:
    """All that a plan is made of.

    ``ways_out`` are those of the environment's subnets that have a route out, or None if nobody looked; ``vpc_id`` is
    theirs. ``subnets`` are the environment's; ``dual_stack`` are its services that accept IPv4 and IPv6, as far as that
    matters.
    """

    environment: Environment
    site: Site
    vpc_id: str
    ways_out: frozenset[str] | None = None
    subnets: tuple[Subnet, ...] = ()
    dual_stack: frozenset[str] = frozenset()


def idle_reason(environment: Environment) -> str | None:
    """Why there is nothing to do for an environment, whatever its network looks like; None if there may be."""
    if environment.endpoint_management != "CUSTOMER":
        return "MWAA manages the endpoints of this environment itself"
    if environment.status in ENDING:
        return f"the environment is {environment.status}"
    if environment.database_service is None:
        return "MWAA has not named the database's endpoint service yet"
    return None


def plan_environment(observed: Observed, policy: Policy, owner: Owner) -> Plan:
    """Plan for an environment that exists and is not idle (see ``idle_reason``)."""
    draft = _Draft(observed, policy, owner)
    needs = draft.needs()
    kept = {purpose: draft.serving(service) for purpose, service in needs.items()}
    # The way to the queue comes first: once its endpoints are there MWAA goes on, and an interrupted plan is made anew
    # for a running environment, of which nobody asks how it reaches its queue.
    database = kept["database"]
    draft.queue(database_is_ours=database is None or draft.is_ours(database))
    if any(endpoint is None or draft.is_ours(endpoint) for endpoint in kept.values()):
        group_id = draft.group()
        for purpose, service in needs.items():
            draft.endpoint(purpose, service, kept[purpose], group_id)
    in_place = [endpoint for endpoint in kept.values() if endpoint is not None]
    for endpoint in in_place:
        if not draft.is_ours(endpoint):
            draft.findings += what_is_wrong(endpoint, observed.environment, observed.site)
        elif endpoint.state == NOT_ACCEPTED:
            draft.findings.append(not_accepted(endpoint))
    failed = draft.failed({needs[purpose] for purpose, endpoint in kept.items() if endpoint is None})
    draft.findings += map(rejected, failed)
    late_webserver = observed.environment.webserver_access_mode == "PRIVATE_ONLY" and "webserver" not in needs
    complete = len(in_place) == len(needs) and not late_webserver
    serving = complete and all(endpoint.state == "available" for endpoint in in_place)
    draft.take_away({endpoint.id for endpoint in in_place}, serving=serving)
    ready = serving and not draft.findings
    return Plan(
        environment=observed.environment.ref,
        account=observed.site.account,
        reason=draft.reason(ready=ready, late_webserver=late_webserver),
        actions=tuple(with_address_type(item, observed.subnets, observed.dual_stack) for item in draft.actions),
        findings=tuple(draft.findings),
        wait=not ready and not draft.findings,
        waits_for="WebserverServiceMissing" if late_webserver else MWAA_WAITS if serving else "EndpointNotAvailable",
        repeats=bool(failed),
        ready=ready,
        serving={purpose: endpoint.id for purpose, endpoint in kept.items() if endpoint is not None},
        ruled_out=draft.ruled_out(complete=complete, serving=serving),
        created=observed.site.created,
        notes=tuple(draft.notes),
    )


@dataclass(slots=True)
class _Draft:
    """A plan in the making; each method adds its part."""

    observed: Observed
    policy: Policy
    owner: Owner
    actions: list[Action] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def environment(self) -> Environment:
        return self.observed.environment

    @property
    def settled(self) -> bool:
        return self.environment.status in SETTLED

    def is_ours(self, endpoint: VpcEndpoint) -> bool:
        return self.owner.owns(endpoint, self.environment.arn)

    def needs(self) -> dict[Purpose, str]:
        """Database always; web server when the access mode calls for it and MWAA names its service (guide L8231,
        L8273).
        """
        needs: dict[Purpose, str] = {"database": self.environment.database_service or ""}
        if self.environment.webserver_service and self.environment.webserver_access_mode in WITH_WEBSERVER_ENDPOINT:
            needs["webserver"] = self.environment.webserver_service
        return needs

    def serving(self, service: str) -> VpcEndpoint | None:
        """The endpoint that serves a service in the VPC: ours before somebody else's, the oldest of several."""
        found = [
            e
            for e in self.observed.site.endpoints
            if e.service == service and e.vpc_id == self.observed.vpc_id and e.counts
        ]
        return min(
            found,
            key=lambda endpoint: (not self.is_ours(endpoint), str(endpoint.created_at), endpoint.id),
            default=None,
        )

    def failed(self, missing: set[str]) -> list[VpcEndpoint]:
        """What came of the endpoints that we have made for the services that are without one."""
        failed = (endpoint for endpoint in self.observed.site.endpoints if endpoint.state in FAILED)
        return [endpoint for endpoint in failed if self.is_ours(endpoint) and endpoint.service in missing]

    def group(self) -> str:
        """One group of our own in the owner's account that admits every group of the environment (guide L8242-8264)."""
        wanted = wanted_admissions(self.environment, self.policy)
        # Within an account a group can always be named.
        shared = self.observed.site.account != self.environment.ref.account
        instead = ranges_instead(self.observed.subnets, self.policy) if shared else frozenset[AdmittedRange]()
        mine = [group for group in self.groups() if group.vpc_id == self.observed.vpc_id]
        if not mine:
            reason = "the endpoints need a group that admits the environment"
            description = f"Admits the MWAA environment {self.environment.ref.name} to its VPC endpoints"
            tags = self.tags("endpoints")
            self.actions.append(
                CreateGroup(reason, group_name(self.environment.ref), description, self.observed.vpc_id, tags)
            )
            self.actions.append(Admit(reason, NEW_GROUP, wanted, instead))
            return NEW_GROUP
        group = min(mine, key=lambda item: item.id)
        widened = sorted({admitted.source for admitted in group.ranges - instead if not admitted.ours})
        if widened:
            self.findings.append(
                Finding(
                    cause="GroupWidened",
                    evidence=f"{group.id}, made by Groundcrew, also admits {', '.join(widened)}",
                    remedy=f"Remove these rules from {group.id}; Groundcrew did not make them.",
                )
            )
        missing, surplus = wanted - group.admissions, group.admissions - wanted
        if missing and instead and instead <= group.ranges:
            # EC2 has refused to name the groups. Trying again with each sweep would only be refused again.
            blocks = ", ".join(sorted({admitted.source for admitted in instead}))
            self.notes.append(
                f"{group.id} admits the environment's subnets ({blocks}): EC2 does not let its rules name the groups of"
                f" account {self.environment.ref.account}"
            )
        elif missing:
            reason = "the group does not admit all groups of the environment"
            self.actions.append(Admit(reason, group.id, missing, instead))
        unwanted = frozenset(admitted for admitted in group.ranges - instead if admitted.ours)
        if (surplus or unwanted) and self.settled:
            reason = "the group admits more than the environment's groups"
            self.actions.append(Revoke(reason, group.id, surplus, unwanted))
        return group.id

    def tags(self, purpose: str) -> dict[str, str]:
        """The tags of what is made for the environment; with the queue, by which it can be withdrawn one day."""
        queue = {QUEUE: self.environment.queue_arn} if self.environment.queue_arn else {}
        return self.owner.tags(self.environment.arn, purpose) | queue

    def endpoint(self, purpose: Purpose, service: str, kept: VpcEndpoint | None, group_id: str) -> None:
        """Make what is missing, correct what is ours, leave alone what is somebody else's."""
        tags = self.tags(purpose)
        if kept is None:
            named = tags | {"Name": f"{self.environment.ref.name}-{purpose}"}
            reason = f"the {purpose} endpoint is missing"
            subnets = tuple(sorted(self.environment.subnet_ids))
            self.actions.append(
                CreateEndpoint(reason, purpose, service, self.observed.vpc_id, subnets, group_id, None, named)
            )
        elif self.is_ours(kept):
            self.correct(purpose, kept, group_id)
            lost = {key: value for key, value in tags.items() if kept.tags.get(key) != value}
            if lost:
                self.actions.append(SetTags(f"the {purpose} endpoint has lost tags", (kept.id,), lost))

    def correct(self, purpose: Purpose, kept: VpcEndpoint, group_id: str) -> None:
        subnets, groups = frozenset(self.environment.subnet_ids), frozenset({group_id})
        change = CorrectEndpoint(
            reason=f"the {purpose} endpoint is in other subnets or groups than it should be",
            endpoint_id=kept.id,
            add_subnet_ids=tuple(sorted(subnets - kept.subnet_ids)),
            remove_subnet_ids=tuple(sorted(kept.subnet_ids - subnets)) if self.settled else (),
            add_group_ids=tuple(sorted(groups - kept.group_ids)),
            remove_group_ids=tuple(sorted(kept.group_ids - groups)) if self.settled else (),
        )
        if change.add_subnet_ids or change.remove_subnet_ids or change.add_group_ids or change.remove_group_ids:
            self.actions.append(change)

    def take_away(self, kept: set[str], *, serving: bool) -> None:
        """What is ours and of no use: broken, doubled, or of a previous life of the name.

        What still works goes only when all that takes its place serves.
        """
        if not self.settled:
            return
        ours = [e for e in self.observed.site.endpoints if self.is_ours(e) and e.tags.get(PURPOSE) != "sqs"]
        broken = tuple(sorted(endpoint.id for endpoint in ours if endpoint.state in FAILED))
        if broken:
            self.actions.append(DeleteEndpoints("endpoints of ours have failed, were rejected or expired", broken))
        spare = tuple(sorted(e.id for e in ours if e.counts and e.id not in kept and self.is_spare(e)))
        if spare and serving:
            self.actions.append(DeleteEndpoints("endpoints of ours serve nothing any more", spare))
        used = {group_id for endpoint in self.observed.site.endpoints for group_id in endpoint.group_ids}
        for group in self.groups():
            if group.vpc_id != self.observed.vpc_id and group.id not in used:
                self.actions.append(DeleteGroup("the environment is not in the VPC of this group any more", group.id))

    def is_spare(self, endpoint: VpcEndpoint) -> bool:
        """Whether an endpoint that is not needed may go: it is older than the environment, or a running one does not
        use it.
        """
        born, made = self.environment.created_at, endpoint.created_at
        if born is not None and made is not None and made < born:
            return True
        # That MWAA names no service for the web server is no proof that it needs none.
        named = endpoint.tags.get(PURPOSE) != "webserver" or self.environment.webserver_service is not None
        public = self.environment.webserver_access_mode not in WITH_WEBSERVER_ENDPOINT
        return self.environment.status in RUNNING and (named or public)

    def groups(self) -> list[SecurityGroup]:
        """Our groups for this environment, in whichever VPC."""
        return [group for group in self.observed.site.groups if self.owner.owns(group, self.environment.arn)]

    def queue(self, *, database_is_ours: bool) -> None:
        actions, findings = way_to_queue(
            self.environment,
            self.observed.site,
            self.observed.vpc_id,
            self.observed.ways_out,
            self.policy,
            self.owner,
            database_is_ours=database_is_ours,
        )
        self.actions += actions
        self.findings += findings

    def ruled_out(self, *, complete: bool, serving: bool) -> tuple[str, ...]:
        """The causes of a long wait that this look shows not to be the one."""
        causes = ["SpokeRoleUnavailable", "SubnetsNotShared"]
        if complete:
            causes += ["InvalidServiceName", "VpcEndpointLimitExceeded", "WebserverServiceMissing"]
        if serving:
            causes += ["EndpointNotAvailable", "EndpointNotAccepted", "EndpointRejected"]
        if complete and not any(isinstance(action, CorrectEndpoint | Admit | CreateGroup) for action in self.actions):
            causes += ["WrongSubnets", "GroupDoesNotAdmit"]
        if self.environment.queue_arn is not None:
            causes += ["NoWayToQueue", "QueueNotAdmitted"]
        found = {finding.cause for finding in self.findings}
        return tuple(cause for cause in causes if cause not in found)

    def reason(self, *, ready: bool, late_webserver: bool) -> str:
        """The plan in one sentence."""
        if self.actions:
            return "; ".join(dict.fromkeys(action.reason for action in self.actions))
        if self.findings:
            return self.findings[0].evidence
        if late_webserver:
            return "MWAA has not named the web server's endpoint service yet"
        return "all endpoints are available" if ready else "endpoints are not available yet"


def group_name(environment: EnvironmentRef) -> str:
    """The name of an environment's group; names are unique in a VPC, which several accounts may share."""
    return f"groundcrew-{environment.name}-{hashlib.sha256(str(environment).encode()).hexdigest()[:8]}"

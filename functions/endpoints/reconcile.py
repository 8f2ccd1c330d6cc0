"""Bring an environment's endpoints to what they should be: observe, plan, act."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from endpoints.act import carry_out
from endpoints.families import BOTH, only
from endpoints.ownership import ENVIRONMENT, STACK, Owner
from endpoints.plan import Finding, Plan
from endpoints.planner import WAITING, Observed, idle_reason, plan_environment
from endpoints.policy import DEFAULT, Policy
from endpoints.removal import plan_removal
from endpoints.sqs import captures_sqs
from groundcrew.aws import airflow, parameters
from groundcrew.aws.network import Network, ObservedNetwork
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.errors import AccessDenied, NotFound, PermanentError
from groundcrew.network import Site, Subnet
from groundcrew.settings import Settings


@dataclass(frozen=True, slots=True)
class Outcome:
    """The plans for an environment, one for each account that matters to it; its status when they were made, and for
    how many seconds it had been PENDING, if that matters; and what AWS refused when they were carried out.
    """

    status: str
    plans: tuple[Plan, ...]
    pending_for: float | None = None
    refused: tuple[Finding, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a person has to put right."""
        return (*(finding for plan in self.plans for finding in plan.findings), *self.refused)


@dataclass(slots=True)
class Reconciler:
    """Reconciles environments for one invocation."""

    settings: Settings
    roles: Roles
    status: str = ""
    """Of the environment looked at last; empty if it could not be read."""
    pending_for: float | None = None
    """Of the same environment, in seconds."""

    @property
    def owner(self) -> Owner:
        """Whose resources are ours."""
        return Owner(self.settings.stack_tag, self.settings.partition)

    def plan(self, ref: EnvironmentRef, now: datetime, leftovers: tuple[str, ...] = ()) -> Outcome:
        """Look, and say what to do; changes nothing.

        Args:
            ref: the environment.
            now: when the look is taken to happen.
            leftovers: accounts in which the sweep saw resources of ours for it that it does not seem to need.

        Raises:
            PermanentError: the environment cannot be looked at, and why.
        """
        try:
            environment = airflow.get_environment(self.roles, ref)
        except NotFound:
            return Outcome("DELETED", self._removals(ref, leftovers))
        self.status, self.pending_for = environment.status, environment.pending_for(now)
        live, owner_account = self._live(environment, leftovers)
        plans = (live, *self._left_behind(environment, owner_account, leftovers))
        return Outcome(environment.status, plans, self.pending_for if live.waits_for else None)

    def act(self, plan: Plan) -> list[PermanentError]:
        """Carry a plan out; returns what AWS refuses."""
        region = plan.environment.region
        return carry_out(
            plan, Network(self.roles, plan.account, region), ObservedNetwork(self.roles, plan.account, region)
        )

    def _live(self, environment: Environment, leftovers: tuple[str, ...]) -> tuple[Plan, str | None]:
        """The plan for an environment that exists, and the account that owns its subnets, if that mattered."""
        ref = environment.ref
        name = environment.policy_name("endpoints") or DEFAULT
        if name == "off":
            return Plan(ref, ref.account, "the environment is tagged groundcrew:endpoints=off"), None
        idle = idle_reason(environment)
        if idle:
            customer = environment.endpoint_management == "CUSTOMER"
            # DELETED: the answer of an API that does not know yet what its own event says.
            wait = customer and environment.status in {"PENDING", "DELETED"}
            return Plan(ref, ref.account, idle, wait=wait, waits_for="DatabaseServiceMissing" if wait else ""), None
        policy = Policy.read(name, parameters.document(Policy.parameter(name), self.settings.region))
        subnets = self._subnets(environment)
        return plan_environment(self._observe(environment, subnets, leftovers), policy, self.owner), subnets[0].owner

    def _subnets(self, environment: Environment) -> tuple[Subnet, ...]:
        """The environment's subnets: all are in one VPC, of one account."""
        ref = environment.ref
        try:
            subnets = ObservedNetwork(self.roles, ref.account, ref.region).subnets(environment.subnet_ids)
        except NotFound as error:
            raise PermanentError(
                f"account {ref.account} does not see the subnets of {ref.name}: {error.what}",
                cause="SubnetsNotShared",
                remedy="Share the subnets with that account in AWS Resource Access Manager (guide L8262).",
            ) from error
        if len({(subnet.owner, subnet.vpc_id) for subnet in subnets}) != 1:
            raise PermanentError(
                f"the subnets of {ref} are not in one VPC",
                cause="SubnetsDiffer",
                remedy="MWAA does not allow that: look at the environment in the console.",
            )
        if subnets[0].owner not in self.settings.spoke_accounts:
            raise PermanentError(
                f"the subnets of {ref} belong to account {subnets[0].owner}, which this stack does not look after",
                cause="NotConfigured",
                remedy=f"Add {subnets[0].owner} to SpokeAccounts, and deploy the spoke stack there.",
            )
        return tuple(subnets)

    def _observe(self, environment: Environment, subnets: tuple[Subnet, ...], leftovers: tuple[str, ...]) -> Observed:
        """Look at the owner's network, and no closer than the environment's status calls for."""
        subnet = subnets[0]
        network = ObservedNetwork(self.roles, subnet.owner, environment.ref.region)
        # A group of ours is the last to go, so it shows the way to other VPCs; what has lost its group, the sweep sees.
        site = self._site(environment.ref, subnet.owner, None if subnet.owner in leftovers else subnet.vpc_id)
        services = {environment.database_service, environment.webserver_service}
        missing = {service for service in services if service} - {one.service for one in site.endpoints if one.counts}
        dual_stack = network.dual_stack_services(missing) if missing and only(subnets, BOTH) else frozenset[str]()
        if environment.status not in WAITING:
            # It runs or is being changed, so its queue and whatever endpoints it has do their work.
            return Observed(environment, site, subnet.vpc_id, subnets=subnets, dual_stack=dual_stack)
        used = {
            group_id
            for endpoint in site.endpoints
            if endpoint.service in services and not self.owner.owns(endpoint, environment.arn)
            for group_id in endpoint.group_ids
        }
        if used:
            site = replace(site, foreign_groups=tuple(network.groups_by_id(used)))
        ways_out = None
        if not any(captures_sqs(endpoint, subnet.vpc_id) for endpoint in site.endpoints):
            ways_out = frozenset(network.subnets_with_a_way_out(environment.subnet_ids, subnet.vpc_id))
        return Observed(environment, site, subnet.vpc_id, ways_out, subnets, dual_stack)

    def _left_behind(
        self, environment: Environment, owner_account: str | None, leftovers: tuple[str, ...]
    ) -> Iterator[Plan]:
        """Plans for what an earlier life of the name has left where this one cannot need anything."""
        if environment.endpoint_management != "CUSTOMER":
            accounts, reason = leftovers, "MWAA manages the endpoints of this environment itself"
        elif owner_account is not None:
            accounts = tuple(account for account in leftovers if account != owner_account)
            reason = "the environment's subnets are in another account now"
        else:
            return
        for account in accounts:
            yield self._removal(environment.ref, account, reason)

    def _removals(self, ref: EnvironmentRef, leftovers: tuple[str, ...]) -> tuple[Plan, ...]:
        """Plans for an environment that MWAA does not find, made only if its account's complete list does not have it
        either.
        """
        candidates = dict.fromkeys((*leftovers, self.settings.account, ref.account))
        accounts = [
            account for account in candidates if account in leftovers or self._may_have_left_a_group(ref, account)
        ]
        if not accounts:
            return (Plan(ref, ref.account, "the environment is gone, and nothing of ours is left"),)
        if ref in airflow.list_environments(self.roles, ref.account, ref.region):
            reason = "MWAA lists the environment but does not find it: nothing is taken away"
            return (Plan(ref, ref.account, reason, wait=True),)
        return tuple(self._removal(ref, account, "the environment is gone") for account in accounts)

    def _removal(self, ref: EnvironmentRef, account: str, reason: str) -> Plan:
        """The plan for one account; if it cannot be looked at, that is a finding, and stops no other account."""
        try:
            return plan_removal(ref, self._site(ref, account), self.owner, reason)
        except PermanentError as error:
            return Plan(ref, account, error.what, findings=(Finding.of(error),))

    def _may_have_left_a_group(self, ref: EnvironmentRef, account: str) -> bool:
        """A group of ours is always the last to go, so without one nothing is left."""
        try:
            return bool(ObservedNetwork(self.roles, account, ref.region).groups(self._tags(ref)))
        except AccessDenied:
            return True

    def _site(self, ref: EnvironmentRef, account: str, vpc_id: str | None = None) -> Site:
        """What matters to an environment in an account: in one VPC and in those with groups of ours for it, or all.

        All is dear where one account owns the VPCs of a fleet: each look would read every environment's endpoints.
        """
        network = ObservedNetwork(self.roles, account, ref.region)
        groups = network.groups(self._tags(ref))
        vpc_ids = {vpc_id, *(group.vpc_id for group in groups)} if vpc_id else ()
        return Site(account, ref.region, tuple(network.endpoints(vpc_ids=vpc_ids)), tuple(groups))

    def _tags(self, ref: EnvironmentRef) -> dict[str, str]:
        return {STACK: self.owner.stack_tag, ENVIRONMENT: ref.arn(self.settings.partition)}

"""Bring an environment's endpoints to what they should be: observe, plan, act."""

from dataclasses import dataclass

from endpoints.act import carry_out
from endpoints.ownership import ENVIRONMENT, STACK, Owner
from endpoints.plan import Finding, Plan
from endpoints.planner import WAITING, Observed, idle_reason, plan_environment
from endpoints.policy import DEFAULT, Policy
from endpoints.removal import plan_removal
from groundcrew.aws import airflow, parameters
from groundcrew.aws.network import Network, ObservedNetwork
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.errors import NotFound, PermanentError
from groundcrew.network import Site, Subnet
from groundcrew.settings import Settings


@dataclass(frozen=True, slots=True)
class Outcome:
    """The plans for an environment, one for each account that matters to it, and its status when they were made."""

    status: str
    plans: tuple[Plan, ...]


@dataclass(slots=True)
class Reconciler:
    """Reconciles environments for one invocation."""

    settings: Settings
    roles: Roles

    @property
    def owner(self) -> Owner:
        """Whose resources are ours."""
        return Owner(self.settings.stack_tag, self.settings.partition)

    def plan(self, ref: EnvironmentRef, leftovers: tuple[str, ...] = ()) -> Outcome:
        """Look, and say what to do; changes nothing.

        Args:
            ref: the environment.
            leftovers: accounts in which the sweep saw resources of ours for it that it may not need.

        Raises:
            PermanentError: the environment cannot be looked at, and why.
        """
        if ref.account not in self.settings.spoke_accounts or ref.region not in self.settings.spoke_regions:
            raise PermanentError(
                f"{ref} is in no account and Region that this stack looks after",
                cause="NotConfigured",
                remedy="Add the account to SpokeAccounts, the Region to SpokeRegions, and deploy the spoke there.",
            )
        try:
            environment = airflow.get_environment(self.roles, ref)
        except NotFound:
            return Outcome("DELETED", self._removals(ref, leftovers))
        return Outcome(environment.status, self._live(environment, leftovers))

    def act(self, plan: Plan) -> None:
        """Carry a plan out."""
        region = plan.environment.region
        carry_out(plan, Network(self.roles, plan.account, region), ObservedNetwork(self.roles, plan.account, region))

    def _live(self, environment: Environment, leftovers: tuple[str, ...]) -> tuple[Plan, ...]:
        ref = environment.ref
        name = environment.policy_name("endpoints") or DEFAULT
        if name == "off":
            return (Plan(ref, ref.account, "the environment is tagged groundcrew:endpoints=off"),)
        idle = idle_reason(environment)
        if idle:
            waits = environment.status == "PENDING" and environment.endpoint_management == "CUSTOMER"
            return (Plan(ref, ref.account, idle, wait=waits),)
        policy = Policy.read(name, parameters.document(Policy.parameter(name), self.settings.region))
        subnet = self._subnet(environment)
        observed = self._observe(environment, subnet)
        plans = [plan_environment(observed, policy, self.owner)]
        for account in leftovers:
            if account != subnet.owner:
                site = self._site(ref, account)
                plans.append(
                    plan_removal(ref, site, self.owner, "the environment's subnets are in another account now")
                )
        return tuple(plans)

    def _subnet(self, environment: Environment) -> Subnet:
        """One of the environment's subnets: all are in one VPC, of one account."""
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
            raise PermanentError(f"the subnets of {ref} are not in one VPC", cause="SubnetsDiffer")
        return subnets[0]

    def _observe(self, environment: Environment, subnet: Subnet) -> Observed:
        """Look at the owner's network, and no closer than the environment's status calls for."""
        network = ObservedNetwork(self.roles, subnet.owner, environment.ref.region)
        site = self._site(environment.ref, subnet.owner)
        if environment.status not in WAITING:
            # It runs or is being changed, so its queue and whatever endpoints it has do their work.
            return Observed(environment, site, subnet.vpc_id)
        services = {environment.database_service, environment.webserver_service}
        used = {
            group_id
            for endpoint in site.endpoints
            if endpoint.service in services and not self.owner.owns(endpoint, environment.arn)
            for group_id in endpoint.group_ids
        }
        if used:
            site = Site(site.account, site.region, site.endpoints, site.groups, tuple(network.groups_by_id(used)))
        ways_out = None
        if not any(
            endpoint.service.endswith(".sqs") and endpoint.vpc_id == subnet.vpc_id and endpoint.counts
            for endpoint in site.endpoints
        ):
            ways_out = frozenset(network.subnets_with_a_way_out(environment.subnet_ids, subnet.vpc_id))
        return Observed(environment, site, subnet.vpc_id, ways_out)

    def _site(self, ref: EnvironmentRef, account: str) -> Site:
        network = ObservedNetwork(self.roles, account, ref.region)
        return Site(account, ref.region, tuple(network.endpoints()), tuple(network.groups(self._tags(ref))))

    def _removals(self, ref: EnvironmentRef, leftovers: tuple[str, ...]) -> tuple[Plan, ...]:
        """Plans for an environment that MWAA does not find, made only if its account's complete list does not have it
        either.
        """
        accounts = dict.fromkeys((*leftovers, self.settings.account, ref.account))
        sites = [
            site
            for account in accounts
            if account in self.settings.spoke_accounts and (site := self._left(ref, account, account in leftovers))
        ]
        if not sites:
            return (Plan(ref, ref.account, "the environment is gone, and nothing of ours is left"),)
        if ref in airflow.list_environments(self.roles, ref.account, ref.region):
            return (
                Plan(
                    ref,
                    ref.account,
                    "MWAA lists the environment but does not find it: nothing is taken away",
                    wait=True,
                ),
            )
        return tuple(plan_removal(ref, site, self.owner, "the environment is gone") for site in sites)

    def _left(self, ref: EnvironmentRef, account: str, hinted: bool) -> Site | None:
        """A site with leftovers of an environment; a group of ours is always the last to go, so without one nothing
        is left.
        """
        groups = ObservedNetwork(self.roles, account, ref.region).groups(self._tags(ref))
        if not groups and not hinted:
            return None
        endpoints = ObservedNetwork(self.roles, account, ref.region).endpoints()
        return Site(account, ref.region, tuple(endpoints), tuple(groups))

    def _tags(self, ref: EnvironmentRef) -> dict[str, str]:
        return {STACK: self.owner.stack_tag, ENVIRONMENT: ref.arn(self.settings.partition)}


def blocked(error: PermanentError) -> Finding:
    """A permanent error, as the finding that it is."""
    return Finding(error.cause, error.what, error.remedy)

"""A fleet on which everybody acts at once: owners by hand, MWAA, and Groundcrew; and what must hold all the time."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from endpoints.ownership import ENVIRONMENT, MANAGE, PURPOSE, QUEUE, STACK
from endpoints.sqs_policy import admits, others, sid
from localcloud.model.caller import Caller
from localcloud.model.endpoint import Endpoint
from localcloud.model.environment import Environment
from localcloud.model.groups import Group
from localcloud.protocol import query
from tests.support.at_once import in_the_middle
from tests.support.stage import DEFAULT_POLICY, HUB, REGION, SPOKE, SPOKE2, STACK_TAG, Stage

QUARTER = 900
"""Seconds between two sweeps."""

MAX_RECEIVES = 20
"""``maxReceiveCount`` of the queues (``template.yaml``)."""

REPORTABLE = frozenset({"GroupDoesNotAdmit", "EndpointNotAvailable", "NameTaken"})
"""Causes that owners' hands can bring about here, and that keep an environment waiting."""

Message = dict[str, Any]
Snapshot = dict[str, object]


@dataclass
class Fleet:
    """Accounts, two VPCs of two owners, and the messages that wait; ``problems`` is everything that must not be."""

    stage: Stage
    messages: list[tuple[Message, int]] = field(default_factory=list)  # with how often each was received
    places: list[list[str]] = field(default_factory=list)  # the subnets of each VPC
    untraceable: set[str] = field(default_factory=set)  # queues that no resource of ours need name any more
    problems: list[str] = field(default_factory=list)
    _queues: dict[str, set[str]] = field(default_factory=dict)  # of all lives of a name
    _groups: dict[str, Group] = field(default_factory=dict)  # all that there ever were
    _delivered: int = 0
    _journal: int = 0
    _before: Snapshot = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The hub's VPC has an SQS endpoint that lets us manage its policy; the spoke's has no way to SQS at all."""
        self.stage.aws.parameters[DEFAULT_POLICY] = '{"sqs": "create"}'
        self.stage.aws.switches["mwaa.pending_on_update"] = True
        hub, subnets = self.stage.vpc(HUB, SPOKE, SPOKE2)
        self.places = [subnets, self.stage.vpc(SPOKE, SPOKE2, way_out=False)[1]]
        group = self.stage.aws.security_group(HUB, hub, "sqs")
        self._make("vpc-endpoint", HUB, subnets, f"com.amazonaws.{REGION}.sqs", group, {MANAGE: "policy"})
        (self.sqs,) = self.stage.aws.endpoints()
        self.sqs.policy = json.dumps({"Statement": [_theirs("first")]})

    # ----------------------------------------------------------------------------------------------------- environments
    @property
    def environments(self) -> list[Environment]:
        """All that exist, the oldest first."""
        found = [e for scope in self.stage.aws.mwaa._environments.values() for e in scope.values()]
        return sorted(found, key=lambda e: (e.created, e.arn))

    def create(self, account: str, name: str, place: int, access: str) -> None:
        if any((e.caller.account, e.name) == (account, name) for e in self.environments):
            return
        made = self.stage.environment(self.places[place], account, name, access)
        # What is left of an earlier life stands for the new one from now on: the old queue may stay admitted.
        self.untraceable |= self._queues.get(made.arn, set())
        self._queues.setdefault(made.arn, set()).add(made.queue)
        self.collect()

    def update(self, environment: Environment, access: str, *, more_groups: bool) -> None:
        """Another access mode; or one more security group."""
        if environment.status not in {"AVAILABLE", "UPDATE_FAILED"}:
            return
        params: dict[str, Any] = {"Name": environment.name, "WebserverAccessMode": access}
        if more_groups and len(environment.groups) < 3:
            caller = environment.caller
            name = self.stage.aws.ids.new("more-", 8)
            group = self.stage.aws.security_group(caller.account, self.vpc_of(environment), name)
            params["NetworkConfiguration"] = {"SecurityGroupIds": [*environment.groups, group]}
        self.stage.aws.mwaa.call("UpdateEnvironment", environment.caller, params)
        self.pass_time(1)

    def delete(self, environment: Environment, *, unfinished: bool = False) -> None:
        """Delete it, if MWAA lets us; ``unfinished``: a worker may have admitted its queue, and made nothing yet."""
        if environment.status in {"CREATING", "UPDATING", "DELETING"}:
            return
        if unfinished:
            self.untraceable.add(environment.queue)
        self.stage.aws.delete_environment(environment)
        self.pass_time(5)

    def vpc_of(self, environment: Environment) -> str:
        return str(self.stage.aws.network.subnets(REGION)[environment.subnets[0]]["VpcId"])

    # ------------------------------------------------------------------------------------------------------------ hands
    def endpoints(self, *, ours: bool) -> list[Endpoint]:
        """What is not being deleted: ours, or somebody else's for an environment's service."""
        alive = [e for e in self.stage.aws.endpoints() if e.gone_at is None and "com.amazonaws.vpce." in e.service]
        return [e for e in alive if _ours(e.tags) is ours]

    def foreign(self, environment: Environment, *, right: bool) -> None:
        """The VPC's owner makes the database endpoint, behind a group that admits the environment, or does not."""
        if environment.database_service is None:
            return
        caller = Caller(environment.owner, REGION)
        name = self.stage.aws.ids.new("theirs-", 8)
        group = self.stage.aws.security_group(environment.owner, self.vpc_of(environment), name)
        pairs = [{"GroupId": one, "UserId": environment.caller.account} for one in environment.groups]
        rule = {"IpProtocol": "-1", "UserIdGroupPairs": pairs if right else [{"GroupId": group}]}
        self.stage.aws.ec2.call("AuthorizeSecurityGroupIngress", caller, {"GroupId": group, "IpPermissions": [rule]})
        self._make("vpc-endpoint", environment.owner, environment.subnets, environment.database_service, group, {})

    def _make(self, kind: str, owner: str, subnets: list[str], service: str, group: str, tags: dict[str, str]) -> None:
        vpc = self.stage.aws.network.subnets(REGION)[subnets[0]]["VpcId"]
        items = [{"Key": key, "Value": value} for key, value in tags.items()]
        request = {
            "VpcEndpointType": "Interface",
            "VpcId": vpc,
            "ServiceName": service,
            "SubnetIds": subnets,
            "SecurityGroupIds": [group],
            "TagSpecifications": [{"ResourceType": kind, "Tags": items}],
        }
        self.stage.aws.ec2.call("CreateVpcEndpoint", Caller(owner, REGION), request)

    def untag(self, resource: Any, key: str) -> None:
        self.untraceable.add(resource.tags.get(QUEUE, ""))
        resource.tags.pop(key, None)

    def remove(self, endpoint: Endpoint) -> None:
        self.untraceable.add(endpoint.tags.get(QUEUE, ""))
        self.stage.aws.ec2.endpoints.remove(endpoint)
        self.pass_time(5)

    def edit_policy(self, name: str, *, drop_ours: bool) -> None:
        """The owner of the managed SQS endpoint adds a statement, and may throw ours away."""
        document = json.loads(self.sqs.policy)
        kept = [s for s in document["Statement"] if not (drop_ours and s["Sid"] == sid(STACK_TAG))]
        self.sqs.policy = json.dumps(document | {"Statement": [s for s in kept if s["Sid"] != name] + [_theirs(name)]})

    # ------------------------------------------------------------------------------------------------ time and messages
    def pass_time(self, seconds: float) -> None:
        self.stage.pass_time(seconds)
        self.collect()

    def collect(self) -> None:
        """MWAA's events come into the queue."""
        new = self.stage.aws.delivered[self._delivered :]
        self._delivered += len(new)
        self.messages += [(event, 0) for event in new]

    # ------------------------------------------------------------------------------------------------------ the product
    def sweep(self) -> None:
        since = len(self.stage.aws.events)
        now = {"time": query.iso(self.stage.aws.clock.now())}
        self.watched(self.stage.sweep)
        self.messages += [(fact | now, 0) for fact in self.stage.observed(since)]

    def deliver(self, number: int, *, again: bool = False, nth: int = 0, act: Callable[[], object] = int) -> None:
        """A worker takes a message, ``again``: which comes once more; ``act`` happens before its ``nth`` call."""
        if not self.messages:
            return
        message, received = self.messages.pop(number % len(self.messages))

        def work() -> None:
            with in_the_middle(self.stage.aws, nth, lambda: self._meanwhile(act)):
                if self._deliver(message, received + 1) and again:
                    self.messages.append((message, received + 1))

        self.watched(work)

    def deliver_inside(self, number: int) -> None:
        """Another worker, in the middle of the first."""
        if self.messages:
            message, received = self.messages.pop(number % len(self.messages))
            self._deliver(message, received + 1)

    def _deliver(self, message: Message, received: int) -> bool:
        """Whether the message is done; else it comes again, but not for ever."""
        if self.stage.deliver(message, received=received):
            return True
        if received < MAX_RECEIVES:
            self.messages.append((message, received))
        else:
            self.problems.append(f"{message} ends in the dead-letter queue")
        return False

    def work_off(self) -> None:
        """Work until no message is left."""
        while self.messages:
            _, received = self.messages[0]
            self.deliver(0)
            if received:
                self.pass_time(30)
        self.pass_time(60)

    def heal(self) -> None:
        """Two sweeps, with all the work that follows; every message that waited before is lost."""
        for _ in range(2):
            self.messages.clear()
            self.pass_time(QUARTER)
            self.messages.clear()
            self.sweep()
            self.work_off()

    # -------------------------------------------------------------------------------------------- what must always hold
    def watched(self, act: Callable[[], object]) -> None:
        """Let Groundcrew act; whatever it must not do is a problem."""
        self._before = self.not_ours()
        act()
        self.check()

    def _meanwhile(self, act: Callable[[], object]) -> None:
        """Let somebody else act in the middle: their own changes are none of Groundcrew's."""
        self.check()
        act()
        self._before = self.not_ours()

    def check(self) -> None:
        after = self.not_ours()
        self.problems += [f"{name} was changed" for name, was in self._before.items() if after.get(name) != was]
        self.problems += self._unproven()
        assert not self.problems, self.problems

    def not_ours(self) -> Snapshot:
        """Everything without our tags; of the policy that we may write, the statements that are not ours."""
        ec2 = self.stage.aws.ec2
        self._groups |= ec2.groups._groups
        endpoints: Snapshot = {
            e.endpoint_id: (tuple(e.subnets), tuple(e.groups), _policy(e), tuple(e.tags.items()), e.gone_at)
            for e in ec2.endpoints._endpoints.values()
            if e.tags.get(STACK) != STACK_TAG
        }
        groups: Snapshot = {
            g.group_id: (tuple(g.rules), tuple(g.tags.items()))
            for g in ec2.groups._groups.values()
            if g.tags.get(STACK) != STACK_TAG
        }
        return endpoints | groups

    def _unproven(self) -> list[str]:
        """Deletions without proof that the environment is gone, or does not use the thing."""
        entries = self.stage.aws.journal[self._journal :]
        self._journal += len(entries)
        known = self.stage.aws.ec2.endpoints._endpoints
        groups = [
            f"{entry.attempt.params['GroupId']} was deleted without proof"
            for entry in entries
            if entry.operation == "ec2:DeleteSecurityGroup" and entry.effect
            if not self._group_may_go(self._groups[entry.attempt.params["GroupId"]])
        ]
        return groups + [
            f"{endpoint_id} ({known[endpoint_id].tags}) was deleted without proof"
            for entry in entries
            if entry.operation == "ec2:DeleteVpcEndpoints" and entry.effect
            for endpoint_id in entry.attempt.params["VpcEndpointIds"]
            if not self._may_go(known[endpoint_id])
        ]

    def _group_may_go(self, group: Group) -> bool:
        alive = [e for e in self.environments if e.arn == group.tags.get(ENVIRONMENT)]
        return _ours(group.tags) and all(self.vpc_of(e) != group.vpc_id for e in alive)

    def _may_go(self, endpoint: Endpoint) -> bool:
        if not _ours(endpoint.tags):
            return False
        alive = [e for e in self.environments if e.arn == endpoint.tags.get(ENVIRONMENT)]
        if not alive:
            return True
        (environment,) = alive
        serves = {environment.database_service}
        if environment.setting("WebserverAccessMode") == "PRIVATE_ONLY":
            serves.add(environment.webserver_service)
        doubles = [e for e in self.stage.aws.ec2.endpoints.of_service(endpoint.service) if e.outcome == "available"]
        return endpoint.service not in serves or endpoint.outcome != "available" or bool(doubles)

    # ---------------------------------------------------------------------------------------- what must hold in the end
    def converged(self) -> None:
        """After healing, every environment runs, or why it does not has just been said."""
        since = len(self.stage.aws.events)
        self.heal()
        said = self._said(since)
        for environment in self.environments:
            causes = said.get(environment.arn, set())
            if environment.status != "AVAILABLE" and not causes & REPORTABLE:
                self.problems.append(f"{environment.arn} is {environment.status}, and only {causes} was said")
            in_hub = environment.subnets == self.places[0]
            if in_hub and "QueueNotAdmitted" not in causes and not admits(self.sqs.policy, environment.queue):
                self.problems.append(f"{environment.arn} cannot reach its queue, and only {causes} was said")
        if any(not admits(self.sqs.policy, s["Resource"]) for s in others(self.sqs.policy, STACK_TAG)):
            self.problems.append("a statement of the SQS endpoint's owner has no effect any more")
        assert not self.problems, self.problems

    def ended(self) -> None:
        """When all environments are gone, nothing of ours is left but what serves a VPC, or nobody can attribute."""
        for environment in self.environments:
            self.delete(environment)
        since = len(self.stage.aws.events)
        self.heal()
        lost = {e["Detail"] for e in self.stage.aws.events[since:] if '"Orphaned"' in e["Detail"]}
        held = {group for e in self.stage.aws.endpoints() if not _ours(e.tags) for group in e.groups}
        for name, tags in self._left():
            if tags.get(PURPOSE) == "sqs" or name in held or any(name in text for text in lost):
                continue
            self.problems.append(f"{name} is left: {tags}")
        ours = [s for s in json.loads(self.sqs.policy)["Statement"] if s["Sid"] == sid(STACK_TAG)]
        forgotten = {queue for s in ours for queue in s["Resource"]} - self.untraceable
        if forgotten:
            self.problems.append(f"queues of environments that are gone are still admitted: {forgotten}")
        assert not self.problems, self.problems

    def _left(self) -> Iterable[tuple[str, dict[str, str]]]:
        endpoints = [(e.endpoint_id, e.tags) for e in self.stage.aws.endpoints() if e.gone_at is None]
        groups = [(g.group_id, g.tags) for account in (HUB, SPOKE, SPOKE2) for g in self.stage.aws.groups(account)]
        return [(name, tags) for name, tags in (*endpoints, *groups) if tags.get(STACK) == STACK_TAG]

    def _said(self, since: int) -> dict[str, set[str]]:
        """Causes announced since then, by the environment's ARN."""
        said: dict[str, set[str]] = {}
        for fact in self.stage.facts(since):
            if fact["detail-type"] == "Endpoints Blocked":
                about = fact["detail"]["environment"]
                arn = f"arn:aws:airflow:{about['region']}:{about['account']}:environment/{about['name']}"
                said.setdefault(arn, set()).update(finding["cause"] for finding in fact["detail"]["findings"])
        return said


def _ours(tags: dict[str, str]) -> bool:
    return tags.get(STACK) == STACK_TAG and ENVIRONMENT in tags


def _policy(endpoint: Endpoint) -> str:
    managed = endpoint.tags.get(MANAGE) == "policy"
    return json.dumps(others(endpoint.policy, STACK_TAG)) if managed else endpoint.policy


def _theirs(name: str) -> dict[str, Any]:
    queue = f"arn:aws:sqs:{REGION}:{HUB}:{name}"
    return {"Sid": name, "Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": queue}

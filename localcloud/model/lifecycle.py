"""How MWAA environments change over time, what they wait for, and the events they send.

CREATING -> PENDING -> CREATING -> AVAILABLE, with the endpoints made while PENDING: guide L8226-8254; 72 h in
PENDING: botocore mwaa ``EndpointManagement``; what is checked of the endpoints: guide L8256-8273.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from localcloud.cloud import Cloud
from localcloud.model.caller import Caller
from localcloud.model.ec2 import Ec2
from localcloud.model.endpoint import Endpoint
from localcloud.model.environment import DATABASE_PORT, WEBSERVER_PORT, Environment
from localcloud.model.network import Record, address_blocks

_HELD_SECONDS = 30.0  # how long delivery "reorder" keeps an event back when no later one comes


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a PENDING environment still waits; ``wrong`` if waiting alone will not cure it."""

    purpose: str  # database, webserver or network
    reason: str
    wrong: bool


@dataclass
class LifeCycle:
    """Moves environments that are not at rest, once a tick."""

    cloud: Cloud
    ec2: Ec2
    forget: Callable[[Environment], None]
    _moving: dict[int, Environment] = field(default_factory=dict)
    _outbox: list[tuple[Caller, Record]] = field(default_factory=list)
    _held: list[tuple[float, Environment, Record]] = field(default_factory=list)

    # ------------------------------------------------------------------ beginnings
    def start(self, environment: Environment) -> None:
        """A new environment: CREATING."""
        self._enter(environment, "CREATING", self.ec2.setting("mwaa.creating_seconds"))

    def update(self, environment: Environment) -> None:
        environment.updating, environment.resuming = True, False
        environment.updated = self.cloud.clock.now()
        self._enter(environment, "UPDATING", self.ec2.setting("mwaa.updating_seconds"))

    def delete(self, environment: Environment) -> None:
        self._enter(environment, "DELETING", self.ec2.setting("mwaa.deleting_seconds"))

    def _enter(self, environment: Environment, status: str, seconds: float | None = None) -> None:
        """Change the status, say so, and come back in ``seconds`` (None: at every tick while PENDING, else never)."""
        environment.status = status
        environment.due = None if seconds is None else self.cloud.clock.now() + seconds
        if seconds is not None or status == "PENDING":
            self._moving[id(environment)] = environment
        else:
            self._moving.pop(id(environment), None)
        self._announce(environment, status)

    # ------------------------------------------------------------------ time
    def tick(self, now: float) -> None:
        """Everything that is due happens, in order of creation."""
        for environment in list(self._moving.values()):
            if environment.status == "PENDING":
                self._wait(environment, now)
            elif environment.due is not None and now >= environment.due:
                self._step(environment, now)
        for due, environment, entry in list(self._held):
            if now >= due:
                self._held.remove((due, environment, entry))
                self._deliver(environment, entry)

    def _step(self, environment: Environment, now: float) -> None:
        """The step that was under way has ended."""
        if environment.status == "DELETING":
            self._gone(environment)
        elif environment.resuming or (environment.updating and not self._must_wait_again(environment)):
            self._publish(environment, now)
            environment.updating = False
            environment.due = None
            self._enter(environment, "AVAILABLE")
        else:
            self._publish(environment, now)
            if environment.customer_managed:
                environment.pending_since = now
                self._enter(environment, "PENDING")
                self._wait(environment, now)
            else:
                self._make_endpoints(environment)
                self._resume(environment)

    def _must_wait_again(self, environment: Environment) -> bool:
        if not (self.ec2.setting("mwaa.pending_on_update") and environment.customer_managed):
            return False
        self._publish(environment, self.cloud.clock.now())
        return bool(self.problems(environment))

    def _wait(self, environment: Environment, now: float) -> None:
        """One look at a PENDING environment."""
        self._publish(environment, now)
        problems = self.problems(environment)
        since = environment.pending_since or now
        if not problems:
            self._resume(environment)
        elif now - since >= self.ec2.setting("mwaa.pending_limit_seconds"):
            self._fail(environment, "The endpoints were not available in time: " + problems[0].reason)
        elif self.ec2.setting("mwaa.wrong_endpoints") == "fail" and (wrong := [p for p in problems if p.wrong]):
            self._fail(environment, wrong[0].reason)

    def _resume(self, environment: Environment) -> None:
        environment.resuming = True
        status = "UPDATING" if environment.updating else "CREATING"
        seconds = self.ec2.setting("mwaa.resuming_seconds")
        if environment.status == status:  # MWAA's own endpoints: there was no PENDING in between
            environment.due = self.cloud.clock.now() + seconds
        else:
            self._enter(environment, status, seconds)

    def _fail(self, environment: Environment, reason: str) -> None:
        environment.error = reason
        self._enter(environment, "UPDATE_FAILED" if environment.updating else "CREATE_FAILED")

    # ------------------------------------------------------------------ endpoint services
    def _needs_webserver(self, environment: Environment) -> bool:
        return environment.needs_webserver_endpoint(self.ec2.setting("mwaa.public_and_private"))

    def _publish(self, environment: Environment, now: float) -> None:
        """The services of the environment, each once; the web server's may come later."""
        to_owner = self.ec2.setting("mwaa.services_offered_to") == "owner"
        region, owner = environment.caller.region, environment.owner if to_owner else environment.caller.account
        if environment.database_service is None:
            environment.database_service = self.ec2.services.publish(region, owner).name
        late = self.ec2.setting("mwaa.webserver_service_delay_seconds")
        since = environment.pending_since if environment.pending_since is not None else now
        if environment.webserver_service is None and self._needs_webserver(environment) and now >= since + late:
            environment.webserver_service = self.ec2.services.publish(region, owner).name

    def _make_endpoints(self, environment: Environment) -> None:
        """MWAA's own endpoints (EndpointManagement SERVICE), tagged ``AmazonMWAAManaged`` (guide L7502-7516)."""
        caller = Caller(environment.owner, environment.caller.region)
        for name in filter(None, (environment.database_service, environment.webserver_service)):
            service = self.ec2.services.find(caller, name)
            subnet = self.ec2.network.subnet(caller, environment.subnets[0])
            if service is None or subnet is None:
                continue
            endpoint = self.ec2.endpoints.add(
                caller, service, subnet["VpcId"], environment.subnets, environment.groups,
                tags={"AmazonMWAAManaged": "true", "Name": f"MWAA {environment.name}"}, requester_managed=True,
            )  # fmt: skip
            environment.managed.append(endpoint.endpoint_id)

    def _gone(self, environment: Environment) -> None:
        """Its services and its own endpoints go; the customer's stay, in the state the switch says."""
        self._moving.pop(id(environment), None)
        self.forget(environment)
        for endpoint_id in environment.managed:
            if endpoint := self.ec2.endpoints.get(endpoint_id):
                self.ec2.endpoints.remove(endpoint)
        outcome = self.ec2.setting("mwaa.endpoints_after_delete")
        for name in filter(None, (environment.database_service, environment.webserver_service)):
            self.ec2.services.withdraw(name)
            for endpoint in self.ec2.endpoints.of_service(name):
                if endpoint.outcome == "available":
                    endpoint.outcome = outcome
        self._announce(environment, "DELETED")

    # ------------------------------------------------------------------ what PENDING waits for
    def problems(self, environment: Environment) -> list[Problem]:
        """Everything that keeps the environment from going on; empty when its endpoints are right."""
        if any(self.ec2.network.subnet(environment.caller, s) is None for s in environment.subnets):
            return [Problem("network", "The subnets are not shared with the environment's account", True)]
        wanted = [("database", environment.database_service, DATABASE_PORT)]
        if self._needs_webserver(environment):
            wanted.append(("webserver", environment.webserver_service, WEBSERVER_PORT))
        found = (self._problem(environment, *each) for each in wanted)
        return [problem for problem in found if problem]

    def _problem(self, environment: Environment, purpose: str, service: str | None, port: int) -> Problem | None:
        """What is wrong with the best endpoint for one service; None if one is right."""
        if service is None:
            return Problem(purpose, "The endpoint service is not published yet", False)
        now = self.cloud.clock.now()
        best: Problem | None = None
        for endpoint in self.ec2.endpoints.of_service(service):
            if endpoint.state(now) != "available":
                best = best or Problem(purpose, f"{endpoint.endpoint_id} is {endpoint.state(now)}", False)
            elif set(endpoint.subnets) != set(environment.subnets):
                best = Problem(purpose, f"{endpoint.endpoint_id} is not in the environment's subnets", True)
            elif not self._admits(endpoint, environment, port):
                best = Problem(purpose, f"The groups of {endpoint.endpoint_id} do not admit the environment", True)
            else:
                return None
        return best or Problem(purpose, f"There is no endpoint for {service}", False)

    def _admits(self, endpoint: Endpoint, environment: Environment, port: int) -> bool:
        """Do the endpoint's groups let the environment's in, named one by one or by the subnets' addresses?"""
        groups = [g for g in map(self.ec2.groups.get, endpoint.groups) if g is not None]
        rules = [r for g in groups for r in g.rules if not r.egress and r.allows(port)]
        subnets = [self.ec2.network.subnet(environment.caller, s) for s in environment.subnets]
        blocks = [block for s in subnets if s for block in address_blocks(s)]
        if all(any(rule.covers(block) for rule in rules) for block in blocks):
            return True
        named = {r.source for r in rules if r.kind == "group" and r.user == environment.caller.account}
        if self.ec2.setting("mwaa.admission") == "any":
            return bool(named & set(environment.groups))
        return named >= set(environment.groups)

    # ------------------------------------------------------------------ events
    def _announce(self, environment: Environment, status: str) -> None:
        """Best effort (EventBridge reference): ``mwaa.event_delivery`` loses, repeats or swaps events."""
        event = environment.event(self.ec2.setting("mwaa.event_detail"), status)
        entry = {**event, "Detail": json.dumps(event["Detail"])}
        how, _, times = str(self.ec2.setting("mwaa.event_delivery")).partition(":")
        match how:
            case "drop":
                return
            case "double":
                for _ in range(int(times or 2)):
                    self._deliver(environment, entry)
            case "reorder":
                self._swap(environment, entry)
            case _:
                self._deliver(environment, entry)

    def _swap(self, environment: Environment, entry: Record) -> None:
        """Keep an event back until the environment's next one has overtaken it."""
        earlier = next((held for held in self._held if held[1] is environment), None)
        if earlier is None:
            self._held.append((self.cloud.clock.now() + _HELD_SECONDS, environment, entry))
            return
        self._held.remove(earlier)
        self._deliver(environment, entry)
        self._deliver(environment, earlier[2])

    def _deliver(self, environment: Environment, entry: Record) -> None:
        self._outbox.append((environment.caller, entry))

    def send_events(self) -> None:
        """Hand over what is to be delivered; without the model's lock, for the receivers may call back."""
        while self._outbox:
            caller, entry = self._outbox.pop(0)
            self.cloud.put_aws_event(caller.account, caller.region, entry)

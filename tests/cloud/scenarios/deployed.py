"""Groundcrew deployed on a local cloud with enforced IAM, as the scenarios use it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastjsonschema

from localcloud.aws import Aws
from localcloud.client import Client
from localcloud.fleet import Environment, Network, calls_for
from localcloud.installation import HUB, REGION, SPOKES, dead_letters
from localcloud.model.switches import DEFAULTS
from localcloud.testing.served import allow, policy, unique

SPOKE, OTHER = SPOKES
SECOND_REGION = "eu-west-3"
REGIONS = (REGION, SECOND_REGION)
SCHEMAS = Path(__file__).resolve().parents[3] / "events/schemas"
SCHEDULE = "groundcrew-sweep"
QUEUES = (
    "groundcrew-cleanup",
    "groundcrew-endpoints",
    "groundcrew-endpoints-routine",
    "groundcrew-run-requests",
    "groundcrew-runs",
    "groundcrew-tokens",
    "groundcrew-token-rotations.fifo",
    "groundcrew-exports",
)

PATIENCE_SECONDS = 180.0  # real ones; a deadline for a busy machine, not a measure
TURN_SECONDS = 1.0  # how far the clock is turned at each look
STRETCH_SECONDS = 30.0  # real ones, after which it is turned further: an invocation that failed on a busy machine
FAR_TURN_SECONDS = 5.0  # leaves its message to the queue's visibility timeout, of many minutes

Fact = dict[str, Any]


@dataclass
class Deployed:
    """The cloud, the deployed stacks, and a queue that hears every fact."""

    cloud: Client
    aws: Aws
    shared: Network
    facts_url: str
    heard: list[Fact] = field(default_factory=list)
    made: list[Environment] = field(default_factory=list)

    # ------------------------------------------------------------------------------------------------ environments
    def environment(
        self, account: str = SPOKE, network: Network | None = None, *, name: str = "", **options: Any
    ) -> Environment:
        """A new environment, taken away after the test; in the hub's shared VPC, if no other network is given."""
        environment = Environment.create(
            self.aws, account, name or unique("environment"), network or self.shared, **options
        )
        self.made.append(environment)
        return environment

    def until(
        self,
        check: Callable[[], Any],
        what: str = "it",
        seconds: float = PATIENCE_SECONDS,
        turn: float = TURN_SECONDS,
        pace: float | None = None,
    ) -> Any:
        """The first true answer of ``check``, while the cloud's clock is turned; fails after so many real seconds.

        With a ``pace`` a real second is that many of the cloud's at most: for what a real Airflow does meanwhile.
        """
        started = looked = time.monotonic()
        while not (answer := check()):
            now = time.monotonic()
            assert now - started < seconds, f"{what} did not happen in time; {self.pending()}"
            step = turn if now - started < STRETCH_SECONDS else max(turn, FAR_TURN_SECONDS)
            self.cloud.advance(step if pace is None else min(step, pace * (now - looked)))
            looked = now
            time.sleep(0.05)  # the functions live in real time
        return answer

    def pending(self) -> dict[str, Any]:
        """What an answer may be waiting for: messages, deliveries and invocations that failed."""
        logs = self.aws.client("logs", HUB)
        groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
        lines = [
            (name, line["message"]) for name in groups for line in logs.filter_log_events(logGroupName=name)["events"]
        ]
        return {
            "queues": {queue: counts for queue in QUEUES if any(counts := self._depth(queue))},
            "deliveries": self.cloud.failures()[-5:],
            "logged": [line for line in lines if '"level":"ERROR"' in line[1] or "Task timed out" in line[1]][-5:],
        }

    def _depth(self, queue: str) -> tuple[int, ...]:
        """Messages that are visible, being worked on, and delayed."""
        sqs = self.aws.client("sqs", HUB)
        names = [f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")]
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return tuple(int(shown[name]) for name in names)

    def until_status(self, environment: Environment, *statuses: str) -> str:
        """Wait until the environment has one of these statuses."""
        seen = ""

        def there() -> bool:
            nonlocal seen
            seen = environment.status()
            assert seen in statuses or not seen.endswith("_FAILED"), f"{environment.name} is {seen}"
            return seen in statuses

        self.until(there, f"{environment.name} in {' or '.join(statuses)}")
        return seen

    def until_right(self, environment: Environment) -> None:
        """Wait until it is AVAILABLE, with exactly the endpoints and the group that it should have."""
        self.until_status(environment, "AVAILABLE")
        try:
            self.until(lambda: not environment.faults(), f"{environment.name} as it should be", 10)
        except AssertionError as error:
            raise AssertionError(environment.faults()) from error

    def until_gone(self, environment: Environment) -> None:
        """Wait until it is DELETED and nothing made for it is left."""
        self.until_status(environment, "DELETED")
        self.until(lambda: not environment.endpoints() and not environment.groups(), f"{environment.name} cleared")

    def until_idle(self) -> None:
        """Wait until no work is waiting or being done."""
        self.until(lambda: not any(any(self._depth(queue)) for queue in QUEUES), "empty queues")

    def clear(self) -> None:
        """Take away the environments of a test, and see that Groundcrew leaves nothing behind."""
        made, self.made = self.made, []
        for environment in made:
            self.until(lambda e=environment: e.status() not in ("CREATING", "UPDATING"), "rest")  # type: ignore[misc]
            if environment.status() not in ("DELETING", "DELETED"):
                environment.delete()
        for environment in made:
            self.until_status(environment, "DELETED")
        if any(environment.endpoints() or environment.groups() for environment in made):
            self.sweep()
        for environment in made:
            self.until_gone(environment)
        if made:
            self.cloud.advance(5)  # endpoints that MWAA made itself hold the groups for some seconds
        for environment in made:
            self.release(environment)

    def release(self, environment: Environment) -> None:
        """Delete the environment's own groups: refused while anything refers to them, as what MWAA made still may."""
        ec2 = self.aws.client("ec2", environment.account, environment.region)
        left = {group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]}

        def gone(group_id: str) -> bool:
            try:
                ec2.delete_security_group(GroupId=group_id)
            except ec2.exceptions.ClientError as error:
                if error.response["Error"]["Code"] != "DependencyViolation":
                    raise
                return False
            return True

        for group_id in left & set(environment.group_ids):
            self.until(lambda group_id=group_id: gone(group_id), f"{group_id} released")  # type: ignore[misc]

    # ------------------------------------------------------------------------------------------------- Groundcrew
    def invoke(self, function: str, event: Any, kind: str = "RequestResponse") -> Any:
        """Invoke a function directly; its answer."""
        answer = self.aws.client("lambda", HUB).invoke(
            FunctionName=f"groundcrew-{function}", InvocationType=kind, Payload=json.dumps(event)
        )
        text = answer["Payload"].read()
        assert "FunctionError" not in answer, text
        return json.loads(text) if text else None

    def sweep(self) -> dict[str, int]:
        """Sweep now, by the cloud's clock, as the schedule does; what the sweep says."""
        now = datetime.fromtimestamp(self.cloud.now(), UTC)
        return dict(self.invoke("sweep", {"time": now.isoformat()}))

    def request(self, environment: Environment, sender: str = "", **detail: Any) -> None:
        """Ask for a reconcile as people do: on the default bus of an account, the environment's own by default."""
        detail = {"environment": environment.ref, **detail}
        self.put(sender or environment.account, "groundcrew.request", "Endpoint Reconcile Requested", detail)

    def put(self, account: str, source: str, detail_type: str, detail: Any, region: str = REGION) -> None:
        """Put an event on an account's default bus."""
        entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail)}
        assert self.aws.client("events", account, region).put_events(Entries=[entry])["FailedEntryCount"] == 0

    def envelope(self, environment: Environment, **detail: Any) -> dict[str, Any]:
        """A request as Lambda would get it from EventBridge."""
        return {
            "version": "0",
            "id": unique("request"),
            "detail-type": "Endpoint Reconcile Requested",
            "source": "groundcrew.request",
            "account": environment.account,
            "time": "2026-11-22T12:00:00Z",
            "region": environment.region,
            "resources": [],
            "detail": {"environment": environment.ref, **detail},
        }

    def calls(self, environment: Environment, since: int = 0) -> list[str]:
        """The AWS calls that were made for an environment, besides STS and SSM."""
        return calls_for(self.cloud.calls(since), environment.arn)

    def logged(self, message: str, function: str = "endpoints") -> int:
        """How many lines with this message a function has logged."""
        logs = self.aws.client("logs", HUB)
        pattern, group = f'"message":"{message}"', f"/aws/lambda/groundcrew-{function}"
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        return sum(pattern in event["message"] for page in pages for event in page["events"])

    def denied(self, action: str, role: str = "", since: int = 0) -> list[dict[str, Any]]:
        """The refused calls of a role."""
        return [call for call in self.cloud.calls(since, role=role, action=f"^{action}$") if not call["allowed"]]

    def say_status(self, environment: Environment, status: str) -> None:
        """MWAA's event about a status, in case it was lost."""
        event = {
            "Source": "aws.airflow",
            "DetailType": "MWAA Environment Status Change",
            "Resources": [environment.arn],
            "Detail": json.dumps({"name": environment.name, "status": status}),
        }
        self.cloud.put_aws_event(environment.account, environment.region, event)

    @contextmanager
    def policy(self, **document: str) -> Iterator[str]:
        """The name of a policy for environments' endpoints."""
        ssm, name = self.aws.client("ssm", HUB), unique("policy")
        ssm.put_parameter(Name=f"/groundcrew/endpoints/{name}", Type="String", Value=json.dumps(document))
        yield name
        ssm.delete_parameter(Name=f"/groundcrew/endpoints/{name}")

    # ------------------------------------------------------------------------------------------------------ facts
    def facts(self, detail_type: str, environment: Environment | None = None) -> list[Fact]:
        """The facts of a type that were announced so far (about an environment), each valid by its schema."""
        sqs = self.aws.client("sqs", HUB)
        while messages := sqs.receive_message(QueueUrl=self.facts_url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                fact = json.loads(message["Body"])
                name = fact["detail-type"].lower().replace(" ", "-")
                fastjsonschema.compile(json.loads((SCHEMAS / f"{name}.json").read_text()))(fact["detail"])
                self.heard.append(fact)
                sqs.delete_message(QueueUrl=self.facts_url, ReceiptHandle=message["ReceiptHandle"])
        return [
            fact
            for fact in self.heard
            if fact["detail-type"] == detail_type
            and (environment is None or fact["detail"].get("environment") == environment.ref)
        ]

    def until_fact(self, detail_type: str, environment: Environment | None = None) -> Fact:
        """Wait for a fact; the last of its type."""
        found: list[Fact] = self.until(lambda: self.facts(detail_type, environment), detail_type)
        return found[-1]

    # ------------------------------------------------------------------------------------------------------ trouble
    @contextmanager
    def switched(self, **switches: Any) -> Iterator[None]:
        """Other behaviour where AWS documents none; ``_`` stands for the first dot of a switch's name."""
        named = {key.replace("_", ".", 1): value for key, value in switches.items()}
        self.cloud.switch(**named)
        try:
            yield
        finally:
            self.cloud.switch(**{name: DEFAULTS[name] for name in named})

    @contextmanager
    def without(self, role: str, account: str, action: str) -> Iterator[None]:
        """A role that lacks one permission."""
        iam = self.aws.client("iam", account)
        before, after = {}, {}
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            statements = []
            for statement in document["Statement"]:
                actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
                if kept := [one for one in actions if one != action]:
                    statements.append({**statement, "Action": kept})
                if kept != actions:
                    before[name] = json.dumps(document)
            after[name] = policy(*statements)
        assert before, f"{role} never had {action}"
        for name in before:
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=after[name])
        try:
            yield
        finally:
            for name, document in before.items():
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)

    @contextmanager
    def distrusted(self, role: str, account: str) -> Iterator[None]:
        """A spoke role that does not trust the hub any more."""
        iam = self.aws.client("iam", account)
        document = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
        nobody = policy(allow("sts:AssumeRole") | {"Principal": {"Service": "ec2.amazonaws.com"}})
        trust = json.loads(nobody)
        del trust["Statement"][0]["Resource"]
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
        try:
            yield
        finally:
            iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(document))

    @contextmanager
    def missing(self, role: str, account: str) -> Iterator[None]:
        """A spoke role that is not there."""
        iam = self.aws.client("iam", account)
        kept = iam.get_role(RoleName=role)["Role"]
        policies = {
            name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        }
        for name in policies:
            iam.delete_role_policy(RoleName=role, PolicyName=name)
        iam.delete_role(RoleName=role)
        try:
            yield
        finally:
            trust = json.dumps(kept["AssumeRolePolicyDocument"])
            iam.create_role(RoleName=role, Path=kept["Path"], AssumeRolePolicyDocument=trust)
            for name, document in policies.items():
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))

    @contextmanager
    def unshared(self, network: Network, account: str) -> Iterator[None]:
        """A network that is not shared with an account any more."""
        self.cloud.unshare(network.subnet_ids, [account])
        try:
            yield
        finally:
            self.cloud.share(network.subnet_ids, [account])

    @contextmanager
    def scheduled(self) -> Iterator[None]:
        """The sweep's schedule, switched on: otherwise tests decide when there is a sweep."""
        self.schedule("ENABLED")
        try:
            yield
        finally:
            self.schedule("DISABLED")

    def schedule(self, state: str) -> None:
        """Switch the sweep's schedule on or off."""
        scheduler = self.aws.client("scheduler", HUB)
        shown = scheduler.get_schedule(Name=SCHEDULE)
        keys = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")
        scheduler.update_schedule(**{key: shown[key] for key in keys if key in shown}, State=state)

    def undelivered(self) -> dict[str, int]:
        """Dead letters: how many in which queue."""
        return dead_letters(self.cloud, REGIONS)

    def bury(self, queue: str) -> list[dict[str, Any]]:
        """Take the messages out of one of the hub's dead-letter queues."""
        sqs = self.aws.client("sqs", HUB)
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        found = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get(
            "Messages"
        ):
            for message in messages:
                found.append(dict(message))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

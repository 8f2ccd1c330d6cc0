"""AWS in process: real boto3 clients answered by the model, without a server, for fast unit, fault and scale tests.

    with in_process() as aws:
        vpc = aws.network.vpc(owner="111111111111")
        subnets = aws.network.private_subnets(vpc)
        aws.share(subnets, "222222222222")
        aws.create_environment("222222222222", "us-east-1", "data", subnets, access="PRIVATE_ONLY")
        aws.clock.advance(60)

Requests are serialized, signed, retried and parsed by botocore itself; only the sending is replaced (its
``before-send`` event). There is no IAM here, and every role exists: permissions are tested on the emulator. The
SDK's pauses between retries are not slept but counted.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any
from unittest import mock

import botocore.handlers
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from localcloud.clock import Clock
from localcloud.cloud import Cloud
from localcloud.inprocess.airflow import Command, airflow_reads, command_lines
from localcloud.inprocess.faults import Attempt, Faults, Killed, Kind
from localcloud.inprocess.objects import Objects
from localcloud.inprocess.packages import Visit, is_index
from localcloud.inprocess.services import SmallServices, delivery
from localcloud.inprocess.wire import WIRES, Wire, bodiless, header
from localcloud.model.airflow import Airflow
from localcloud.model.caller import Caller, Ids
from localcloud.model.codeartifact import CodeArtifact
from localcloud.model.ec2 import Ec2
from localcloud.model.endpoint import Endpoint
from localcloud.model.environment import Environment
from localcloud.model.errors import AwsError
from localcloud.model.front_door import OPERATIONS, FrontDoor, Visitor
from localcloud.model.groups import Group
from localcloud.model.mwaa import Mwaa
from localcloud.model.network import Record
from localcloud.model.plain_network import PlainNetwork
from localcloud.protocol import models

EPOCH = 1_795_000_000.0
AIRFLOW_ROLES = ("User",)
"""The Airflow roles that the hub acts with: those that ``spoke/template.yaml`` allows."""
_READS = ("Describe", "Get", "Head", "List", "AssumeRole", "CreateCliToken")


class StillClock(Clock):
    """Time that passes only when a test advances it."""

    def now(self) -> float:
        return EPOCH + self.offset

    def advance(self, seconds: float, step: float = 0.0) -> None:
        """Without ``step``: in steps of a second, but at most a hundred of them, so that days pass fast too."""
        super().advance(seconds, step or max(1.0, seconds / 100))


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt in the journal: what was asked, what came of it."""

    attempt: Attempt
    effect: bool  # it changed something
    result: Record | None  # of a call that changed something
    error: str | None
    fault: Kind | None

    @property
    def operation(self) -> str:
        return self.attempt.operation


@dataclass(frozen=True, slots=True)
class Answered:
    """Outcome of an operation: the HTTP response, its members if they are known, and the error code if it failed."""

    response: AWSResponse
    result: Record | None
    error: str | None


@dataclass
class InProcessAws:
    """The cloud of one test: builders, what was recorded, faults."""

    cloud: Cloud
    ids: Ids = field(default_factory=lambda: Ids("in-process"))
    journal: list[Entry] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    events: list[Record] = field(default_factory=list)  # PutEvents entries, each with `account` and `region`
    delivered: list[Record] = field(default_factory=list)  # MWAA's status events as EventBridge delivers them
    parameters: dict[str, str] = field(default_factory=dict)  # SSM, by name, the same in all accounts
    slept: float = 0.0  # seconds the SDK would have paused before retries
    vpc: str | None = None  # where this process is, which decides what private web servers it reaches

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self.network = PlainNetwork(self.ids)
        self.network.on_vpc = self._default_group
        self.ec2 = Ec2(self.cloud, self.network, self.ids)
        self.mwaa = Mwaa(self.cloud, self.ec2)
        self.front_door = FrontDoor(self.mwaa, self.cloud.clock.now)
        self.objects = Objects(self.cloud.clock.now, self.ids)
        self.packages = CodeArtifact(self.cloud.clock.now, self.ids)
        self.small = SmallServices(self.events, self.parameters, self.ids)
        self.cloud.put_aws_event = self._record_event

    @property
    def clock(self) -> Clock:
        return self.cloud.clock

    @property
    def switches(self) -> dict[str, Any]:
        return self.cloud.switches

    # ------------------------------------------------------------------ builders and views
    def _default_group(self, vpc: Record, region: str) -> None:
        caller = Caller(vpc["OwnerId"], region)
        self.ec2.groups.add(caller, "default", "default VPC security group", vpc["VpcId"])

    def share(self, subnets: Sequence[str], *accounts: str) -> None:
        """Share subnets with accounts, as RAM does."""
        for subnet_id in subnets:
            self.cloud.shares[subnet_id].update(accounts)

    def security_group(self, account: str, vpc_id: str, name: str, region: str = "us-east-1") -> str:
        """A group made by ``account``; its id."""
        params = {"GroupName": name, "Description": name, "VpcId": vpc_id}
        return str(self.ec2.groups.create(Caller(account, region), params)["GroupId"])

    def create_environment(
        self,
        account: str,
        region: str,
        name: str,
        subnets: Sequence[str],
        access: str = "PUBLIC_ONLY",
        *,
        tags: dict[str, str] | None = None,
        groups: Sequence[str] | None = None,
        management: str = "CUSTOMER",
        version: str = "3.3.1",
    ) -> Environment:
        """An environment through the API's own checks, and its bucket; without ``groups`` it gets one, as the console
        makes it.
        """
        caller = Caller(account, region)
        if groups is None:
            vpc_id = self.network.subnets(region)[subnets[0]]["VpcId"]
            groups = [self.security_group(account, vpc_id, f"airflow-{name}-{self.ids.new('', 6)}", region)]
        bucket = self.objects.bucket(bucket_name(account, name), account, region)
        params = {
            "Name": name,
            "ExecutionRoleArn": f"arn:aws:iam::{account}:role/airflow-{name}",
            "SourceBucketArn": f"arn:aws:s3:::{bucket.name}",
            "DagS3Path": "dags",
            "NetworkConfiguration": {"SubnetIds": list(subnets), "SecurityGroupIds": list(groups)},
            "WebserverAccessMode": access,
            "EndpointManagement": management,
            "AirflowVersion": version,
            "Tags": tags or {},
        }
        self.mwaa.call("CreateEnvironment", caller, params)
        return self.mwaa.get(caller, name)

    def airflow(self, environment: Environment, dags: Sequence[Record] = ()) -> Airflow:
        """The double in an environment; with ``dags`` (see ``Airflow``) a new one that has them."""
        if dags:
            version = environment.setting("AirflowVersion")
            self.front_door.attach(environment, Airflow(version, self.clock.now, dags))
        found = self.front_door.airflow(environment)
        assert isinstance(found, Airflow)
        return found

    def delete_environment(self, environment: Environment) -> None:
        self.mwaa.call("DeleteEnvironment", environment.caller, {"Name": environment.name})

    def endpoints(self, vpc_id: str | None = None) -> list[Endpoint]:
        """Every endpoint Describe would show to its owner, of all accounts."""
        return [e for e in self.ec2.endpoints.living() if vpc_id in (None, e.vpc_id)]

    def groups(self, account: str, region: str = "us-east-1") -> list[Group]:
        """The account's own groups."""
        return [g for g in self.ec2.groups.visible(Caller(account, region)) if g.owner == account]

    def calls(self, pattern: str = "*") -> list[Entry]:
        """The journal's attempts whose operation matches (``ec2:Create*``)."""
        return [entry for entry in self.journal if fnmatchcase(entry.operation, pattern)]

    def _record_event(self, account: str, region: str, entry: Record) -> None:
        self.delivered.append(delivery(account, region, entry, self.ids.new("", 32), self.clock.now()))

    # ------------------------------------------------------------------ the wire
    def answer(self, service: str, name: str, request: AWSPreparedRequest) -> AWSResponse:
        """One HTTP request, answered; raises what the network or the process would."""
        with self._lock:
            wire = WIRES[service]
            attempt = self._attempt(wire, name, request)
            rule = self.faults.strike(attempt)
            fault = rule.kind if rule else None
            if fault is not None and not fault.takes_effect:
                return self._failed(wire, attempt, fault, request.url)
            answered = self.respond(wire, name, attempt, request)
            effect = answered.error is None and not (name.startswith(_READS) or airflow_reads(attempt.params))
            self.journal.append(Entry(attempt, effect, answered.result if effect else None, answered.error, fault))
            if fault is Kind.TIMED_OUT_AFTER:
                raise ReadTimeoutError(endpoint_url=request.url)
            if fault is Kind.KILLED_AFTER:
                raise Killed(attempt.operation)
            return answered.response

    def respond(self, wire: Wire, name: str, attempt: Attempt, request: AWSPreparedRequest) -> Answered:
        """Run the operation that a request asks for."""
        try:
            result = self._run(wire, name, attempt, _credential(request)[0])
        except AwsError as error:
            refusal = wire.error(request.url, error.status, error.code, error.message, error.members)
            return Answered(refusal, None, error.code)
        return Answered(wire.ok(request.url, name, result), result, None)

    def visit(self, request: AWSPreparedRequest) -> AWSResponse:
        """One request to the index of a CodeArtifact repository; raises what the network or the process would."""
        with self._lock:
            visit = Visit(self.packages, request)
            rule = self.faults.strike(visit.attempt)
            fault = rule.kind if rule else None
            self.journal.append(Entry(visit.attempt, False, None, fault.value if fault else None, fault))
            return visit.answer(fault)

    def command(self, request: AWSPreparedRequest) -> AWSResponse:
        """One Airflow command that is sent to a web server; raises what the network or the process would."""
        with self._lock:
            command = Command(self.front_door, request)
            rule = self.faults.strike(command.attempt)
            fault = rule.kind if rule else None
            answer = command.run(fault)
            effect, error = command.result(answer)
            self.journal.append(Entry(command.attempt, effect, {} if effect else None, error, fault))
            return command.outcome(fault, answer)

    def _failed(self, wire: Wire, attempt: Attempt, fault: Kind, url: str) -> AWSResponse:
        status, code = wire.failure(fault)
        self.journal.append(Entry(attempt, False, None, code or fault.value, fault))
        if fault is Kind.RESET_BEFORE:
            raise ConnectionClosedError(endpoint_url=url)
        if fault is Kind.KILLED_BEFORE:
            raise Killed(attempt.operation)
        return wire.error(url, status, code, "injected")

    def _attempt(self, wire: Wire, name: str, request: AWSPreparedRequest) -> Attempt:
        key, region = _credential(request)
        account, role = self.small.principal(key)
        params = wire.parse(name, request)
        return Attempt(f"{wire.prefix}:{name}", account, region, role, params, header(request, "amz-sdk-invocation-id"))

    def _run(self, wire: Wire, name: str, attempt: Attempt, key: str) -> Record:
        caller = Caller(attempt.account, attempt.region)
        if wire.prefix == "ec2":
            if self.ec2.untagged(name, attempt.params):  # without IAM every condition on tags decides
                raise AwsError("UnauthorizedOperation", "You are not authorized to perform this operation.", 403)
            return self.ec2.call(name, caller, attempt.params)
        if wire.prefix == "airflow" and name in OPERATIONS:
            return self.front_door.call(name, caller, attempt.params, Visitor(attempt.role, AIRFLOW_ROLES, self.vpc))
        if wire.prefix == "airflow":
            return self.mwaa.call(name, caller, attempt.params)
        if wire.prefix == "s3":
            return self.objects.call(name, caller, attempt.params)
        if wire.prefix == "codeartifact":
            return self.packages.call(name, caller, attempt.params, self.small.rights(key))
        return self.small.call(wire.prefix, name, caller, attempt.params)


_active: list[InProcessAws] = []


def bucket_name(account: str, environment: str) -> str:
    """The bucket of an environment that ``create_environment`` makes."""
    return f"airflow-{account}-{environment}".lower().replace("_", "-")


def _credential(request: AWSPreparedRequest) -> tuple[str, str]:
    """Access key and Region of a signed request."""
    scope = header(request, "Authorization").split("Credential=", 1)[1].split("/", 4)
    return scope[0], scope[2]


def _before_send(request: AWSPreparedRequest, event_name: str, **_kwargs: Any) -> AWSResponse | None:
    if not _active:
        return None
    _, service, name = event_name.split(".")
    answer = _active[-1].answer(service, name, request)
    return bodiless(answer) if request.method == "HEAD" else answer


# Every botocore session made after this import asks us before it sends; without an active cloud it sends as usual.
botocore.handlers.BUILTIN_HANDLERS.append(("before-send", _before_send))


@contextmanager
def in_process(
    cloud: Cloud | None = None,
    *,
    account: str = "111111111111",
    region: str = "us-east-1",
    role: str | None = None,
    kind: type[InProcessAws] = InProcessAws,
) -> Iterator[InProcessAws]:
    """Answer every boto3 client of this process until the block ends.

    Ambient credentials are those of ``role`` (an ARN) or of the account. Sessions must be made after this module is
    imported. ``kind``: ``MotoAws``, for example.
    """
    aws = kind(cloud or Cloud(clock=StillClock()))
    hidden = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ambient = {
        **hidden,
        "AWS_ACCESS_KEY_ID": aws.small.key_of(role) if role else account,
        "AWS_SECRET_ACCESS_KEY": "in-process",
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def pause(seconds: float) -> None:
        aws.slept += seconds

    with ExitStack() as undo:
        undo.enter_context(mock.patch.dict(os.environ, ambient, clear=True))
        undo.enter_context(mock.patch("botocore.endpoint.time", SimpleNamespace(sleep=pause)))
        undo.enter_context(mock.patch("botocore.session.create_loader", _shared_loader))
        undo.enter_context(mock.patch.object(URLLib3Session, "send", _web(aws, URLLib3Session.send)))
        _active.append(aws)
        undo.callback(_active.remove, aws)
        yield aws


def _web(aws: InProcessAws, stock: Any) -> Any:
    """botocore's ``URLLib3Session.send`` with what is not AWS's API: web servers and package indexes."""
    commands = command_lines(aws.command, stock)

    def send(session: Any, request: AWSPreparedRequest) -> AWSResponse:
        answer: AWSResponse = aws.visit(request) if is_index(request.url) else commands(session, request)
        return answer

    return send


def _shared_loader(_search_path: str | None = None) -> Any:
    return models.LOADER

"""The MWAA API: create, get, list, update, delete and tag environments.

Shapes and limits: botocore's mwaa model. What it does not model as an error is a ValidationException here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.cloud import Cloud
from localcloud.model.airflow import Airflow
from localcloud.model.caller import Caller
from localcloud.model.ec2 import Ec2
from localcloud.model.environment import Environment
from localcloud.model.errors import AwsError
from localcloud.model.lifecycle import LifeCycle
from localcloud.model.network import Record

_NAME = re.compile(r"[a-zA-Z][0-9a-zA-Z-_]*")  # botocore EnvironmentName, 80 characters at most
_REQUIRED = ("ExecutionRoleArn", "SourceBucketArn", "DagS3Path", "NetworkConfiguration")
_ACCESS_MODES = ("PRIVATE_ONLY", "PUBLIC_ONLY", "PUBLIC_AND_PRIVATE")
_AT_REST = ("AVAILABLE", "UPDATE_FAILED", "UNAVAILABLE")
_STRATEGIES = ("FORCED", "GRACEFUL")
_PAGE = 25  # botocore ListEnvironmentsInputMaxResultsInteger

Scope = tuple[str, str]


@dataclass
class Mwaa:
    """All environments of all accounts."""

    cloud: Cloud
    ec2: Ec2
    _environments: dict[Scope, dict[str, Environment]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clear()
        self.cloud.clock.on_tick(self.tick)

    def clear(self) -> None:
        """Start anew, after ``ec2.clear()``."""
        self._environments.clear()
        self.life = LifeCycle(self.cloud, self.ec2, self._forget)
        self.ec2.groups.users.append(self._uses)

    def tick(self, now: float) -> None:
        """What is due happens; its events are sent once the model is free again."""
        with self.ec2.lock:
            self.life.tick(now)
        self.life.send_events()

    def call(self, operation: str, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Run one operation, alone; AwsError is its error answer."""
        with self.ec2.lock:
            answer = self._call(operation, caller, params)
        self.life.send_events()
        return answer

    def _call(self, operation: str, caller: Caller, params: Mapping[str, Any]) -> Record:
        match operation:
            case "CreateEnvironment":
                return self.create(caller, params)
            case "GetEnvironment":
                return {"Environment": self.get(caller, params["Name"]).record()}
            case "ListEnvironments":
                return self.names(caller, params)
            case "UpdateEnvironment":
                return self.update(caller, params)
            case "DeleteEnvironment":
                return self.delete(caller, params)
            case "TagResource":
                return self.tag(caller, params)
            case "UntagResource":
                return self.untag(caller, params)
            case "ListTagsForResource":
                return {"Tags": dict(self._by_arn(caller, params["ResourceArn"]).tags)}
            case _:
                raise AwsError("InternalServerException", f"{operation} is not part of this model", 500)

    def get(self, caller: Caller, name: str) -> Environment:
        """The caller's environment of this name; ResourceNotFoundException once it is gone."""
        found = self._scope(caller).get(name)
        if found is None:
            raise AwsError("ResourceNotFoundException", f"Environment not found: {name}", 404)
        return found

    def tags_of(self, caller: Caller, name: str) -> Mapping[str, str]:
        """The tags of an environment, none for one that does not exist."""
        found = self._scope(caller).get(name)
        return found.tags if found else {}

    def names(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Names, at most 25 a page; the token is the last name of the page before."""
        size = int(params.get("MaxResults") or _PAGE)
        if not 1 <= size <= _PAGE:
            raise _invalid(f"MaxResults must be between 1 and {_PAGE}")
        after = params.get("NextToken") or ""
        names = [name for name in sorted(self._scope(caller)) if name > after]
        more = len(names) > size
        return {"Environments": names[:size], "NextToken": names[size - 1] if more else None}

    def create(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Start an environment; its network must be two subnets the account can see, in two zones of one VPC."""
        name = params.get("Name", "")
        if not _NAME.fullmatch(name) or len(name) > 80:
            raise _invalid(f"Invalid environment name: {name!r}")
        missing = [key for key in _REQUIRED if not params.get(key)]
        if missing:
            raise _invalid(f"Missing required parameters: {', '.join(missing)}")
        if name in self._scope(caller):
            raise _invalid(f"An environment with the name {name} already exists")
        if params.get("WebserverAccessMode", "PUBLIC_ONLY") not in _ACCESS_MODES:
            raise _invalid(f"WebserverAccessMode must be one of {', '.join(_ACCESS_MODES)}")
        network = params["NetworkConfiguration"]
        owner, vpc_id = self._checked_subnets(caller, network.get("SubnetIds", []))
        self._check_groups(caller, vpc_id, network.get("SecurityGroupIds", []))
        if owner != caller.account and params.get("EndpointManagement", "SERVICE") != "CUSTOMER":
            raise _invalid("EndpointManagement must be CUSTOMER in a shared VPC")
        tags = self._checked_tags(params.get("Tags", {}))
        settings = {k: v for k, v in params.items() if k not in ("Name", "Tags")}
        ids = self.ec2.ids
        service_account = ids.new("", 12).translate(str.maketrans("abcdef", "123456"))
        environment = Environment(
            caller, name, owner, self.cloud.clock.now(), settings,
            f"arn:aws:sqs:{caller.region}:{service_account}:airflow-celery-{ids.new('', 8)}",
            f"{ids.new('', 32)}.c2.{caller.region}.airflow.amazonaws.com", tags=tags,
        )  # fmt: skip
        self._scope(caller)[name] = environment
        self.life.start(environment)
        return {"Arn": environment.arn}

    def update(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Change settings of an environment at rest; its subnets stay (``UpdateNetworkConfigurationInput``).

        Its workers are replaced: at once by default, once their tasks have ended with GRACEFUL
        (``WorkerReplacementStrategy``, https://docs.aws.amazon.com/mwaa/latest/API/API_UpdateEnvironment.html).
        """
        environment = self.get(caller, params["Name"])
        if environment.status not in _AT_REST:
            raise _invalid(f"Environment {environment.name} cannot be updated in status {environment.status}")
        changes = {k: v for k, v in params.items() if k not in ("Name", "WorkerReplacementStrategy")}
        strategy = params.get("WorkerReplacementStrategy", "FORCED")
        if strategy not in _STRATEGIES:
            raise _invalid(f"WorkerReplacementStrategy must be one of {', '.join(_STRATEGIES)}")
        if network := changes.get("NetworkConfiguration"):
            _, vpc_id = self._checked_subnets(caller, environment.subnets)
            self._check_groups(caller, vpc_id, network["SecurityGroupIds"])
            changes["NetworkConfiguration"] = {"SubnetIds": environment.subnets, **network}
        environment.settings |= changes
        if strategy == "FORCED" and isinstance(environment.airflow, Airflow):
            environment.airflow.stop_tasks()
        self.life.update(environment)
        return {"Arn": environment.arn}

    def delete(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Start the deletion; customers' endpoints are not touched. Which states refuse it is not documented."""
        environment = self.get(caller, params["Name"])
        if environment.status in ("CREATING", "UPDATING", "DELETING"):
            raise _invalid(f"Environment {environment.name} cannot be deleted in status {environment.status}")
        self.life.delete(environment)
        return {}

    def tag(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        environment = self._by_arn(caller, params["ResourceArn"])
        environment.tags = self._checked_tags({**environment.tags, **params["Tags"]})
        return {}

    def untag(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        environment = self._by_arn(caller, params["ResourceArn"])
        environment.tags = {k: v for k, v in environment.tags.items() if k not in params["tagKeys"]}
        return {}

    # ------------------------------------------------------------------ checks
    def _scope(self, caller: Caller) -> dict[str, Environment]:
        return self._environments.setdefault((caller.account, caller.region), {})

    def _forget(self, environment: Environment) -> None:
        self._scope(environment.caller).pop(environment.name, None)

    def _uses(self, group_id: str) -> bool:
        """An environment's interfaces hold its groups until it is gone."""
        return any(group_id in e.groups for scope in self._environments.values() for e in scope.values())

    def _by_arn(self, caller: Caller, arn: str) -> Environment:
        prefix = caller.arn("airflow", "environment/")
        if not arn.startswith(prefix):
            raise AwsError("ResourceNotFoundException", f"Environment not found: {arn}", 404)
        return self.get(caller, arn.removeprefix(prefix))

    def _checked_subnets(self, caller: Caller, subnet_ids: list[str]) -> tuple[str, str]:
        """The owner of the subnets and their VPC."""
        if len(subnet_ids) != 2:
            raise _invalid("SubnetIds must name exactly 2 subnets")
        found = [self.ec2.network.subnet(caller, subnet_id) for subnet_id in subnet_ids]
        subnets = [s for s in found if s is not None]
        if len(subnets) != 2:
            raise _invalid(f"The subnets {', '.join(subnet_ids)} do not all exist")
        if len({s["VpcId"] for s in subnets}) != 1:
            raise _invalid("The subnets must be in one VPC")
        if len({s["AvailabilityZone"] for s in subnets}) != 2:
            raise _invalid("The subnets must be in two Availability Zones")
        return subnets[0]["OwnerId"], subnets[0]["VpcId"]

    def _check_groups(self, caller: Caller, vpc_id: str, group_ids: list[str]) -> None:
        if not 1 <= len(group_ids) <= 5:
            raise _invalid("SecurityGroupIds must name 1 to 5 security groups")
        for group_id in group_ids:
            group = self.ec2.groups.get(group_id)
            if group is None or group.owner != caller.account or group.vpc_id != vpc_id:
                raise _invalid(f"The security group {group_id} does not exist in the VPC {vpc_id}")

    def _checked_tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        if len(tags) > self.ec2.setting("quota.tags_per_resource") or any(k.lower().startswith("aws:") for k in tags):
            raise _invalid("At most 50 tags, and none that starts with aws:")
        return dict(tags)


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)

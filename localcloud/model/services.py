"""Endpoint services: AWS's own in a Region, and those MWAA publishes for its environments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.model.caller import Caller, Ids
from localcloud.model.describe import Fields, apply_filters, page
from localcloud.model.errors import AwsError
from localcloud.model.network import Record

# The services an MWAA network without internet access needs (guide L7690-7699), and what Groundcrew itself calls.
_AWS_SERVICES = frozenset(
    {"airflow.api", "airflow.env", "airflow.ops", "ecr.api", "ecr.dkr", "kms", "logs", "monitoring", "s3", "sqs"}
    | {"codeartifact.api", "codeartifact.repositories", "ec2", "events", "lambda", "secretsmanager", "ssm", "sts"}
)


@dataclass(frozen=True, slots=True)
class Service:
    """An endpoint service and the accounts it can be seen by (None: all)."""

    name: str
    region: str
    private_dns: str | None
    accounts: frozenset[str] | None = None

    def visible_to(self, caller: Caller) -> bool:
        return self.region == caller.region and (self.accounts is None or caller.account in self.accounts)


@dataclass
class EndpointServices:
    """The directory of endpoint services."""

    ids: Ids
    setting: Callable[[str], Any]
    _published: dict[str, Service] = field(default_factory=dict)

    def find(self, caller: Caller, name: str) -> Service | None:
        """The service, if it exists in the caller's Region and the caller's account is allowed to see it."""
        service = self._published.get(name) or self._aws(caller.region, name)
        return service if service is not None and service.visible_to(caller) else None

    def _aws(self, region: str, name: str) -> Service | None:
        short = name.removeprefix(f"com.amazonaws.{region}.")
        if short not in _AWS_SERVICES:
            return None
        host = ".".join(reversed(short.split(".")))
        return Service(name, region, f"{host}.{region}.amazonaws.com")

    def describe(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """DescribeVpcEndpointServices: what the caller's account can see."""
        aws = [self._aws(caller.region, f"com.amazonaws.{caller.region}.{short}") for short in sorted(_AWS_SERVICES)]
        seen = [s for s in (*aws, *self._published.values()) if s is not None and s.visible_to(caller)]
        wanted = params.get("ServiceNames") or []
        if missing := set(wanted) - {service.name for service in seen}:
            raise AwsError("InvalidServiceName", f"The Vpc Endpoint Service '{min(missing)}' does not exist")
        seen = [service for service in seen if not wanted or service.name in wanted]
        found = apply_filters(seen, params.get("Filters", []), _FILTERS, lambda _: {})
        items, token = page(found, params)
        types = list(self.setting("vpce.address_types"))
        details = [
            {
                "ServiceName": service.name,
                "ServiceType": [{"ServiceType": "Interface"}],
                "PrivateDnsName": service.private_dns,
                "SupportedIpAddressTypes": types,
            }
            for service in items
        ]
        return {"ServiceNames": [s.name for s in items], "ServiceDetails": details, "NextToken": token}

    def publish(self, region: str, account: str) -> Service:
        """A service of MWAA's for one environment, visible to one account: the owner of its subnets.

        Name: botocore mwaa ``VpcEndpointServiceName``; other accounts get InvalidServiceName (guide L8275-8286).
        """
        name = self.ids.new(f"com.amazonaws.vpce.{region}.vpce-svc-")
        private = f"{self.ids.new('', 12)}.airflow.{region}.on.aws" if self.setting("vpce.mwaa_private_dns") else None
        service = Service(name, region, private, frozenset({account}))
        self._published[name] = service
        return service

    def withdraw(self, name: str) -> None:
        """Delete a published service."""
        self._published.pop(name, None)


_FILTERS: Fields = {"service-name": lambda service: [service.name], "service-type": lambda _: ["Interface"]}

"""VPC endpoints: what CreateVpcEndpoint checks, what Describe shows, how endpoints come and go.

States follow from the clock when somebody looks; nothing has to tick. Sources: botocore's ec2 model for shapes and
defaults, the EC2 API's error code list
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html), the VPC user guide for sharing and
quotas, guide L8275-8286 for services of another account. Gateway endpoints are stored, not routed.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from localcloud.model.caller import Caller, Ids
from localcloud.model.describe import Fields, apply_filters, check_tags, page, tags_from
from localcloud.model.endpoint import FULL_ACCESS, Endpoint, settles_in
from localcloud.model.errors import AwsError
from localcloud.model.groups import SecurityGroups, Setting
from localcloud.model.network import Network, Record, address_families
from localcloud.model.services import EndpointServices, Service


class VpcEndpoints:
    """All endpoints of all accounts."""

    def __init__(
        self,
        network: Network,
        groups: SecurityGroups,
        services: EndpointServices,
        ids: Ids,
        setting: Setting,
        now: Callable[[], float],
    ) -> None:
        self._network = network
        self._groups = groups
        self._services = services
        self._ids = ids
        self._setting = setting
        self._now = now
        self._endpoints: dict[str, Endpoint] = {}
        self._by_service: defaultdict[str, list[Endpoint]] = defaultdict(list)
        self._tokens: dict[tuple[str, str, str], tuple[str, str, float]] = {}
        groups.users.append(self._uses)

    # ------------------------------------------------------------------ look
    def living(self) -> Iterator[Endpoint]:
        """Everything Describe would show, in order of creation."""
        now = self._now()
        return (e for e in self._endpoints.values() if e.state(now) != "deleted")

    def of_service(self, service: str) -> list[Endpoint]:
        """The endpoints for a service that nobody has deleted."""
        return [e for e in self._by_service[service] if e.gone_at is None]

    def get(self, endpoint_id: str) -> Endpoint | None:
        endpoint = self._endpoints.get(endpoint_id)
        return None if endpoint is None or endpoint.state(self._now()) == "deleted" else endpoint

    def own(self, caller: Caller, endpoint_id: str) -> Endpoint:
        """An endpoint of the caller's account and Region."""
        endpoint = self.get(endpoint_id)
        if endpoint is None or (endpoint.owner, endpoint.region) != (caller.account, caller.region):
            raise AwsError("InvalidVpcEndpointId.NotFound", f"The Vpc Endpoint Id '{endpoint_id}' does not exist")
        return endpoint

    def _uses(self, group_id: str) -> bool:
        """Has an endpoint interfaces in the group? Until it is gone, a deleting one has."""
        return any(group_id in e.groups for e in self.living())

    def describe(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        wanted = params.get("VpcEndpointIds") or []
        now, lag = self._now(), self._setting("ec2.describe_lag_seconds")
        scope = (caller.account, caller.region)
        own = [
            e
            for e in self.living()
            if (e.owner, e.region) == scope and now >= e.created + lag and (not wanted or e.endpoint_id in wanted)
        ]
        missing = set(wanted) - {e.endpoint_id for e in own}
        if missing:
            raise AwsError("InvalidVpcEndpointId.NotFound", f"The Vpc Endpoint Id '{min(missing)}' does not exist")
        fields: Fields = {**_FILTERS, "vpc-endpoint-state": lambda e: [e.state(now)]}
        found = apply_filters(own, params.get("Filters", []), fields, lambda e: e.tags)
        items, token = page(found, params)
        return {"VpcEndpoints": [self.record(e) for e in items], "NextToken": token}

    # ------------------------------------------------------------------ create
    def create(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """A new endpoint, or the one the same ``ClientToken`` made before, whatever became of that one since.

        Idempotency: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
        """
        token = params.get("ClientToken") or ""
        asked = json.dumps({k: v for k, v in params.items() if k != "ClientToken"}, sort_keys=True)
        key, now = (caller.account, caller.region, token), self._now()
        if token and key in self._tokens and now < self._tokens[key][2]:
            before, endpoint_id, _ = self._tokens[key]
            if before != asked:
                raise AwsError(
                    "IdempotentParameterMismatch",
                    "The client token has already been used with different request parameters.",
                )
            return {"VpcEndpoint": self.record(self._endpoints[endpoint_id]), "ClientToken": token}
        endpoint = self._checked(caller, params)
        if token:
            until = now + self._setting("vpce.token_retention_seconds")
            self._tokens[key] = asked, endpoint.endpoint_id, until
        return {"VpcEndpoint": self.record(endpoint), "ClientToken": token or None}

    def _checked(self, caller: Caller, params: Mapping[str, Any]) -> Endpoint:
        name, vpc_id = params.get("ServiceName", ""), params.get("VpcId", "")
        service = self._services.find(caller, name)
        if service is None:
            raise AwsError("InvalidServiceName", f"The Vpc Endpoint Service '{name}' does not exist")
        vpc = self._network.vpc(caller, vpc_id)
        if vpc is None:
            raise AwsError("InvalidVpcId.NotFound", f"The Vpc Id '{vpc_id}' does not exist")
        if vpc["OwnerId"] != caller.account:
            # VPC sharing: participants manage no endpoints of a shared VPC; the code is not documented
            raise AwsError("OperationNotPermitted", f"You do not own the VPC '{vpc_id}'.")
        kind = params.get("VpcEndpointType") or "Gateway"
        subnets = list(dict.fromkeys(params.get("SubnetIds", [])))
        self._check_subnets(caller, vpc_id, subnets)
        address_type = params.get("IpAddressType") or "ipv4"
        if kind == "Interface":
            self._check_address_type(caller, address_type, subnets)
        groups = list(dict.fromkeys(params.get("SecurityGroupIds", [])))
        if kind == "Interface" and not groups:
            groups = [g.group_id for g in self._groups.visible(caller) if (g.vpc_id, g.name) == (vpc_id, "default")]
        self._check_groups(caller, vpc_id, groups)
        tags = tags_from(params.get("TagSpecifications", []), "vpc-endpoint")
        check_tags(tags, self._setting("quota.tags_per_resource"))
        private_dns = kind == "Interface" and self._private_dns(service, params)
        if private_dns:
            self._check_dns_conflict(vpc_id, name)
        if kind == "Interface":
            self._check_quota(vpc_id)
        return self.add(
            caller, service, vpc_id, subnets, groups,
            kind=kind, private_dns=private_dns, tags=tags, policy=_policy(params),
            route_tables=params.get("RouteTableIds", []), address_type=address_type,
        )  # fmt: skip

    def add(
        self,
        caller: Caller,
        service: Service,
        vpc_id: str,
        subnets: list[str],
        groups: list[str],
        *,
        kind: str = "Interface",
        private_dns: bool = False,
        tags: dict[str, str] | None = None,
        policy: str = FULL_ACCESS,
        route_tables: Iterable[str] = (),
        requester_managed: bool = False,
        address_type: str = "ipv4",
    ) -> Endpoint:
        """An endpoint without checks (those an AWS service makes for itself in a customer's VPC)."""
        now = self._now()
        outcomes = {} if requester_managed else self._setting("vpce.outcomes")
        outcome = next(
            (state for pattern, state in outcomes.items() if fnmatchcase(service.name, pattern)), "available"
        )
        if not settles_in(outcome):
            raise ValueError(f"vpce.outcomes: {outcome!r} is no state an endpoint settles in")
        endpoint = Endpoint(
            self._ids.new("vpce-"), kind, vpc_id, service.name, caller.account, caller.region, now,
            now + self._setting("vpce.pending_seconds") if kind == "Interface" else now,
            outcome, subnets, groups, list(route_tables), private_dns, service.private_dns, policy, tags or {},
            {subnet: self._ids.new("eni-") for subnet in subnets}, requester_managed=requester_managed,
            address_type=address_type,
        )  # fmt: skip
        self._endpoints[endpoint.endpoint_id] = endpoint
        self._by_service[service.name].append(endpoint)
        return endpoint

    def _check_subnets(self, caller: Caller, vpc_id: str, subnets: list[str]) -> None:
        zones: set[str] = set()
        for subnet_id in subnets:
            subnet = self._network.subnet(caller, subnet_id)
            if subnet is None:
                raise AwsError("InvalidSubnetId.NotFound", f"The subnet ID '{subnet_id}' does not exist")
            if subnet["VpcId"] != vpc_id:
                raise AwsError("InvalidParameter", f"Subnet {subnet_id} does not belong to VPC {vpc_id}")
            if subnet["AvailabilityZone"] in zones:
                raise AwsError(
                    "DuplicateSubnetsInSameZone",
                    f"Found another VPC endpoint subnet in the availability zone of {subnet_id}",
                )
            zones.add(subnet["AvailabilityZone"])

    def _check_address_type(self, caller: Caller, address_type: str, subnets: list[str]) -> None:
        """``ipv4`` needs IPv4 ranges in all subnets, ``ipv6`` subnets with IPv6 only, ``dualstack`` both in all; the
        service must accept it (https://docs.aws.amazon.com/vpc/latest/privatelink/create-interface-endpoint.html).
        The code of the refusal is not documented.
        """
        wanted = {"ipv4": {"ipv4"}, "ipv6": {"ipv6"}, "dualstack": {"ipv4", "ipv6"}}.get(address_type)
        if wanted is None or not wanted <= set(self._setting("vpce.address_types")):
            raise AwsError("InvalidParameter", f"The service does not support the IP address type {address_type}.")
        for subnet_id in subnets:
            families = address_families(self._network.subnet(caller, subnet_id) or {})
            if not wanted <= families or (address_type == "ipv6" and families != wanted):
                raise AwsError(
                    "InvalidParameter", f"The subnet {subnet_id} does not support the IP address type {address_type}."
                )

    def _check_groups(self, caller: Caller, vpc_id: str, groups: list[str]) -> None:
        """Groups of the caller's own in the endpoint's VPC: an owner cannot attach a participant's (VPC sharing)."""
        if len(groups) > self._setting("quota.security_groups_per_interface"):
            raise AwsError("SecurityGroupsPerInterfaceLimitExceeded", "Too many security groups for one interface.")
        for group_id in groups:
            if self._groups.own(caller, group_id).vpc_id != vpc_id:
                raise AwsError("InvalidParameter", f"Security group {group_id} does not belong to VPC {vpc_id}")

    def _private_dns(self, service: Service, params: Mapping[str, Any]) -> bool:
        asked = params.get("PrivateDnsEnabled")
        if asked is None:
            return service.private_dns is not None and bool(self._setting("vpce.private_dns_default"))
        if asked and service.private_dns is None:
            raise AwsError(
                "InvalidParameter",
                f"Private DNS can't be enabled because the service {service.name} does not provide a private DNS name.",
            )
        return bool(asked)

    def _check_dns_conflict(self, vpc_id: str, service: str) -> None:
        """One private zone per service and VPC (seen in amazon-mwaa-examples issue 76)."""
        if any(e.private_dns and (e.vpc_id, e.service) == (vpc_id, service) for e in self.living()):
            raise AwsError(
                "InvalidParameter",
                "private-dns-enabled cannot be set because there is already a conflicting DNS domain"
                f" for {service} in the VPC {vpc_id}",
            )

    def _check_quota(self, vpc_id: str) -> None:
        used = sum(e.kind == "Interface" and e.vpc_id == vpc_id for e in self.living())
        if used >= self._setting("quota.interface_endpoints_per_vpc"):
            raise AwsError("VpcEndpointLimitExceeded", "The maximum number of VPC endpoints has been reached.")

    # ------------------------------------------------------------------ change
    def modify(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Subnets, groups, policy and private DNS of an endpoint; all checked before any is changed."""
        endpoint = self.own(caller, params["VpcEndpointId"])
        if endpoint.requester_managed:
            raise AwsError(
                "OperationNotPermitted", f"The endpoint '{endpoint.endpoint_id}' is managed by an AWS service."
            )
        if endpoint.gone_at is not None:
            raise AwsError("IncorrectState", f"The endpoint '{endpoint.endpoint_id}' is being deleted.")
        subnets = _changed(endpoint.subnets, params.get("AddSubnetIds", []), params.get("RemoveSubnetIds", []))
        groups = _changed(
            endpoint.groups, params.get("AddSecurityGroupIds", []), params.get("RemoveSecurityGroupIds", [])
        )
        self._check_subnets(caller, endpoint.vpc_id, subnets)
        if endpoint.kind == "Interface":
            self._check_address_type(caller, endpoint.address_type, subnets)
        self._check_groups(caller, endpoint.vpc_id, groups)
        if endpoint.kind == "Interface" and endpoint.groups and not groups:
            raise AwsError("InvalidParameter", "An interface endpoint needs at least one security group.")
        policy = FULL_ACCESS if params.get("ResetPolicy") else _policy(params, endpoint.policy)
        if "PrivateDnsEnabled" in params and bool(params["PrivateDnsEnabled"]) != endpoint.private_dns:
            if params["PrivateDnsEnabled"]:
                self._check_dns_conflict(endpoint.vpc_id, endpoint.service)
            endpoint.private_dns = bool(params["PrivateDnsEnabled"])
        endpoint.subnets, endpoint.groups, endpoint.policy = subnets, groups, policy
        endpoint.interfaces = {s: endpoint.interfaces.get(s) or self._ids.new("eni-") for s in subnets}
        return {"Return": True}

    def delete(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Each endpoint on its own: what cannot be deleted is listed, the call itself succeeds.

        The item's code is ``InvalidVpcEndpoint.NotFound``, without "Id" (as terraform-provider-aws matches it).
        """
        failed = []
        for endpoint_id in params.get("VpcEndpointIds", []):
            try:
                endpoint = self.own(caller, endpoint_id)
            except AwsError as error:
                failed.append(_unsuccessful(endpoint_id, "InvalidVpcEndpoint.NotFound", error.message))
                continue
            if endpoint.requester_managed:
                message = "The endpoint is managed by an AWS service."
                failed.append(_unsuccessful(endpoint_id, "OperationNotPermitted", message))
            else:
                self.remove(endpoint)
        return {"Unsuccessful": failed}

    def remove(self, endpoint: Endpoint) -> None:
        """Start the deletion, once."""
        if endpoint.gone_at is None:
            endpoint.gone_at = self._now() + self._setting("vpce.deleting_seconds")

    def record(self, endpoint: Endpoint) -> Record:
        """An endpoint as EC2 shows it to its owner."""
        upper = self._setting("vpce.state_case") == "UpperCamel"
        return endpoint.record(self._now(), upper, self._group_name)

    def _group_name(self, group_id: str) -> str:
        group = self._groups.get(group_id)
        return group.name if group else ""


def _changed(current: list[str], add: Iterable[str], remove: Iterable[str]) -> list[str]:
    gone = set(remove)
    return list(dict.fromkeys([i for i in current if i not in gone] + [i for i in add if i not in gone]))


def _policy(params: Mapping[str, Any], default: str = FULL_ACCESS) -> str:
    text = params.get("PolicyDocument") or default
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict) or "Statement" not in document:
        raise AwsError("InvalidPolicyDocument", "The policy document is not valid.")
    return str(text)


def _unsuccessful(endpoint_id: str, code: str, message: str) -> Record:
    return {"ResourceId": endpoint_id, "Error": {"Code": code, "Message": message}}


_FILTERS: Fields = {
    "vpc-id": lambda e: [e.vpc_id],
    "service-name": lambda e: [e.service],
    "vpc-endpoint-id": lambda e: [e.endpoint_id],
    "vpc-endpoint-type": lambda e: [e.kind],
}

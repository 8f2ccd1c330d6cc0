"""The EC2 operations of the model by name: parameters in botocore's shape in, the answer's shape out."""

import threading
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.cloud import Cloud
from localcloud.model.access import Resources, named_in
from localcloud.model.caller import Caller, Ids
from localcloud.model.describe import check_tags
from localcloud.model.endpoint import Endpoint
from localcloud.model.endpoints import VpcEndpoints
from localcloud.model.errors import AwsError
from localcloud.model.groups import Group, SecurityGroups
from localcloud.model.network import Network, NetworkPort, Record
from localcloud.model.services import EndpointServices
from localcloud.model.switches import switch

Operation = Callable[[Caller, Mapping[str, Any]], Record]


@dataclass
class Ec2:
    """Networks, endpoint services, security groups and VPC endpoints of one cloud."""

    cloud: Cloud
    port: NetworkPort
    ids: Ids

    def __post_init__(self) -> None:
        self.lock = threading.RLock()  # of everything in the model, environments too
        self.clear()

    def clear(self) -> None:
        """Start anew: no endpoint, no group, no service. The networks are the port's."""
        now = self.cloud.clock.now
        self.network = Network(self.port, self.cloud.shares)
        self.services = EndpointServices(self.ids, self.setting)
        self.groups = SecurityGroups(self.network, self.ids, self.setting, now)
        self.endpoints = VpcEndpoints(self.network, self.groups, self.services, self.ids, self.setting, now)
        groups, endpoints, network = self.groups, self.endpoints, self.network
        self._named: set[str] = set()  # groups and endpoints that a call has named since their creation
        self.operations: Mapping[str, Operation] = {
            "DescribeVpcs": network.describe_vpcs,
            "DescribeSubnets": network.describe_subnets,
            "DescribeRouteTables": network.describe_route_tables,
            "DescribeVpcEndpointServices": self.services.describe,
            "CreateVpcEndpoint": endpoints.create,
            "DescribeVpcEndpoints": endpoints.describe,
            "ModifyVpcEndpoint": endpoints.modify,
            "DeleteVpcEndpoints": endpoints.delete,
            "CreateSecurityGroup": groups.create,
            "DescribeSecurityGroups": groups.describe,
            "DescribeSecurityGroupRules": groups.describe_rules,
            "DeleteSecurityGroup": groups.delete,
            "AuthorizeSecurityGroupIngress": lambda caller, p: groups.authorize(caller, p, egress=False),
            "AuthorizeSecurityGroupEgress": lambda caller, p: groups.authorize(caller, p, egress=True),
            "RevokeSecurityGroupIngress": lambda caller, p: groups.revoke(caller, p, egress=False),
            "RevokeSecurityGroupEgress": lambda caller, p: groups.revoke(caller, p, egress=True),
            "CreateTags": self.create_tags,
            "DeleteTags": self.delete_tags,
        }

    def setting(self, name: str) -> Any:
        return switch(self.cloud.switches, name)

    def call(self, operation: str, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Run one operation, alone; AwsError is its error answer."""
        found = self.operations.get(operation)
        if found is None:
            raise AwsError("InvalidAction", f"The action {operation} is not valid for this web service.")
        with self.lock:
            return found(caller, params)

    def in_use(self, network_id: str) -> bool:
        """Is there an endpoint in this VPC or subnet, or a group besides the default one in this VPC?"""
        with self.lock:
            endpoints = any(network_id in (e.vpc_id, *e.subnets) for e in self.endpoints.living())
            return endpoints or self.groups.any_in(network_id)

    def untagged(self, operation: str, params: Mapping[str, Any]) -> frozenset[str]:
        """Groups and endpoints whose tags IAM does not see at this call: new ones, at the first call that changes them
        or puts something behind them (switch ``ec2.first_call_untagged_seconds``).
        """
        if operation.startswith("Describe"):
            return frozenset()
        now, seconds = self.cloud.clock.now(), self.setting("ec2.first_call_untagged_seconds")
        with self.lock:
            named = {name: self.groups.get(name) or self.endpoints.get(name) for name in named_in(params)}
            first = {name for name, found in named.items() if found and now < found.created + seconds} - self._named
            self._named |= first
            return frozenset(first)

    def resources(self, caller: Caller, untagged: Container[str] = ()) -> Resources:
        """What authorization needs to know, with other resources' records from the networks; the tags of ``untagged``
        are not seen.
        """

        def record(resource_id: str) -> Record | None:
            region = caller.region
            return self.port.subnets(region).get(resource_id) or self.port.vpcs(region).get(resource_id)

        def found(resource_id: str) -> Group | Endpoint | None:
            return self.groups.get(resource_id) or self.endpoints.get(resource_id)

        def tags(resource_id: str) -> Mapping[str, str] | None:
            if (ours := found(resource_id)) is not None:
                return {} if resource_id in untagged else ours.tags
            network = record(resource_id)
            return self.port.tags(network, resource_id, caller.region) if network else None

        def owner(resource_id: str) -> str | None:
            ours, network = found(resource_id), record(resource_id)
            return ours.owner if ours else network["OwnerId"] if network else None

        def vpc(resource_id: str) -> str | None:
            ours, network = found(resource_id), record(resource_id)
            return ours.vpc_id if ours else network["VpcId"] if network else None

        return Resources(tags, owner, vpc)

    def _own_tags(self, caller: Caller, resource_id: str) -> dict[str, str]:
        if resource_id.startswith("sg-"):
            return self.groups.own(caller, resource_id).tags
        if resource_id.startswith("vpce-"):
            return self.endpoints.own(caller, resource_id).tags
        raise AwsError("InvalidID", f"The ID '{resource_id}' is not valid")

    def create_tags(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Add or overwrite tags, on all resources or none."""
        new = {tag["Key"]: tag.get("Value", "") for tag in params["Tags"]}
        current = [self._own_tags(caller, resource_id) for resource_id in params["Resources"]]
        check_tags(new, self.setting("quota.tags_per_resource"))
        for tags in current:
            if len(tags | new) > self.setting("quota.tags_per_resource"):
                raise AwsError("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
        for tags in current:
            tags.update(new)
        return {}

    def delete_tags(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Remove tags by key, or by key and value where a value is given; without tags, all of the user's."""
        current = [self._own_tags(caller, resource_id) for resource_id in params["Resources"]]
        listed = params.get("Tags")
        for tags in current:
            if not listed:
                tags.clear()
            for tag in listed or []:
                if tags.get(tag["Key"]) == tag.get("Value", tags.get(tag["Key"])):
                    tags.pop(tag["Key"], None)
        return {}

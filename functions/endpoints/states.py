"""What the state of an endpoint says that waiting cannot cure. Pure."""

from endpoints.plan import Finding
from groundcrew.network import VpcEndpoint

NOT_ACCEPTED = "pendingacceptance"
"""The service's owner has to let the connection in (EC2 ``State`` of a VPC endpoint, lower case)."""

FAILED = frozenset({"failed", "rejected", "expired"})
"""States in which an endpoint ends without ever having served, or after it was cut off."""


def not_accepted(endpoint: VpcEndpoint) -> Finding:
    """The service's owner, which is MWAA, has not accepted an endpoint."""
    return Finding(
        cause="EndpointNotAccepted",
        evidence=f"{endpoint.id} for {endpoint.service} waits to be accepted by the owner of the service",
        remedy="MWAA accepts the endpoints of its environments itself: ask AWS Support, naming the endpoint.",
    )


def rejected(endpoint: VpcEndpoint) -> Finding:
    """An endpoint has come to nothing, and is made anew by each sweep."""
    return Finding(
        cause="EndpointRejected",
        evidence=f"{endpoint.id} for {endpoint.service} is {endpoint.state}",
        remedy="Groundcrew makes it anew, once for each sweep; if that does not help, ask AWS Support.",
    )

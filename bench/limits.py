"""AWS's limits on how often it may be called, as token buckets per account, Region and operation."""

from collections.abc import Callable
from dataclasses import dataclass, field

LATENCY = 0.1
"""Seconds that a call takes. Assumed: AWS promises none."""

NON_MUTATING, MUTATING = (100, 20.0), (50, 5.0)
"""Capacity and refill per second. https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html (table
"Request token bucket sizes and refill rates"), which all following EC2 numbers are from as well."""

EC2 = {
    "CreateVpcEndpoint": (4, 0.3),
    "DeleteVpcEndpoints": (4, 0.3),
    "ModifyVpcEndpoint": (4, 0.3),
    "CreateTags": (100, 10.0),
}
OTHERS = {
    # 40 TPS. https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-throughput.html
    "ssm:GetParameter": (40, 40.0),
    # 600 per second. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html ("STS request quotas")
    "sts:AssumeRole": (600, 600.0),
    # 10,000 entries per second in us-east-1, 10 of them a call.
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
    "events:PutEvents": (1000, 1000.0),
    # Assumed: no quota of MWAA's own API is documented.
    "airflow:GetEnvironment": (20, 10.0),
    "airflow:ListEnvironments": (20, 10.0),
}


def bucket_of(operation: str) -> tuple[int, float]:
    """Capacity and refill of an operation (``ec2:CreateVpcEndpoint``); of what is not limited here, infinite ones."""
    service, _, name = operation.partition(":")
    if service != "ec2":
        return OTHERS.get(operation, (10**9, 10.0**9))
    return EC2.get(name, NON_MUTATING if name.startswith("Describe") else MUTATING)


@dataclass
class Limits:
    """All buckets; full at first."""

    now: Callable[[], float]
    throttled: int = 0
    _left: dict[tuple[str, str, str], tuple[float, float]] = field(default_factory=dict)  # tokens, and when

    def take(self, account: str, region: str, operation: str) -> bool:
        """Whether a call is let through."""
        capacity, refill = bucket_of(operation)
        now, key = self.now(), (account, region, operation)
        tokens, then = self._left.get(key, (float(capacity), now))
        tokens = min(capacity, tokens + (now - then) * refill)
        allowed = tokens >= 1
        self._left[key] = (tokens - allowed, now)
        self.throttled += not allowed
        return allowed

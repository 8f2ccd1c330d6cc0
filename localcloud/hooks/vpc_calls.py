"""Which VPC a call comes from: the one of the function whose invocation it was made in, told by the trace id."""

from typing import Any

from ministack.services import lambda_svc

from localcloud.cloud import Cloud
from localcloud.hooks import ec2

_vpcs: dict[str, str] = {}  # trace id of an invocation -> its function's VPC


def install(cloud: Cloud) -> None:
    """After ``functions.install``, which gives every invocation a trace id."""
    lambda_svc._xray_trace_id_for_invocation = _remembered(lambda_svc._xray_trace_id_for_invocation)
    cloud.on_reset(_vpcs.clear)


def vpc_of(trace: str | None) -> str | None:
    """The VPC behind a trace id as the SDK sends it; None for calls of no function, or of one without VpcConfig."""
    return _vpcs.get(trace or "")


def _remembered(stock: Any) -> Any:
    def trace(config: dict[str, Any], inbound: str | None = None) -> str:
        found = str(stock(config, inbound))
        if subnets := (config.get("VpcConfig") or {}).get("SubnetIds"):
            subnet = ec2.model().network.subnet(ec2.caller(), subnets[0])
            if subnet is not None:
                _vpcs[found] = subnet["VpcId"]
        return found

    return trace

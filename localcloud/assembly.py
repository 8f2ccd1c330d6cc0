"""Puts the local cloud together: ministack with every hook installed, behind the front.

Importing this module imports ministack, which reads its settings from the environment right then: see ``server.py``.
"""

from pathlib import Path

from localcloud.cloud import Cloud
from localcloud.control import Control
from localcloud.front import Front
from localcloud.hooks import (
    clock,
    cloudformation,
    cloudwatch,
    delivery,
    ec2,
    eventbridge,
    functions,
    identity,
    invocations,
    mwaa,
    nat,
    ram,
    sqs,
    stacksets,
)


def assemble(cloud: Cloud, endpoint: str, interpreter: Path, scratch: Path) -> Front:
    """The ASGI application, ticking. Once per process: the hooks replace names of ministack's modules."""
    identity.install(cloud)
    clock.install(cloud)
    sqs.install(cloud)
    eventbridge.install(cloud)
    delivery.install(cloud)
    runtime = functions.install(interpreter, scratch / "layers", endpoint)
    invocations.install(cloud)
    cloudwatch.install(cloud)
    cloudformation.install(cloud)
    ec2.install(cloud)
    mwaa.install(cloud)
    nat.install()
    ram.install(cloud)
    stacksets.install(cloud)
    clock.start_ticking(cloud)
    return Front(cloud, Control(cloud, {"endpoint": endpoint, "runtime": runtime}))


def stop() -> None:
    """End every function process."""
    functions.stop_workers()

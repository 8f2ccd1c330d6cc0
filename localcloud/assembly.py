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
    codeartifact,
    delivery,
    dynamodb,
    ec2,
    eventbridge,
    functions,
    identity,
    invocations,
    mwaa,
    nat,
    policy_variables,
    ram,
    s3,
    s3_encryption,
    schedules,
    secrets,
    sqs,
    stacksets,
    stepfunctions,
    transformers,
    vpc_calls,
    vpc_functions,
)
from localcloud.packages import PackageIndex
from localcloud.tls import Authority
from localcloud.webserver import WebServer


def assemble(cloud: Cloud, endpoint: str, interpreter: Path, scratch: Path) -> Front:
    """The ASGI application, ticking. Once per process: the hooks replace names of ministack's modules."""
    identity.install(cloud)
    clock.install(cloud)
    sqs.install(cloud)
    eventbridge.install(cloud)
    delivery.install(cloud)
    schedules.install()
    s3.install(cloud)
    policy_variables.install()
    s3_encryption.install()
    secrets.install()
    transformers.install(cloud)
    authority = Authority(scratch / "tls")
    server = WebServer(cloud, authority)
    runtime = functions.install(cloud, interpreter, scratch / "layers", endpoint, authority.certificate)
    vpc_calls.install(cloud)
    invocations.install(cloud)
    cloudwatch.install(cloud)
    cloudformation.install(cloud, runtime)
    stepfunctions.install(cloud)
    dynamodb.install()
    ec2.install(cloud)
    vpc_functions.install(cloud)
    server.door = mwaa.install(cloud, server.address)
    packages = PackageIndex(cloud, codeartifact.install(cloud), authority, scratch / "packages")
    cloud.on_reset(packages.clear)
    nat.install()
    ram.install(cloud)
    stacksets.install(cloud)
    clock.start_ticking(cloud)
    facts = {"endpoint": endpoint, "runtime": runtime, "authority": str(authority.certificate)}
    return Front(cloud, Control(cloud, facts, server.door, packages))


def stop() -> None:
    """End every function process."""
    functions.stop_workers()

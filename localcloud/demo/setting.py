"""Step ``deploy``: a local cloud, Groundcrew on it, and a shared VPC that somebody uses already."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud import deploy
from localcloud.__main__ import up
from localcloud.aws import Aws
from localcloud.client import Client
from localcloud.demo.report import Step
from localcloud.demo.view import DIM, GREEN, RED, View
from localcloud.fleet import Network
from localcloud.installation import HUB, REGION, SPOKES, deploy_hub, deploy_shared_vpc, deploy_spoke

LOOK_SECONDS = 0.2
SETTLE_SECONDS = 60.0


@dataclass(frozen=True)
class Setting:
    """Where the demonstration plays."""

    cloud: Client
    aws: Aws
    shared: Network


@dataclass
class _Job:
    label: str
    future: Future[Any]
    started: float
    seconds: float = 0.0


def prepare(directory: Path, view: View, step: Step, beside: Callable[[Client], None]) -> Setting:
    """Start and deploy everything; what does not need another thing runs beside it, and ``beside`` is called as soon as
    the cloud is up.

    Raises ``DeployError`` or ``RuntimeError`` with what the failing tool said.
    """
    with ThreadPoolExecutor() as pool:
        jobs: list[_Job] = []

        def run(label: str, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
            job = _Job(label, pool.submit(work, *arguments), time.monotonic())
            jobs.append(job)
            return job.future

        cloud_is_up = run("local cloud", up, directory)
        built = run("sam build", deploy.build, deploy.ROOT / "template.yaml", directory / "build")
        _watch(view, jobs, cloud_is_up.done)
        cloud: Client = cloud_is_up.result()
        runtime = cloud.status()["runtime"]
        if runtime not in (deploy.ROOT / "template.yaml").read_text():
            view.say(f"  Functions run on {runtime} here, this machine's; the template offers newer ones, for AWS.")
        beside(cloud)
        shared = run(f"shared VPC in {HUB}, the hub", _shared_vpc, cloud)
        spokes = [run(f"spoke in {account}", deploy_spoke, cloud, account) for account in (HUB, *SPOKES)]
        _watch(view, jobs, lambda: built.done() and shared.done())
        network, network_stack = shared.result()
        hub = run(f"hub in {HUB}, with a place in that VPC", _hub, cloud, built.result(), network)
        _watch(view, jobs, lambda: all(job.future.done() for job in jobs))
        view.close()
        stacks = [hub.result(), *(one.result() for one in spokes), network_stack]
    step.facts["endpoint"] = cloud.endpoint
    step.facts["stacks"] = [
        {"stack": one.stack, "account": one.account, "region": one.region, "seconds": round(one.seconds, 1)}
        for one in stacks
    ]
    return Setting(cloud, Aws(cloud), network)


def _watch(view: View, jobs: list[_Job], done: Callable[[], bool]) -> None:
    """Show how the jobs get on until ``done``; the first that fails ends it."""
    while True:
        for job in jobs:
            if job.future.done() and not job.seconds:
                job.seconds = time.monotonic() - job.started
        view.show([_line(view, job) for job in jobs])
        failed = [job.future for job in jobs if job.future.done() and job.future.exception() is not None]
        if failed:
            failed[0].result()
        if done() and all(job.seconds for job in jobs if job.future.done()):
            return
        time.sleep(LOOK_SECONDS)


def _line(view: View, job: _Job) -> str:
    if not job.future.done():
        return f"  {view.paint('..', DIM)}  {job.label}"
    if job.future.exception() is not None:
        return f"  {view.paint('!!', RED)}  {job.label}"
    return f"  {view.paint('ok', GREEN)}  {job.label:32} {view.paint(f'{job.seconds:.1f} s', DIM)}"


def _hub(cloud: Client, built: Path, network: Network) -> deploy.Deployed:
    """The hub; its functions that ask Airflow live in the shared VPC, from where they reach private web servers."""
    ec2 = Aws(cloud).client("ec2", HUB, REGION)
    group = ec2.create_security_group(GroupName="functions", Description="Groundcrew", VpcId=network.vpc_id)["GroupId"]
    return deploy_hub(cloud, built, place=(network.subnet_ids, (group,)))


def _shared_vpc(cloud: Client) -> tuple[Network, deploy.Deployed]:
    """The shared VPC, and in it another team's SQS endpoint: environments may use it, Groundcrew must not touch it."""
    network, stack = deploy_shared_vpc(cloud)
    ec2 = Aws(cloud).client("ec2", HUB, REGION)
    group = ec2.create_security_group(GroupName="billing", Description="Another team", VpcId=network.vpc_id)["GroupId"]
    endpoint_id = ec2.create_vpc_endpoint(
        VpcEndpointType="Interface",
        VpcId=network.vpc_id,
        ServiceName=f"com.amazonaws.{REGION}.sqs",
        SubnetIds=list(network.subnet_ids),
        SecurityGroupIds=[group],
    )["VpcEndpoint"]["VpcEndpointId"]
    deadline = time.monotonic() + SETTLE_SECONDS
    while ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint_id])["VpcEndpoints"][0]["State"] != "available":
        if time.monotonic() > deadline:
            raise RuntimeError(f"{endpoint_id}, the other team's endpoint, did not become available")
        time.sleep(LOOK_SECONDS)
    return network, stack

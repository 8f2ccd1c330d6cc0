"""Builds and deploys the real templates with the real SAM CLI, onto a running local cloud.

One deploy at a time: ministack's SAM transform sets AWS_DEFAULT_REGION for its whole process while it runs.
"""

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.aws import SECRET, Aws
from localcloud.client import Client

ROOT = Path(__file__).resolve().parent.parent
SAM = "LOCALCLOUD_SAM"
BUCKET = "groundcrew-artifacts"

LAYERS = {
    "LAYER_PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
    "LAYER_PLATFORM": f"manylinux_2_28_{platform.machine()}",
}
"""What compiled layers are built for (``layers/duckdb/Makefile``): this machine, which runs the functions here."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack as it is now, and how long its deployment took."""

    stack: str
    account: str
    region: str
    outputs: dict[str, str]
    seconds: float


class DeployError(Exception):
    """The SAM CLI failed; the message is the end of what it said, and the stack's failed resources."""


def build(template: Path = ROOT / "template.yaml", directory: Path = ROOT / ".aws-sam/build") -> Path:
    """``sam build``; returns the built template. Needs no cloud."""
    _sam("build", "--template", str(template), "--build-dir", str(directory), environment=LAYERS)
    return directory / "template.yaml"


def deploy(
    cloud: Client,
    template: Path,
    *,
    stack: str,
    account: str,
    region: str = "us-east-1",
    parameters: Mapping[str, str] | None = None,
) -> Deployed:
    """``sam deploy`` of a built or a plain template; waits until it is done. Raises ``DeployError``.

    The template's parameters ``Runtime`` and ``VerifyRuntime``, if any, are set to the only one this cloud can serve.
    """
    started = time.monotonic()
    overrides = dict(parameters or {})
    for runtime in ("Runtime", "VerifyRuntime"):
        if f"\n  {runtime}:" in template.read_text():
            overrides.setdefault(runtime, cloud.status()["runtime"])
    command = [
        "deploy", "--template-file", str(template), "--stack-name", stack, "--region", region,
        "--s3-bucket", _bucket(cloud, account, region), "--s3-prefix", stack,
        "--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND",
        "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar",
    ]  # fmt: skip
    if overrides:
        command += ["--parameter-overrides", *(f"{key}={value}" for key, value in sorted(overrides.items()))]
    try:
        _sam(*command, environment=_credentials(cloud, account, region))
    except DeployError as error:
        raise DeployError(f"{error}\n{_failures(cloud, stack, account, region)}") from error
    return Deployed(stack, account, region, outputs(cloud, stack, account, region), time.monotonic() - started)


def outputs(cloud: Client, stack: str, account: str, region: str) -> dict[str, str]:
    """The outputs of a deployed stack."""
    formation = Aws(cloud).client("cloudformation", account, region)
    described = formation.describe_stacks(StackName=stack)["Stacks"][0]
    return {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}


def remove(cloud: Client, stack: str, account: str, region: str = "us-east-1") -> None:
    """Delete a stack and wait until it is gone. Raises botocore's ``WaiterError`` if it cannot be deleted."""
    formation = Aws(cloud).client("cloudformation", account, region)
    stack_id = formation.describe_stacks(StackName=stack)["Stacks"][0]["StackId"]
    formation.delete_stack(StackName=stack)
    formation.get_waiter("stack_delete_complete").wait(
        StackName=stack_id, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )


def _bucket(cloud: Client, account: str, region: str) -> str:
    """Where the SAM CLI uploads to; bucket names are global."""
    name = f"{BUCKET}-{account}-{region}"
    s3 = Aws(cloud).client("s3", account, region)
    if name not in {one["Name"] for one in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(
            Bucket=name,
            **({} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}),
        )
    return name


def _credentials(cloud: Client, account: str, region: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_DEFAULT_REGION": region,
    }


def _failures(cloud: Client, stack: str, account: str, region: str) -> str:
    formation = Aws(cloud).client("cloudformation", account, region)
    try:
        events = formation.describe_stack_events(StackName=stack)["StackEvents"]
    except formation.exceptions.ClientError:  # it never got as far as a stack
        return ""
    failed = [one for one in events if one["ResourceStatus"].endswith("_FAILED")]
    return "\n".join(f"{one['LogicalResourceId']}: {one.get('ResourceStatusReason', '')}" for one in reversed(failed))


def _sam(*arguments: str, environment: Mapping[str, str]) -> None:
    """Run the SAM CLI in the project, with nothing of the developer's own AWS configuration."""
    sam = os.environ.get(SAM) or str(ROOT / ".tools/sam/bin/sam")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    uv = next(iter(sorted((ROOT / ".tools/uv").glob("*/bin/uv"))), None) or shutil.which("uv")
    path = os.pathsep.join(filter(None, [str(uv.parent) if isinstance(uv, Path) else "", inherited.get("PATH", "")]))
    finished = subprocess.run(
        [sam, *arguments],
        cwd=ROOT,
        env={
            **inherited,
            "PATH": path,
            "SAM_CLI_POLL_DELAY": "0.2",  # seconds; nobody throttles here
            "SAM_CLI_TELEMETRY": "0",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise DeployError(f"sam {arguments[0]} failed:\n{finished.stdout[-4000:]}")

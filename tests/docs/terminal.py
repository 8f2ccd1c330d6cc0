"""Types the documents' commands into a real shell: a copy of the repository, the real tools, the local cloud."""

import os
import shutil
import subprocess
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from localcloud import deploy
from localcloud.aws import SECRET
from localcloud.client import Client
from tests.docs.commands import ROOT, commands

HUB, SPOKE = "111111111111", "222222222222"
REGION = "us-east-1"

# What stands for the reader's own values: the account, stack and output that they are taken from.
PLACEHOLDERS = {
    "vpc-0123456789abcdef0": (HUB, "shared-vpc", "VpcId"),
    "subnet-0123456789abcdef0,subnet-0123456789abcdef1": (HUB, "shared-vpc", "PrivateSubnets"),
    "BUCKET": (SPOKE, "analytics", "BucketName"),
}
# Commands that are not typed here, by their program, and why.
ELSEWHERE = {"make": ".ci/run runs the targets; test_commands.py compares"}


@dataclass(frozen=True)
class Terminal:
    """A folder that holds the repository as a reader has it after cloning it, and the tools on PATH."""

    cloud: Client
    folder: Path
    tools: Path

    @classmethod
    def open(cls, cloud: Client, directory: Path) -> "Terminal":
        folder, tools = directory / "groundcrew", directory / "bin"
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for file in filter(None, files.split("\0")):
            if (ROOT / file).exists():  # a deleted file may still be listed
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, folder / file, follow_symlinks=False)
        tools.mkdir()
        (tools / "sam").symlink_to(ROOT / ".tools/sam/bin/sam")
        # Version 1 sends SQS's commands to AWS whatever AWS_ENDPOINT_URL says, so it is told in its own words, too.
        aws = tools / "aws"
        aws.write_text(f'#!/bin/sh\nexec {ROOT}/.tools/aws/bin/aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"\n')
        aws.chmod(0o755)
        return cls(cloud, folder, tools)

    def type(self, command: str, account: str, answers: str = "") -> str:
        """Run a command in an account, literally but for the placeholders; what it prints on stdout."""
        for placeholder, (owner, stack, output) in PLACEHOLDERS.items():
            if placeholder in command:
                command = command.replace(placeholder, deploy.outputs(self.cloud, stack, owner, REGION)[output])
        finished = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self._environment(account),
            input=answers,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, f"{command}\n{finished.stdout[-4000:]}\n{finished.stderr[-4000:]}"
        return finished.stdout

    def _environment(self, account: str) -> dict[str, str]:
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
            **deploy.LAYERS,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_PAGER": "",
            "PATH": f"{self.tools}{os.pathsep}{os.environ['PATH']}",
            "SAM_CLI_POLL_DELAY": "0.2",  # seconds; nobody throttles here
            "SAM_CLI_TELEMETRY": "0",
        }


class Script:
    """The commands of one document, typed one after the other."""

    def __init__(self, document: str, terminal: Terminal) -> None:
        self.terminal = terminal
        self.left = deque(one for one in commands(document) if one.split()[0] not in ELSEWHERE)

    def type(self, beginning: str, *accounts: str, answers: str = "") -> str:
        """The next command, which begins so, in each of the accounts; what the last of them prints."""
        command, printed = self.left.popleft(), ""
        assert command.startswith(beginning)
        for account in accounts:
            printed = self.terminal.type(command, account, answers)
        return printed

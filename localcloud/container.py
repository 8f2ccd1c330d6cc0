"""A container of an environment, started as MWAA starts one: the startup script first, then the requirements.

A shell sources the script as MWAA's wrapper does (``container.sh``), and a real pip installs into a new virtual
environment; nothing else of MWAA's image is there.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WRAPPER = Path(__file__).with_name("container.sh")
SCRIPT = ROOT / "layers/airflow/startup/tokens.sh"
BASH = "/bin/bash"  # what MWAA runs the wrapper with
CONSTRAINT = re.compile(r"-c |--constraint ")  # how MWAA finds out whether requirements have constraints of their own
# what a developer's own configuration may set, and a container's has not
_SETTINGS = ("constraint", "extra-index-url", "find-links", "no-index", "trusted-host")


@dataclass(frozen=True, slots=True)
class Started:
    """How the startup script ended: ``exported`` is what later processes get, None if the container does not start."""

    status: int
    log: str
    exported: Mapping[str, str] | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Installed:
    """How an installation ended; MWAA only logs it."""

    status: int
    log: str


@dataclass
class Container:
    """``home`` is a folder of its own; ``variables`` are what MWAA and AWS would set, credentials included.

    ``public`` is the index that pip has of its own, in PyPI's place; ``authority`` what the container trusts;
    ``clock`` says by how many seconds its clock is ahead of this machine's.
    """

    home: Path
    variables: Mapping[str, str]
    public: str
    authority: str
    shell: str = BASH
    component: str = "scheduler"
    clock: float = 0.0
    _started: dict[str, str] = field(default_factory=dict)

    def start(self, script: Path) -> Started:
        """Run the startup script; its status is the wrapper's."""
        dump = self.home / "customer_env_vars.json"
        dump.unlink(missing_ok=True)
        began = time.monotonic()
        ended = _run([self.shell, str(WRAPPER), str(script), str(dump)], self._environment())
        seconds = time.monotonic() - began
        exported = json.loads(dump.read_text()) if dump.exists() and ended.returncode == 0 else None
        self._started = exported or {}
        return Started(ended.returncode, ended.stdout, exported, seconds)

    def install(self, requirements: str, constraints: str = "") -> Installed:
        """Install requirements (the file's text) into a new environment, as MWAA does after the script."""
        python = self._new_environment()
        files = {"requirements.txt": requirements, "constraints.txt": constraints}
        for name, text in files.items():
            (self.home / name).write_text(text)
        command = [str(ROOT / ".tools/cloud/bin/python"), "-m", "pip", "--python", str(python), "install"]
        command += ["--no-input", "--retries", "0", "-r", str(self.home / "requirements.txt")]
        if not any(CONSTRAINT.search(line) for line in requirements.splitlines()):
            command += ["-c", str(self.home / "constraints.txt")]
        ended = _run(command, {**self._environment(), **self._started})
        return Installed(ended.returncode, ended.stdout)

    def version(self, package: str) -> str | None:
        """What the last installation made of a package."""
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        ended = subprocess.run([self.home / "venv/bin/python", "-c", code], check=False, capture_output=True, text=True)
        return ended.stdout.strip() or None

    def _environment(self) -> dict[str, str]:
        """A container's whole environment: nothing of this process passes through."""
        clock = self.home / "clock"
        clock.mkdir(parents=True, exist_ok=True)
        (clock / "sitecustomize.py").write_text(
            f"import time\n\ntime.time = lambda real=time.time: real() + {self.clock}\n"
        )
        runtime = ROOT / ".tools/runtime/bin"  # its python3 has boto3, as the image's has
        return {
            "AIRFLOW_HOME": str(self.home),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "MWAA_AIRFLOW_COMPONENT": self.component,
            "PATH": os.pathsep.join([str(runtime), "/usr/local/bin", "/usr/bin", "/bin"]),
            "PIP_CERT": self.authority,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_CACHE_DIR": "1",
            "PYTHONPATH": str(clock),
            **self.variables,
        }

    def _new_environment(self) -> Path:
        venv = self.home / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(venv)], check=True)
        # the environment's own configuration wins over this machine's
        lines = ["[global]", f"index-url = {self.public}", *(f"{name} =" for name in _SETTINGS)]
        (venv / "pip.conf").write_text("\n".join([*lines, ""]))
        return venv / "bin/python"


def startup_script(bucket: str, key: str, *, before: str = "", after: str = "", **settings: Any) -> str:
    """Groundcrew's startup script for an object, with the customer's lines around it: see the script's README."""
    defaults = {"on_missing": "fail", "private_web_server": False, "fallback": None, "then": None}
    chosen = {"object": {"bucket": bucket, "key": key}, **defaults, **settings}
    header = f"GROUNDCREW_SETTINGS={shlex.quote(json.dumps(chosen))}"
    return "\n".join([before, header, SCRIPT.read_text(), after, ""])


def credentials(keys: Mapping[str, str], region: str, endpoint: str) -> dict[str, str]:
    """The variables by which a container finds AWS, and its execution role's session."""
    return {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL": endpoint,
    }


def _run(command: list[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, timeout=300,
    )  # fmt: skip

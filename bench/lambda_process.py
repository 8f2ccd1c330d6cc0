"""A function's process as AWS Lambda runs it: its own interpreter, AWS's runtime client, a Runtime API to ask for work.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import os
import queue
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.http_server import Door, Server
from bench.results import NotMeasured

ROOT = Path(__file__).parents[1]
INTERPRETER = ROOT / ".tools/runtime/bin/python"
LONGEST = 120
"""Seconds an invocation may take."""

HUB, REGION = "111111111111", "us-east-1"
NEXT = "/2018-06-01/runtime/invocation/next"


@dataclass(frozen=True, slots=True)
class Code:
    """A function's package and its layers' ``python`` folder, both unpacked, and the handler in it."""

    package: Path
    handler: str
    layer: Path | None = None


@dataclass
class FunctionProcess:
    """A running function; one invocation at a time."""

    started: float
    pid: int
    _work: "queue.Queue[bytes]" = field(default_factory=queue.Queue)
    _done: "queue.Queue[tuple[float, str, bytes]]" = field(default_factory=queue.Queue)

    def invoke(self, event: Mapping[str, Any]) -> tuple[Any, float]:
        """The handler's answer, and when it came (``time.perf_counter``).

        Raises:
            NotMeasured: the handler failed, or did not end.
        """
        self._work.put(json.dumps(event).encode())
        try:
            at, path, body = self._done.get(timeout=LONGEST)
        except queue.Empty:
            raise NotMeasured(f"no answer within {LONGEST} s") from None
        if not path.endswith("/response"):
            raise NotMeasured(f"the function failed: {body.decode(errors='replace')[:2000]}")
        return json.loads(body), at

    @property
    def peak_megabytes(self) -> float:
        """The most memory the process has held so far (``VmHWM``, proc(5))."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        assert found
        return int(found[1]) / 1024


@contextmanager
def function_process(
    code: Code, variables: Mapping[str, str], interpreter: Path = INTERPRETER
) -> Iterator[FunctionProcess]:
    """Start a function; end it with the block."""
    server = _RuntimeApi(_Door)
    server.start()
    env = {**_environment(code, server.server_port), **variables}
    command = [str(interpreter), "-s", "-P", "-m", "awslambdaric", code.handler]
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=code.package, env=env, stdout=output, stderr=output)
        server.function = FunctionProcess(started, process.pid)
        try:
            yield server.function
        except NotMeasured as error:
            output.seek(0)
            raise NotMeasured(f"{code.handler}: {error}\n{output.read().decode(errors='replace')[-2000:]}") from error
        finally:
            process.kill()
            process.wait()
            server.stop()


def _environment(code: Code, port: int) -> dict[str, str]:
    """What Lambda sets for every function, as far as runtime client, SDK and Powertools read it.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
    """
    return {
        "_HANDLER": code.handler,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_REGION": REGION,
        "HOME": "/tmp",
        "LAMBDA_TASK_ROOT": str(code.package),
        "LANG": "en_US.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(str(path) for path in (code.package, code.layer) if path),
        # Package and layers are read-only in Lambda, so what the build did not compile is compiled at every cold start
        "PYTHONDONTWRITEBYTECODE": "1",
        "TZ": ":UTC",
    }


class _RuntimeApi(Server):
    function: FunctionProcess


class _Door(Door):
    server: _RuntimeApi

    def do_GET(self) -> None:
        """Wait for work: ``/runtime/invocation/next``."""
        event = self.server.function._work.get()
        self.send_response(200)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + LONGEST) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:{REGION}:{HUB}:function:bench",
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
            "Content-Type": "application/json",
            "Content-Length": str(len(event)),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(event)

    def do_POST(self) -> None:
        """Take an answer (``…/response``) or an error."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.function._done.put((time.perf_counter(), self.path, body))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

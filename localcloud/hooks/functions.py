"""Lambda's execution environment: python functions run under AWS's own runtime client, in an interpreter of their own.

The interpreter sees what Lambda shows: the runtime client and boto3, layers, the package, and nothing of this host.
https://docs.aws.amazon.com/lambda/latest/dg/python-package.html#python-package-searchpath
"""

import hashlib
import io
import os
import secrets
import shutil
import subprocess
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime
from ministack.core.responses import error_response_json, get_region
from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

from localcloud.cloud import Cloud
from localcloud.model.switches import switch

VARIABLES_BYTES = 4096
CUSTOM_RUNTIME = "provided.al2023"  # ministack serves the Lambda Runtime API to these only
BOOTSTRAP = '#!/bin/sh\nexec "$LOCALCLOUD_PYTHON" -s -P -m awslambdaric "$_HANDLER"\n'


def install(cloud: Cloud, interpreter: Path, layers: Path, endpoint: str, authority: Path) -> str:
    """Run python functions with ``interpreter``; returns the one runtime it can serve, e.g. "python3.11".

    ``layers`` is a folder for unpacked layers, ``endpoint`` where functions find AWS, ``authority`` the certificate
    that they trust.
    """
    environments = _Environments(cloud.switches, interpreter, layers, endpoint, authority)
    lambda_svc._provided_runtime_code_dir = _with_bootstrap(lambda_svc._provided_runtime_code_dir)
    lambda_svc._provided_worker_env = environments.variables
    lambda_svc._execute_function_dispatch = _as_custom_runtime(lambda_svc._execute_function_dispatch)
    lambda_svc._xray_trace_id_for_invocation = _traced(lambda_svc._xray_trace_id_for_invocation)
    lambda_svc._create_function = environments.only_served(lambda_svc._create_function)
    lambda_svc._update_config = environments.only_served_update(lambda_svc._update_config)
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    handlers["create"] = environments.only_served_resource(handlers["create"])
    return environments.runtime


class _Environments:
    def __init__(
        self, switches: Mapping[str, Any], interpreter: Path, layers: Path, endpoint: str, authority: Path
    ) -> None:
        self.switches = switches
        self.interpreter = interpreter
        self.layers = layers
        self.endpoint = endpoint
        self.authority = authority
        version = "import sys; print('python%d.%d' % sys.version_info[:2])"
        self.runtime = subprocess.run(
            [interpreter, "-I", "-c", version], check=True, capture_output=True, text=True
        ).stdout.strip()

    def variables(self, config: dict[str, Any], task_root: str, port: int) -> dict[str, str]:
        """A function's whole environment: nothing of the cloud's own process passes through.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
        """
        name, region = config["FunctionName"], get_region()
        opt = self._unpacked(config.get("Layers") or [])
        site = opt / "python" / "lib" / self.runtime / "site-packages"
        return {
            **lambda_svc._runtime_env_vars(config),
            **lambda_svc.execution_credentials(config),
            "_HANDLER": config["Handler"],
            "AWS_CA_BUNDLE": str(self.authority),  # of the web servers; AWS itself is plain HTTP here
            "AWS_ENDPOINT_URL": self.endpoint,
            # MWAA's operations prefix the host ("api."), which no local name resolves
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{self.runtime}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_REGION": region,
            "LAMBDA_TASK_ROOT": task_root,
            "LANG": "en_US.UTF-8",
            "LOCALCLOUD_PYTHON": str(self.interpreter),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join([task_root, str(site), str(opt / "python")]),
            "PYTHONUNBUFFERED": "1",
            "TZ": ":UTC",
        }

    def only_served(self, stock: Any) -> Any:
        def create(data: dict[str, Any]) -> Any:
            problem = self._problem(data)
            return error_response_json("InvalidParameterValueException", problem, 400) if problem else stock(data)

        return create

    def only_served_update(self, stock: Any) -> Any:
        def update(name: str, data: dict[str, Any]) -> Any:
            problem = self._problem(data)
            return error_response_json("InvalidParameterValueException", problem, 400) if problem else stock(name, data)

        return update

    def only_served_resource(self, stock: Any) -> Any:
        def create(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
            if problem := self._problem(properties):
                raise ValueError(f"Resource handler returned message: {problem}")
            return stock(logical_id, properties, stack)

        return create

    def _problem(self, function: Mapping[str, Any]) -> str | None:
        """Why a function cannot be created, or changed so.

        Compiled wheels and syntax fit one interpreter, so another Runtime would run something else than it says.
        https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html for the rest.
        """
        runtime = function.get("Runtime")
        if runtime and runtime.startswith("python") and runtime != self.runtime:
            return f"Only {self.runtime} functions run here, not {runtime}: deploy with Runtime={self.runtime}"
        most = switch(self.switches, "quota.lambda_memory_mb")
        if int(function.get("MemorySize") or 0) > most:
            return (
                "1 validation error detected: Value at 'memorySize' failed to satisfy constraint: "
                f"Member must have value less than or equal to {most}"
            )
        variables = (function.get("Environment") or {}).get("Variables") or {}
        if sum(len(f"{name}{value}".encode()) for name, value in variables.items()) > VARIABLES_BYTES:
            return (
                "Lambda was unable to configure your environment variables because the environment variables you have "
                "provided exceeded the 4KB limit."
            )
        return None

    def _unpacked(self, attachments: list[Any]) -> Path:
        """The folder that is /opt for this list of layers."""
        contents = [content for one in attachments if (content := lambda_svc._resolve_layer_zip(one))]
        digest = hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in contents)).hexdigest()[:24]
        opt = self.layers / digest
        if not opt.is_dir():
            partial = self.layers / f"{digest}.{os.urandom(4).hex()}"
            partial.mkdir(parents=True)
            for content in contents:
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    lambda_svc._extract_zip_preserving_mode(archive, str(partial))
            try:
                partial.rename(opt)
            except OSError:  # another worker was faster
                shutil.rmtree(partial, ignore_errors=True)
        return opt


def _with_bootstrap(stock: Any) -> Any:
    def code_dir(package: bytes) -> str:
        folder = str(stock(package))
        bootstrap = Path(folder, "bootstrap")
        with lambda_svc._provided_code_lock:  # no process may be started while this file is open for writing
            if not bootstrap.exists():
                bootstrap.write_text(BOOTSTRAP)
                bootstrap.chmod(0o755)
        return folder

    return code_dir


def _traced(stock: Any) -> Any:
    """Every invocation has a trace id, sampled or not; stock gives one only with active tracing.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
    """

    def trace(config: dict[str, Any], inbound: str | None = None) -> str:
        fresh = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
        return str(stock(config, inbound) or fresh)

    return trace


def _as_custom_runtime(stock: Any) -> Any:
    def dispatch(function: Any, config: Any, event: Any, request_id: str, started: float) -> Any:
        if str(config.get("Runtime", "")).startswith("python"):
            config = {**config, "Runtime": CUSTOM_RUNTIME}
            function = {**function, "config": config}
        return stock(function, config, event, request_id, started)

    return dispatch


def stop_workers() -> None:
    """End every function process."""
    lambda_runtime.reset()

"""Assembles the local cloud in one process and serves it on 127.0.0.1."""

import asyncio
import importlib
import importlib.util
import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.cloud import Cloud


@dataclass(frozen=True)
class Options:
    """What a server needs to know; ``directory`` holds everything it writes."""

    port: int
    directory: Path
    interpreter: Path  # of the functions
    organization: str
    accounts: frozenset[str]


def assemble(options: Options) -> Any:
    """The ASGI application: ministack with every hook installed. Once per process."""
    scratch = options.directory / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    endpoint = f"http://127.0.0.1:{options.port}"
    # ministack reads its settings when it is imported
    os.environ.update(
        AUTH="true",
        AWS_ENDPOINT_URL=endpoint,
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(options.port),
        IOT_MTLS_ENABLED="0",
        LAMBDA_EXECUTOR="local",
        MINISTACK_HOST="127.0.0.1",
        TMPDIR=str(scratch),
    )
    tempfile.tempdir = None  # look at TMPDIR again

    from localcloud.control import Control
    from localcloud.front import Front
    from localcloud.hooks import (
        clock,
        cloudformation,
        cloudwatch,
        delivery,
        eventbridge,
        functions,
        identity,
        invocations,
        sqs,
    )

    cloud = Cloud(organization=options.organization, accounts=options.accounts)
    identity.install(cloud)
    clock.install(cloud)
    eventbridge.install(cloud)
    delivery.install(cloud)
    runtime = functions.install(cloud, options.interpreter, scratch / "layers", endpoint)
    invocations.install(cloud)
    sqs.install(cloud)
    cloudwatch.install(cloud)
    cloudformation.install(cloud)
    for name in ("ec2", "mwaa"):
        if importlib.util.find_spec(f"localcloud.hooks.{name}"):
            importlib.import_module(f"localcloud.hooks.{name}").install(cloud)
    clock.start_ticking(cloud)
    return Front(cloud, Control(cloud, {"endpoint": endpoint, "runtime": runtime}))


def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT, then end every function process."""
    import hypercorn.asyncio
    import hypercorn.config

    application = assemble(options)
    config = hypercorn.config.Config()
    config.bind = [f"127.0.0.1:{options.port}"]
    config.graceful_timeout = 1
    config.keep_alive_timeout = 75

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)

        async def stopped() -> None:
            await stop.wait()

        await hypercorn.asyncio.serve(application, config, shutdown_trigger=stopped)

    try:
        asyncio.run(run())
    finally:
        from localcloud.hooks import functions

        functions.stop_workers()

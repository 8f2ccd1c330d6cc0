"""Serves the local cloud on 127.0.0.1, in this process; runs in .tools/cloud."""

import asyncio
import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

import hypercorn.asyncio
import hypercorn.config

from localcloud.cloud import Cloud


@dataclass(frozen=True)
class Options:
    """What a server needs to know; ``directory`` holds everything it writes."""

    port: int
    directory: Path
    interpreter: Path  # of the functions
    organization: str
    accounts: frozenset[str]


def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT, then end every function process."""
    scratch = options.directory / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    endpoint = f"http://127.0.0.1:{options.port}"
    os.environ.update(
        AUTH="true",
        AWS_ENDPOINT_URL=endpoint,
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(options.port),
        IOT_MTLS_ENABLED="0",
        LAMBDA_EXECUTOR="local",
        MINISTACK_HOST="127.0.0.1",
        S3_DATA_DIR=str(scratch / "s3"),
        STATE_DIR=str(scratch / "state"),
        TMPDIR=str(scratch),
    )
    tempfile.tempdir = None  # look at TMPDIR again
    from localcloud import assembly  # noqa: PLC0415 - ministack reads the settings above when it is imported

    cloud = Cloud(organization=options.organization, accounts=options.accounts)
    application = assembly.assemble(cloud, endpoint, options.interpreter, scratch)
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
        assembly.stop()

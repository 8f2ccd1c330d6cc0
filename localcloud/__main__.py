"""``python -m localcloud up|down|status|serve``: the local cloud as a background process.

``up`` needs nothing but the standard library: the server itself runs in .tools/cloud.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

from localcloud.client import Client, ControlError

ROOT = Path(__file__).resolve().parent.parent
CLOUD_PYTHON = "LOCALCLOUD_CLOUD_PYTHON"
RUNTIME_PYTHON = "LOCALCLOUD_RUNTIME_PYTHON"
READY_SECONDS = 30.0
STOP_SECONDS = 15.0
ACCOUNTS = "111111111111,222222222222,333333333333"
DIRECTORY = Path(".demo")  # the demo's too, so that `down` stops what it left running


def up(directory: Path, port: int = 0, organization: str = "o-groundcrew01", accounts: str = ACCOUNTS) -> Client:
    """Start a server for this directory and wait until it answers; the running one, if there is one.

    Raises ``RuntimeError`` with the end of the log if it does not come up.
    """
    if (running := _running(directory)) is not None:
        return running
    directory.mkdir(parents=True, exist_ok=True)
    port = port or _free_port()
    python = os.environ.get(CLOUD_PYTHON) or str(ROOT / ".tools/cloud/bin/python")
    command = [
        python, "-m", "localcloud", "serve", "--directory", str(directory.resolve()), "--port", str(port),
        "--organization", organization, "--accounts", accounts,
    ]  # fmt: skip
    pid = _spawn(command, directory / "server.log")
    client = Client(f"http://127.0.0.1:{port}")
    deadline = time.monotonic() + READY_SECONDS
    while _alive(pid) and time.monotonic() < deadline:
        try:
            client.status()
        except ControlError:
            time.sleep(0.05)
            continue
        state = {"pid": pid, "port": port, "endpoint": client.endpoint}
        (directory / "state.json").write_text(json.dumps(state, indent=2) + "\n")
        return client
    _signal(pid, signal.SIGKILL)
    tail = (directory / "server.log").read_text(errors="replace")[-2000:]
    raise RuntimeError(f"the local cloud did not start:\n{tail}")


def down(directory: Path) -> bool:
    """Stop the server and every process it started; False if none was running."""
    state = _state(directory)
    (directory / "state.json").unlink(missing_ok=True)
    if state is None:
        return False
    group = int(str(state["pid"]))
    _signal(group, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _alive(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal(group, signal.SIGKILL)
    shutil.rmtree(directory / "scratch", ignore_errors=True)
    return True


def _spawn(command: list[str], log: Path) -> int:
    """A process of its own session, which outlives this one; its id is also that of its process group."""
    with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
        return os.posix_spawn(
            command[0],
            command,
            {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, nothing.fileno(), 0),
                (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
            ],
            setsid=True,
        )


def _state(directory: Path) -> dict[str, object] | None:
    try:
        state: dict[str, object] = json.loads((directory / "state.json").read_text())
    except FileNotFoundError:
        return None
    pid = int(str(state["pid"]))
    return state if _alive(pid) and _is_ours(pid, directory) else None


def _is_ours(pid: int, directory: Path) -> bool:
    """Whether a process is the server of this directory: after a reboot its number may be another's."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return False
    return "localcloud" in words and str(directory.resolve()) in words


def _running(directory: Path) -> Client | None:
    state = _state(directory)
    return Client(str(state["endpoint"])) if state else None


def _alive(group: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(group, os.WNOHANG)  # a child of this process would stay as a zombie
    return _signal(group, 0)


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _serve(arguments: argparse.Namespace) -> None:
    from localcloud.server import Options, serve  # noqa: PLC0415 - only there where hypercorn is installed

    interpreter = os.environ.get(RUNTIME_PYTHON) or ROOT / ".tools/runtime/bin/python"
    serve(
        Options(
            port=arguments.port,
            directory=arguments.directory.resolve(),
            interpreter=Path(interpreter),
            organization=arguments.organization,
            accounts=frozenset(arguments.accounts.split(",")),
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="localcloud", description=__doc__)
    parser.add_argument("what", choices=["up", "down", "status", "serve"])
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="state, log and scratch files")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--organization", default="o-groundcrew01")
    parser.add_argument("--accounts", default=ACCOUNTS, help="members of the organization, comma separated")
    arguments = parser.parse_args()
    if arguments.what == "serve":
        _serve(arguments)
        return 0
    if arguments.what == "up":
        client = up(arguments.directory, arguments.port, arguments.organization, arguments.accounts)
        print(f"The local cloud is up at {client.endpoint} (log: {arguments.directory}/server.log).")
        return 0
    if arguments.what == "down":
        print("Stopped." if down(arguments.directory) else "Nothing was running.")
        return 0
    running = _running(arguments.directory)
    print(json.dumps(running.status(), indent=2) if running else "Nothing is running.")
    return 0 if running else 1


if __name__ == "__main__":
    sys.exit(main())

"""The real `airflow` command without its start: Airflow is imported once, and each command runs in a fork.

Runs in Airflow's own environment: ``python commands.py SOCKET``. A request is one line of JSON:

    {"command": "dags list"}                         -> a line "code, length of stdout, length of stderr", and both
    {"command": "scheduler", "log": "/.../file"}     -> a line with the process id of one that goes on by itself

A command starts 3 s sooner than `airflow ...` does; the argument parser, the functions, the exit codes are Airflow's.
The only difference: what a module logs when it is imported is not printed (six lines of alembic's in 3.2).
"""

import contextlib
import ctypes
import importlib
import json
import os
import shlex
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

# What the commands import when they run; which of them there are depends on the version.
WARM = (
    "airflow.__main__",
    "airflow.api.client.local_client",
    "airflow.cli.commands.dag_command",
    "airflow.cli.commands.dag_processor_command",
    "airflow.cli.commands.db_command",
    "airflow.cli.commands.scheduler_command",
    "airflow.cli.commands.variable_command",
    "airflow.dag_processing.manager",
    "airflow.executors.local_executor",
    "airflow.jobs.scheduler_job_runner",
    "airflow.models.dagbag",
    "airflow.sdk.execution_time.supervisor",
    "airflow.utils.db_cleanup",
)
_PR_SET_PDEATHSIG = 1


def serve(path: str) -> None:
    """Answer until killed."""
    for name in WARM:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    sys.modules["airflow.__main__"].cli_parser.get_parser()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    listener.listen(64)
    os.rename(f"{path}.new", path)  # what is there answers: between `bind` and `listen` it would refuse
    while True:
        connection, _ = listener.accept()
        with connection:
            _fork(partial(_answer, connection, listener))


def _answer(connection: socket.socket, listener: socket.socket) -> int:
    """In a fork of its own: run the command in another one, which may end as it likes."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    listener.close()
    with connection, connection.makefile("r") as lines:
        request = json.loads(lines.readline())
        if "log" in request:
            pid = _fork(partial(_go_on, request["command"], Path(request["log"]), os.getpid()))
            connection.sendall(f"{pid}\n".encode())
            return 0
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            _, status = os.waitpid(_fork(partial(_run, request["command"], out, err)), 0)
            streams = [_content(out), _content(err)]
        connection.sendall(f"{_code(status)} {len(streams[0])} {len(streams[1])}\n".encode() + b"".join(streams))
    return 0


def _go_on(command: str, log: Path, parent: int) -> int:
    """Run a command that does not end, as a child of whoever adopts orphans, and not longer than it."""
    while os.getppid() == parent:
        time.sleep(0.001)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    with log.open("ab") as output:
        return _run(command, output, output)


def _run(command: str, out: IO[bytes], err: IO[bytes]) -> int:
    """As if `airflow` had been started with these words."""
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    try:
        sys.argv = ["airflow", *shlex.split(command)]
        sys.modules["airflow.__main__"].main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _fork(work: Callable[[], int]) -> int:
    """The id of a new process that does this and ends without Python's farewell."""
    if (pid := os.fork()) != 0:
        return pid
    code = 1
    try:
        code = work()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _code(status: int) -> int:
    """As a shell reports it: 128 and the signal, for a command that was killed."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    serve(sys.argv[1])

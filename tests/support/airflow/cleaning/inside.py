"""Runs in Airflow's own environment: cleans the database that the order on stdin names, and prints the report.

``dies_before``, ``dies_after``, ``loses_after`` so many commits: it is killed, or the server ends the connection; in
the latter case it prints what the report says in spite of it.
"""

import json
import os
import signal
import sys
from typing import Any

import psycopg2  # type: ignore[import-untyped]
import psycopg2.extensions  # type: ignore[import-untyped]

from groundcrew_cleaning.act import Cleaning

said = json.load(sys.stdin)
commits: list[int] = []


class Doomed(psycopg2.extensions.connection):  # type: ignore[misc]
    """Counts the commits of all connections."""

    def commit(self) -> None:
        """Then what is to happen, happens."""
        commits.append(self.info.backend_pid)
        if len(commits) == said.get("dies_before"):
            os.kill(os.getpid(), signal.SIGKILL)
        super().commit()
        if len(commits) == said.get("dies_after"):
            os.kill(os.getpid(), signal.SIGKILL)
        if len(commits) == said.get("loses_after"):
            other = psycopg2.connect(said["conninfo"])
            other.autocommit = True
            with other.cursor() as cursor:
                cursor.execute("select pg_terminate_backend(%s)", (self.info.backend_pid,))


def connect() -> Any:
    return psycopg2.connect(said["conninfo"], connection_factory=Doomed)


second = connect() if said.get("connections") == 2 else None
cleaning = Cleaning(connect(), said["policy"], said["covered"], said["seconds"], second)
failure, converged = None, False
try:
    converged = cleaning.run(deletes=said["mode"] == "delete")
except psycopg2.OperationalError as error:
    if "loses_after" not in said:
        raise
    failure = type(error).__name__
print(json.dumps({"tables": cleaning.report, "converged": converged, "failure": failure, "commits": len(commits)}))

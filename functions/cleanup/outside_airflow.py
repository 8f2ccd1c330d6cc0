"""An environment's Airflow 3 as the outside engine asks it: commands one at a time, and runs by REST."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cleanup.outside_plan import Seen
from cleanup.outside_slices import Command
from cleanup.outside_versions import Capability
from groundcrew.aws import airflow, cli
from groundcrew.aws.locks import Locks
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment
from groundcrew.errors import AccessDenied, PermanentError, TransientError
from groundcrew.events import moment
from groundcrew.manifests import Coverage

UNFINISHED = ("queued", "running")
"""States of a run that has not ended (Airflow ``DagRunState``)."""

CHANGES = ("/dags/~/dagRuns", "/dags/~/dagRuns/~/taskInstances")
"""Where changes of runs and of task instances can be asked for."""


class Airflow:
    """One environment's Airflow 3."""

    def __init__(self, roles: Roles, environment: Environment, locks: Locks) -> None:
        """Ask as the spoke's role ``airflow``; ``locks`` keep commands apart, whoever sends them."""
        self._roles = roles
        self._environment = environment
        self._locks = locks

    def clean(self, command: Command, can: Capability) -> cli.Output | None:
        """Send a command; None if there is no answer to it: it may be running.

        Raises:
            TransientError: it was not sent.
        """
        try:
            return self._run(words(command, can))
        except cli.StillRunning:
            return None

    def seen(self, covered: Coverage, before: datetime) -> Seen:
        """What bounds a clean-up of what is older than ``before``."""
        changed = None
        since = [covered[table].until for table in ("dag_run", "task_instance") if table in covered]
        if since:
            window = {"updated_at_gte": min(since).isoformat(), "run_after_lte": before.isoformat()}
            found = [self._oldest_due("GET", path, query=window) for path in CHANGES]
            changed = min((due for due in found if due), default=None)
        return Seen(covered, unfinished=self._unfinished(), changed=changed)

    def begins(self) -> datetime | None:
        """When the oldest run was due; None without runs."""
        return self._oldest_due("GET", CHANGES[0], query={})

    def _unfinished(self) -> datetime | None:
        """When the oldest unfinished run was due; nothing of it is older, for a run begins when it is due or later."""
        body = {"states": list(UNFINISHED)}
        return self._oldest_due("POST", "/dags/~/dagRuns/list", body=body)

    def _oldest_due(self, method: str, path: str, **asked: Mapping[str, Any]) -> datetime | None:
        first = {"order_by": "run_after"}
        if method == "GET":
            answer = self._rest(method, path, query={**asked["query"], **first, "limit": 1})
        else:
            answer = self._rest(method, path, body={**asked["body"], **first, "page_limit": 1})
        entries = answer.get("dag_runs", answer.get("task_instances"))
        if not isinstance(entries, list):
            raise TransientError(f"{method} {path}: Airflow's answer has no entries", cause="AirflowBroken")
        if not entries:
            return None
        due = [entries[0].get(key) for key in ("run_after", "start_date", "queued_at")]
        known = [moment(one) for one in due if one]
        if not known:
            raise TransientError(f"{method} {path}: Airflow's answer has no date", cause="AirflowBroken")
        return min(known)

    def _rest(self, method: str, path: str, **asked: Mapping[str, Any]) -> Mapping[str, Any]:
        status, answer = airflow.invoke_rest_api(self._roles, self._environment.ref, method, path, **asked)
        if status >= 400 or not isinstance(answer, Mapping):
            what = f"{method} {path}: Airflow answered {status}"
            if status in (401, 403):
                raise AccessDenied(what, cause="Denied", remedy="Let the role groundcrew-airflow of the spoke do that.")
            if status == 429 or status < 400:
                raise TransientError(what, cause="AirflowBroken")
            raise PermanentError(what, cause="AirflowRefuses", remedy="Update Groundcrew: Airflow's API has changed.")
        return answer

    def _run(self, asked: list[str]) -> cli.Output:
        ref = self._environment.ref
        with self._locks.held(f"cli/{ref}", seconds=cli.LONGEST_COMMAND):
            return cli.run(self._roles, ref, " ".join(asked))


def words(command: Command, can: Capability) -> list[str]:
    """The command line; archives are never kept, for through MWAA they could be neither exported nor dropped.

    None of its words needs quotes.
    """
    how = ["--dry-run"] if command.look else ["--skip-archive", "--yes"]
    told = ["--error-on-cleanup-failure"] if can.tells_failure and not command.look else []
    before = command.before.isoformat()
    return ["db", "clean", "--clean-before-timestamp", before, "--tables", command.table, *how, *told]

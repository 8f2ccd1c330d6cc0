"""Airflow through ``InvokeRestApi``: both versions of its REST API, asked the same way.

What differs between them is measured for every version that MWAA offers; MWAA itself fills in ``/api/v1`` or
``/api/v2`` (https://docs.aws.amazon.com/mwaa/latest/userguide/access-mwaa-apache-airflow-rest-api.html).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from groundcrew.aws import airflow
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment
from groundcrew.errors import AccessDenied, PermanentError, TransientError
from groundcrew.ways.seen import Dag, Run, RunRef, Start, WayClosed
from groundcrew.ways.words import quoted

LONGEST_PATH = 64
"""Characters, of ``RestApiPath`` (botocore ``mwaa``); whether AWS refuses longer ones is not documented."""

PAGE = 100
"""Entries of a page: Airflow's default ``[api] maximum_page_limit``."""


class RestWay:
    """Airflow's REST API in one environment."""

    name: Literal["rest", "cli"] = "rest"

    def __init__(self, roles: Roles, environment: Environment) -> None:
        """Ask as the spoke's role ``airflow``."""
        self._roles = roles
        self._environment = environment
        self._v2 = not environment.airflow_version.startswith("2.")

    def dag(self, dag_id: str) -> Dag | None:
        """The DAG, or None if Airflow knows none of that name or its file is gone."""
        try:
            status, body = self._call("GET", f"/dags/{_quoted(dag_id)}")
        except WayClosed as closed:
            if closed.cause != "PathTooLong":
                raise
            body = next((one for one in self._dags_like(dag_id) if one.get("dag_id") == dag_id), None)
            status = 200 if body else 404
        if status == 404 or body.get("is_active") is False or body.get("is_stale") is True:
            return None
        _expect(status, body, f"looking at the DAG {dag_id}")
        return Dag(bool(body.get("is_paused")), bool(body.get("has_import_errors")))

    def run(self, ref: RunRef, *, of_any_age: bool = False) -> Run | None:
        """The run with the reference's id, or None."""
        try:
            status, body = self._call("GET", f"/dags/{_quoted(ref.dag_id)}/dagRuns/{_quoted(ref.run_id)}")
        except WayClosed as closed:
            if closed.cause != "PathTooLong" or of_any_age:
                raise
            if ref.logical_date:
                window = self._between(ref.logical_date, ref.logical_date)
            else:
                window = {"run_after_gte" if self._v2 else "execution_date_gte": ref.earliest.isoformat()}
            return next((run for run in self._runs(ref.dag_id, window) if run.run_id == ref.run_id), None)
        if status == 404:
            return None
        _expect(status, body, f"looking at the run {ref.run_id} of {ref.dag_id}")
        return _run(body)

    def twin(self, ref: RunRef) -> Run | None:
        """A run of that DAG with the reference's logical date, or None."""
        if ref.logical_date is None:
            return None
        return next(self._runs(ref.dag_id, self._between(ref.logical_date, ref.logical_date)), None)

    def import_errors(self) -> list[str]:
        """The files that Airflow cannot import; of the first page."""
        status, body = self._call("GET", "/importErrors", query={"limit": PAGE})
        _expect(status, body, "looking for import errors")
        return sorted({str(one.get("filename")) for one in body.get("import_errors") or ()})

    def unpause(self, dag_id: str) -> None:
        """Let the DAG's runs start."""
        status, body = self._call("PATCH", f"/dags/{_quoted(dag_id)}", body={"is_paused": False})
        _expect(status, body, f"unpausing the DAG {dag_id}")

    def start(self, start: Start) -> bool:
        """Start a run; False if Airflow says that it has one with that id or that logical date.

        Version 2 of the API wants a logical date, null if there is none. Should MWAA drop null fields on the way, which
        is not documented, the present is as good as none.
        """
        ref = start.ref
        wanted: dict[str, Any] = {"dag_run_id": ref.run_id, "conf": dict(start.conf), "note": start.note}
        if ref.logical_date or self._v2:
            wanted["logical_date"] = ref.logical_date.isoformat() if ref.logical_date else None
        path = f"/dags/{_quoted(ref.dag_id)}/dagRuns"
        status, body = self._call("POST", path, body=wanted)
        if status == 422 and ref.logical_date is None and "logical_date" in str(body):
            status, body = self._call("POST", path, body=wanted | {"logical_date": datetime.now(UTC).isoformat()})
        if status == 409:
            return False
        _expect(status, body, f"starting {ref.dag_id}", start.conf)
        return True

    def _dags_like(self, dag_id: str) -> Iterator[Mapping[str, Any]]:
        offset = 0
        while True:
            query = {"dag_id_pattern": dag_id, "limit": PAGE, "offset": offset}
            status, body = self._call("GET", "/dags", query=query)
            _expect(status, body, f"looking for the DAG {dag_id}")
            page = body.get("dags") or []
            yield from page
            offset += len(page)
            if not page or offset >= int(body.get("total_entries") or 0):
                return

    def _runs(self, dag_id: str, window: Mapping[str, str]) -> Iterator[Run]:
        offset = 0
        while True:
            wanted = {"dag_ids": [dag_id], "page_limit": PAGE, "page_offset": offset, **window}
            status, body = self._call("POST", "/dags/~/dagRuns/list", body=wanted)
            _expect(status, body, f"looking at the runs of {dag_id}")
            page = body.get("dag_runs") or []
            yield from (_run(one) for one in page)
            offset += len(page)
            if not page or offset >= int(body.get("total_entries") or 0):
                return

    def _between(self, first: datetime, last: datetime) -> dict[str, str]:
        name = "logical_date" if self._v2 else "execution_date"
        return {f"{name}_gte": first.isoformat(), f"{name}_lte": last.isoformat()}

    def _call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        try:
            status, body = airflow.invoke_rest_api(self._roles, self._environment.ref, method, path, **more)
            return status, body if isinstance(body, Mapping) else {"detail": body}
        except AccessDenied as error:
            raise WayClosed(error.what, cause="RestDenied", remedy=error.remedy) from error
        except PermanentError as error:
            if "Update your environment" in error.what:
                raise WayClosed(error.what, cause="VersionTooOld") from error
            if error.cause == "ValidationException" and len(path) > LONGEST_PATH:
                raise WayClosed(error.what, cause="PathTooLong") from error
            conf = (more.get("body") or {}).get("conf")  # AWS may repeat what it does not accept
            raise type(error)(quoted(error.what, conf), cause=error.cause, remedy=error.remedy) from None


def _quoted(text: str) -> str:
    return quote(text, safe="~:+")


def _expect(status: int, body: Any, doing: str, conf: Mapping[str, Any] | None = None) -> None:
    """Raise what an answer other than success means; Airflow's own words go with it."""
    if status < 400:
        return
    said = " ".join(str(body.get(key)) for key in ("title", "detail") if body.get(key)) if body else ""
    what = f"{doing}: Airflow answered {status}: {quoted(said, conf)}"
    if status == 429:
        raise TransientError(what, cause="AirflowThrottled")
    if status in (401, 403):
        raise AccessDenied(what, cause="Denied", remedy="Let the role groundcrew-airflow of the spoke do that.")
    if status == 404:
        raise PermanentError(what, cause="UnknownDag", remedy="Look whether the DAG was removed a moment ago.")
    raise PermanentError(
        what, cause="BadConf", remedy="Correct the conf, logical_date or run_id that Airflow does not accept."
    )


def _run(body: Mapping[str, Any]) -> Run:
    return Run(
        run_id=str(body.get("dag_run_id")),
        state=str(body.get("state") or ""),
        conf=body.get("conf") or {},
        note=body.get("note"),
        logical_date=_moment(body.get("logical_date") or body.get("execution_date")),
        created_at=_moment(body.get("queued_at")),
        start_date=_moment(body.get("start_date")),
        end_date=_moment(body.get("end_date")),
    )


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

"""The REST API of Airflow 3.x (/api/v2), as far as a caller needs it who starts and follows runs.

Recorded on 3.3.1, the lists on 3.0.6, too; ``test_double.py`` and ``test_double_lists.py`` compare.
Unknown query parameters are ignored, unknown members of a body are not.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.model import airflow_state
from localcloud.model import airflow_v2_checks as checks
from localcloud.model import airflow_v2_lists as lists
from localcloud.model.airflow_state import Dag, Listed, Run, State

Answer = tuple[int, Any]
Query = Mapping[str, Any]

_SORTABLE = {
    **{name: name for name in ("id", "dag_id", "state", "run_id", "logical_date", "run_after", "start_date")},
    **{"end_date": "end_date", "duration": "duration", "dag_run_id": "run_id"},
}
_SECRETIVE = {"statement": "hidden", "orig_error": "hidden"}  # `[api] expose_stacktrace` is off
_SERIOUS = (
    "Serious error when handling your request. Check logs for more details - "
    "you will find it in api server when you look for ID {:08x}"
)


@dataclass
class RestV2:
    """One API server."""

    state: State
    version: str = "3.3.1"

    def answer(self, method: str, path: str, query: Query, body: Any) -> Answer:
        """Status and body; NotImplementedError for what the double does not know."""
        try:
            return 200, self._answer(method, path, query, body)
        except checks.Problem as problem:
            return problem.status, {"detail": problem.detail}

    def _answer(self, method: str, path: str, query: Query, body: Any) -> Any:
        match method, path.strip("/").split("/"):
            case "GET", ["dags"]:
                return self._dags(query)
            case "GET", ["dags", dag_id]:
                return self._shown(self._dag(dag_id))
            case "PATCH", ["dags", dag_id]:
                return self._patch_dag(dag_id, query, body)
            case "POST", ["dags", "~", "dagRuns", "list"]:
                return self._list(body)
            case "GET", ["dags", "~", "dagRuns", "~", "taskInstances"] if query.get("order_by") == "run_after":
                return {"task_instances": [], "total_entries": 0}  # the double's runs have none
            case "GET", ["dags", dag_id, "dagRuns"]:
                return self._runs(dag_id, query)
            case "POST", ["dags", dag_id, "dagRuns"]:
                return self._trigger(dag_id, body)
            case "GET", ["dags", dag_id, "dagRuns", run_id]:
                return self._run(dag_id, run_id)
            case "GET", ["importErrors"]:
                return self._import_errors(query)
            case "GET", _ if path in lists.LISTS:
                return lists.answer(self.version, path, self.state.lists.get(path, ()), query)
            case _:
                raise NotImplementedError(f"{method} {path} is not part of the double")

    # ------------------------------------------------------------------ DAGs
    def _dags(self, query: Query) -> Any:
        offset, limit = checks.page(query)
        dags = sorted(self.state.dags.values(), key=lambda dag: dag.dag_id)
        if pattern := query.get("dag_id_pattern"):
            words = [word.strip() for word in str(pattern).replace("~", "%").split("|") if word.strip()]
            dags = [dag for dag in dags if any(airflow_state.like(word, dag.dag_id) for word in words)]
        if "paused" in query:
            dags = [dag for dag in dags if dag.is_paused == (str(query["paused"]).lower() == "true")]
        if "tags" in query:
            dags = []  # the double's DAGs have none
        if (order := str(query.get("order_by", "dag_id"))).lstrip("-") != "dag_id":
            raise _disallowed(order)
        if order.startswith("-"):
            dags.reverse()
        return {"dags": [self._shown(dag) for dag in dags[offset : offset + limit]], "total_entries": len(dags)}

    def _dag(self, dag_id: str) -> Dag:
        if dag_id not in self.state.dags:
            raise checks.Problem(404, f"The Dag with ID: `{dag_id}` was not found")
        return self.state.dags[dag_id]

    def _patch_dag(self, dag_id: str, query: Query, body: Any) -> Any:
        changes = checks.read(body, checks.PATCH_DAG)
        if dag_id not in self.state.dags:
            raise checks.Problem(404, f"Dag with id: {dag_id} was not found")
        if query.get("update_mask", "is_paused") != "is_paused":
            raise checks.Problem(400, "Only `is_paused` field can be updated through the REST API")
        self.state.pause(self.state.dags[dag_id], changes["is_paused"])
        return self._shown(self.state.dags[dag_id])

    def _shown(self, dag: Dag) -> dict[str, Any]:
        null = (
            "last_expired", "bundle_version", "description", "timetable_summary", "next_dagrun_logical_date",
            "next_dagrun_data_interval_start", "next_dagrun_data_interval_end", "next_dagrun_run_after",
            "allowed_run_types",
        )  # fmt: skip
        false = (
            "is_stale", "timetable_partitioned", "timetable_periodic", "has_task_concurrency_limits", "is_backfillable",
        )  # fmt: skip
        return {
            **dict.fromkeys(null),
            **dict.fromkeys(false, False),
            "dag_id": dag.dag_id,
            "dag_display_name": dag.dag_id,
            "is_paused": dag.is_paused,
            "last_parsed_time": _iso(self.state.now()),
            "last_parse_duration": 0.1,
            "bundle_name": "dags-folder",
            "relative_fileloc": f"{dag.dag_id}.py",
            "fileloc": f"/usr/local/airflow/dags/{dag.dag_id}.py",
            "timetable_description": "Never, external triggers only",
            "tags": [],
            "max_active_tasks": 16,
            "max_active_runs": 16,
            "max_consecutive_failed_dag_runs": 0,
            "has_import_errors": dag.has_import_errors,
            "owners": ["airflow"],
            "file_token": f"token-of-{dag.dag_id}",
        }

    # ------------------------------------------------------------------ runs
    def _trigger(self, dag_id: str, body: Any) -> Any:
        asked = checks.read(body, checks.TRIGGER)
        dag = self.state.dags.get(dag_id)
        if dag is None:
            raise checks.Problem(404, f"Dag with dag_id: '{dag_id}' not found")
        if dag.has_import_errors:
            raise checks.Problem(400, f"Dag with dag_id: '{dag_id}' has import errors and cannot be triggered")
        now = self.state.now()
        date, run_after = asked["logical_date"], asked.get("run_after") or now
        run_id = asked.get("dag_run_id") or f"manual__{run_after.astimezone(dt.UTC).isoformat()}"
        conf, note = asked.get("conf") or {}, asked.get("note") or None
        self._check_run_id(run_id)
        if self.state.same(dag_id, run_id, date):
            raise self._serious(409, "Unique constraint violation")
        if len(run_id) > 250 or len(note or "") > 1000:
            raise self._serious(422, "Value rejected by database")
        run = Run(len(self.state.runs) + 1, dag, run_id, date, now, run_after, conf, note, "rest_api")
        return _shown_run(self.state.add(run))

    def _check_run_id(self, run_id: str) -> None:
        kind = run_id.partition("__")[0]
        if kind in ("scheduled", "backfill", "asset_triggered"):
            reserved = f"since it is reserved for {kind} runs"
            raise checks.Problem(400, f"A manual DAG run cannot use ID '{run_id}' {reserved}")
        if not airflow_state.run_id_is_allowed(run_id):
            patterns = f"'{airflow_state.RUN_ID}' or '{airflow_state.generated_pattern('asset')}'"
            raise checks.Problem(400, f"The run_id provided '{run_id}' does not match regex pattern {patterns}")

    def _serious(self, status: int, reason: str) -> checks.Problem:
        """What the database refuses; the answer does not say why."""
        return checks.Problem(
            status, {"reason": reason, **_SECRETIVE, "message": _SERIOUS.format(len(self.state.runs))}
        )

    def _run(self, dag_id: str, run_id: str) -> Any:
        for run in self.state.of(dag_id):
            if run.run_id == run_id:
                return _shown_run(run, dt.UTC)
        raise checks.Problem(404, f"The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")

    def _runs(self, dag_id: str, query: Query) -> Any:
        offset, limit = checks.page(query)
        if dag_id != "~":
            self._dag(dag_id)
        states = query.get("state", [])
        states = [states] if isinstance(states, str) else states
        if any(state not in checks.STATES for state in states):
            raise checks.Problem(422, f"Invalid value for state. Valid values are {', '.join(checks.STATES)}")
        bounds = [
            (name, comparison, dt.datetime.fromisoformat(str(query[f"{name}_{comparison}"])))
            for name in ("run_after", "updated_at")
            for comparison in ("gte", "lte")
            if f"{name}_{comparison}" in query
        ]
        found = airflow_state.select(self.state.of(dag_id), states=states, conditions=bounds)
        order = str(query.get("order_by", "id"))
        if order != "id":
            return _collection(found, order, offset, limit)
        listed = [Listed(run.id, _shown_run(run, dt.UTC), run.updated_at) for run in found]
        return lists.answer(self.version, lists.RUNS, listed, query)

    def _list(self, body: Any) -> Any:
        asked = checks.read(body, checks.LIST)
        conditions = [
            (*name.rsplit("_", 1), value)
            for name, value in asked.items()
            if value is not None and name.rpartition("_")[2] in ("gte", "gt", "lte", "lt")
        ]
        found = airflow_state.select(
            self.state.runs, dag_ids=asked.get("dag_ids"), states=asked.get("states"), conditions=conditions
        )
        return _collection(
            found, asked.get("order_by") or "id", asked.get("page_offset", 0), asked.get("page_limit", 100)
        )

    def _import_errors(self, query: Query) -> Any:
        broken = [dag for dag in self.state.dags.values() if dag.has_import_errors]
        errors = [
            {
                "import_error_id": number,
                "timestamp": _iso(self.state.now()),
                "filename": f"{dag.dag_id}.py",
                "bundle_name": "dags-folder",
                "stack_trace": f"Traceback (most recent call last):\nImportError: {dag.dag_id}\n",
            }
            for number, dag in enumerate(broken, 1)
        ]
        offset, limit = checks.page(query)
        return {"import_errors": errors[offset : offset + limit], "total_entries": len(errors)}


def _iso(value: dt.datetime | None, zone: dt.tzinfo | None = None) -> str | None:
    """As pydantic writes a time: Z for UTC."""
    return (value.astimezone(zone) if zone else value).isoformat().replace("+00:00", "Z") if value else None


def _shown_run(run: Run, zone: dt.tzinfo | None = None) -> dict[str, Any]:
    """A run; what was just created has its dates in the zone they were given in."""
    date = _iso(run.logical_date, zone)
    version = {
        "id": "0193c0de-0000-7000-8000-000000000000", "version_number": 1, "dag_id": run.dag_id,
        "bundle_name": "dags-folder", "bundle_version": None, "created_at": "2026-01-01T00:00:00Z",
        "dag_display_name": run.dag_id, "bundle_url": None,
    }  # fmt: skip
    return {
        "dag_run_id": run.run_id,
        "dag_id": run.dag_id,
        "logical_date": date,
        "queued_at": _iso(run.queued_at),
        "start_date": _iso(run.start_date),
        "end_date": _iso(run.end_date),
        "duration": run.duration,
        "data_interval_start": date,
        "data_interval_end": date,
        "run_after": _iso(run.run_after, zone),
        "last_scheduling_decision": _iso(run.end_date or run.start_date),
        "run_type": "manual",
        "state": run.state,
        "triggered_by": run.triggered_by,
        "triggering_user_name": "Anonymous",
        "conf": run.conf,
        "note": run.note,
        "dag_versions": [version],
        "bundle_version": None,
        "dag_display_name": run.dag_id,
        "partition_key": None,
        "partition_date": None,
    }


def _collection(runs: list[Run], order: str, offset: int, limit: int) -> dict[str, Any]:
    attribute = _SORTABLE.get(order.lstrip("-"))
    if attribute is None:
        raise _disallowed(order)
    ordered = airflow_state.in_order(runs, attribute, descending=order.startswith("-"))
    shown = [_shown_run(run, dt.UTC) for run in ordered[offset : offset + limit]]
    return {"dag_runs": shown, "total_entries": len(runs), "next_cursor": None, "previous_cursor": None}


def _disallowed(order: str) -> checks.Problem:
    order = order.lstrip("-")
    return checks.Problem(400, f"Ordering with '{order}' is disallowed or the attribute does not exist on the model")

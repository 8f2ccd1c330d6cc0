"""The REST API of Airflow 2.x (/api/v1), as far as a caller needs it who starts and follows runs.

Recorded on 2.7.2 and 2.10.3; ``localcloud/tests/airflow/test_double.py`` compares.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.model import airflow_state
from localcloud.model import airflow_v1_checks as checks
from localcloud.model.airflow_state import Dag, Run, State

Answer = tuple[int, Any]
Query = Mapping[str, Any]

_SORTABLE = {"id": "id", "state": "state", "dag_id": "dag_id", "dag_run_id": "run_id", "start_date": "start_date",
             "end_date": "end_date", "execution_date": "logical_date"}  # fmt: skip
_PAGE = ("limit", "offset", "order_by")
_OOOPS = '\n\n<!DOCTYPE html>\n<html lang="en">\n  <body>\n    <h1> Ooops! </h1>\n    Something bad has happened.'


class Crash(Exception):
    """Airflow's code fails and answers 500, in HTML."""


@dataclass
class RestV1:
    """One web server of ``version``."""

    version: str
    state: State

    def answer(self, method: str, path: str, query: Query, body: Any) -> Answer:
        """Status and body; NotImplementedError for what the double does not know."""
        try:
            return 200, self._answer(method, path, query, body)
        except checks.Problem as problem:
            return problem.status, self._problem(problem)
        except Crash:
            return 500, _OOOPS

    def _answer(self, method: str, path: str, query: Query, body: Any) -> Any:
        fields = () if self.version.startswith("2.7") else ("fields",)
        match method, path.strip("/").split("/"):
            case "GET", ["dags"]:
                checks.only(query, (*_PAGE, "tags", "only_active", "paused", "dag_id_pattern", *fields))
                return self._dags(query)
            case "GET", ["dags", dag_id]:
                checks.only(query, fields)
                return self._shown(self._dag(dag_id))
            case "PATCH", ["dags", dag_id]:
                checks.only(query, ("update_mask",))
                return self._patch_dag(dag_id, query, body)
            case "POST", ["dags", "~", "dagRuns", "list"]:
                checks.only(query, ())
                return self._list(body)
            case "GET", ["dags", dag_id, "dagRuns"]:
                checks.only(query, (*_PAGE, "state"))
                return self._runs(dag_id, query)
            case "POST", ["dags", dag_id, "dagRuns"]:
                checks.only(query, ())
                return self._trigger(dag_id, body)
            case "GET", ["dags", dag_id, "dagRuns", run_id]:
                checks.only(query, fields)
                return self._run(dag_id, run_id)
            case "GET", ["importErrors"]:
                checks.only(query, _PAGE)
                return self._import_errors(query)
            case _:
                raise NotImplementedError(f"{method} {path} is not part of the double")

    def _problem(self, problem: checks.Problem) -> dict[str, Any]:
        link = f"https://airflow.apache.org/docs/apache-airflow/{self.version}/stable-rest-api-ref.html#section/Errors/"
        return {"detail": problem.detail, "status": problem.status, "title": problem.title, "type": link + problem.kind}

    # ------------------------------------------------------------------ DAGs
    def _dags(self, query: Query) -> Any:
        dags = sorted(self.state.dags.values(), key=lambda dag: dag.dag_id)
        if pattern := query.get("dag_id_pattern"):
            dags = [dag for dag in dags if airflow_state.like(str(pattern), dag.dag_id)]
        if "paused" in query:
            dags = [dag for dag in dags if bool(dag.is_paused) == checks.boolean(query, "paused")]
        if "tags" in query:
            dags = []  # the double's DAGs have none
        if (order := str(query.get("order_by", "dag_id"))).lstrip("-") != "dag_id":
            raise _disallowed(order)
        if order.startswith("-"):
            dags.reverse()
        offset, limit = checks.page(query)
        return {"dags": [self._shown(dag) for dag in dags[offset : offset + limit]], "total_entries": len(dags)}

    def _dag(self, dag_id: str) -> Dag:
        if dag_id not in self.state.dags:
            raise checks.Problem(404, "DAG not found", f"The DAG with dag_id: {dag_id} was not found", "NotFound")
        return self.state.dags[dag_id]

    def _patch_dag(self, dag_id: str, query: Query, body: Any) -> Any:
        checks.typed(body, {"is_paused": "boolean?"})
        if unknown := checks.unknown(body, ("is_paused",)):
            raise checks.bad(str(unknown))
        if query.get("update_mask", "is_paused") != "is_paused":
            raise checks.bad("Only `is_paused` field can be updated through the REST API")
        if dag_id not in self.state.dags:
            raise checks.Problem(404, f"Dag with id: '{dag_id}' not found", None, "NotFound")
        if "is_paused" not in body:
            raise Crash
        self.state.pause(self.state.dags[dag_id], body["is_paused"])
        return self._shown(self.state.dags[dag_id])

    def _shown(self, dag: Dag) -> dict[str, Any]:
        newer = {"dag_display_name": dag.dag_id, "max_consecutive_failed_dag_runs": 0}
        null = (
            "description", "last_expired", "last_pickled", "next_dagrun", "next_dagrun_create_after",
            "next_dagrun_data_interval_end", "next_dagrun_data_interval_start", "pickle_id", "root_dag_id",
            "schedule_interval", "scheduler_lock",
        )  # fmt: skip
        return {
            **({} if self.version.startswith("2.7") else newer),
            **dict.fromkeys(null),
            "dag_id": dag.dag_id,
            "default_view": "grid",
            "file_token": f"token-of-{dag.dag_id}",
            "fileloc": f"/usr/local/airflow/dags/{dag.dag_id}.py",
            "has_import_errors": dag.has_import_errors,
            "has_task_concurrency_limits": False,
            "is_active": True,
            "is_paused": dag.is_paused,
            "is_subdag": False,
            "last_parsed_time": self.state.now().isoformat(),
            "max_active_runs": 16,
            "max_active_tasks": 16,
            "owners": ["airflow"],
            "tags": [],
            "timetable_description": "Never, external triggers only",
        }

    # ------------------------------------------------------------------ runs
    def _trigger(self, dag_id: str, body: Any) -> Any:
        checks.typed(body, checks.TRIGGER, checks.READ_ONLY)
        dag = self.state.dags.get(dag_id)
        if dag is None:
            raise checks.Problem(404, "DAG not found", f"DAG with dag_id: '{dag_id}' not found", "NotFound")
        if dag.has_import_errors:
            raise checks.Problem(
                400, "DAG cannot be triggered", f"DAG with dag_id: '{dag_id}' has import errors", "BadRequest"
            )
        logical_date, queued_at = self._logical_date(body), self.state.now()
        if errors := checks.mistakes(body):
            raise checks.bad(str(errors))
        date = queued_at if logical_date is None else logical_date
        run_id = body.get("dag_run_id") or f"manual__{date.astimezone(dt.UTC).isoformat()}"
        if clash := self.state.same(dag_id, run_id, date):
            by_date = f"DAGRun logical date: '{date.isoformat(sep=' ')}'"
            what = by_date if clash.logical_date == date else f"DAGRun ID: '{run_id}'"
            raise checks.Problem(
                409, "Conflict", f"DAGRun with DAG ID: '{dag_id}' and {what} already exists", "AlreadyExists"
            )
        if run_id.startswith(("scheduled__", "backfill__", "dataset_triggered__")):
            kind = run_id.partition("__")[0]
            raise checks.bad(f"A manual DAG run cannot use ID '{run_id}' since it is reserved for {kind} runs")
        if not airflow_state.run_id_is_allowed(run_id):
            raise Crash
        conf, note = body.get("conf", {}), body.get("note") or None
        run = Run(len(self.state.runs) + 1, dag, run_id, date, queued_at, date, conf, note, "rest_api")
        return _shown_run(self.state.add(run))

    def _logical_date(self, body: Mapping[str, Any]) -> dt.datetime | None:
        """The date asked for, under either name; None if none is, or if it is wrong (``checks.mistakes`` says so)."""
        asked = [body[name] for name in ("logical_date", "execution_date") if name in body]
        if len(asked) == 2 and asked[0] != asked[1]:
            raise checks.Problem(
                400, "logical_date conflicts with execution_date", f"{asked[0]!r} != {asked[1]!r}", "BadRequest"
            )
        if asked and asked[0] is None and "dag_run_id" not in body:
            detail = "argument 'input': 'NoneType' object cannot be converted to 'PyString'"
            raise checks.Problem(400, "Incorrect datetime argument", detail, "BadRequest")
        return checks.date(asked[0]) if asked and asked[0] else None

    def _run(self, dag_id: str, run_id: str) -> Any:
        for run in self.state.of(dag_id):
            if run.run_id == run_id:
                return _shown_run(run, dt.UTC)
        detail = f"DAGRun with DAG ID: '{dag_id}' and DagRun ID: '{run_id}' not found"
        raise checks.Problem(404, "DAGRun not found", detail, "NotFound")

    def _runs(self, dag_id: str, query: Query) -> Any:
        states = query.get("state", [])
        found = airflow_state.select(self.state.of(dag_id), states=[states] if isinstance(states, str) else states)
        offset, limit = checks.page(query)
        return _collection(found, str(query.get("order_by", "id")), offset, limit)

    def _list(self, body: Any) -> Any:
        checks.typed(body, checks.LIST)
        if unknown := checks.unknown(body, checks.LIST):
            raise checks.bad(str(unknown))
        conditions = []
        for name, value in body.items():
            attribute, _, comparison = name.rpartition("_")
            if checks.LIST[name] == "date-time" and attribute != "updated_at":
                conditions.append((attribute.replace("execution", "logical"), comparison, checks.date(value)))
        found = airflow_state.select(
            self.state.runs, dag_ids=body.get("dag_ids"), states=body.get("states"), conditions=conditions
        )
        return _collection(found, body.get("order_by", "id"), body.get("page_offset", 0), body.get("page_limit", 100))

    def _import_errors(self, query: Query) -> Any:
        broken = [dag for dag in self.state.dags.values() if dag.has_import_errors]
        errors = [
            {
                "filename": f"/usr/local/airflow/dags/{dag.dag_id}.py",
                "import_error_id": number,
                "stack_trace": f"Traceback (most recent call last):\nImportError: {dag.dag_id}\n",
                "timestamp": self.state.now().isoformat(),
            }
            for number, dag in enumerate(broken, 1)
        ]
        offset, limit = checks.page(query)
        return {"import_errors": errors[offset : offset + limit], "total_entries": len(errors)}


# ---------------------------------------------------------------------- answers
def _shown_run(run: Run, zone: dt.tzinfo | None = None) -> dict[str, Any]:
    """A run; what was just created has its dates in the zone they were given in."""

    def iso(value: dt.datetime | None) -> str | None:
        return (value.astimezone(zone) if zone else value).isoformat() if value else None

    date = iso(run.logical_date)
    return {
        "conf": run.conf,
        "dag_id": run.dag_id,
        "dag_run_id": run.run_id,
        "data_interval_end": date,
        "data_interval_start": date,
        "end_date": iso(run.end_date),
        "execution_date": date,
        "external_trigger": True,
        "last_scheduling_decision": iso(run.end_date or run.start_date),
        "logical_date": date,
        "note": run.note,
        "run_type": "manual",
        "start_date": iso(run.start_date),
        "state": run.state,
    }


def _collection(runs: list[Run], order: str, offset: int, limit: int) -> dict[str, Any]:
    attribute = _SORTABLE.get(order.lstrip("-"))
    if attribute is None:
        raise _disallowed(order)
    ordered = airflow_state.in_order(runs, attribute, descending=order.startswith("-"))
    shown = [_shown_run(run, dt.UTC) for run in ordered[offset : offset + limit]]
    return {"dag_runs": shown, "total_entries": len(runs)}


def _disallowed(order: str) -> checks.Problem:
    return checks.bad(f"Ordering with '{order.lstrip('-')}' is disallowed or the attribute does not exist on the model")

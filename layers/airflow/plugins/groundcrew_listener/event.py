"""The event: what a hook sees of a run, and what is sent of it. The contract is ``events/schemas``."""

import hashlib
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from groundcrew_listener.environment import Environment

SOURCE = "groundcrew.airflow"
DETAIL_TYPE = "DAG Run State Change"
LARGEST_CONF = 50_000
"""Bytes of JSON; EventBridge takes 256 kB in one ``PutEvents``."""

COLUMNS = (
    "dag_id",
    "run_id",
    "run_type",
    "logical_date",  # Airflow 3.x
    "execution_date",  # the same in 2.x
    "start_date",
    "end_date",
    "clear_number",  # from 2.8
    "conf",
)


class Change(NamedTuple):
    """What a hook saw: values as Airflow held them, not looked at yet, for looking takes time."""

    state: str
    at: float
    columns: dict[str, Any]

    @classmethod
    def of(cls, dag_run: Any, state: str) -> Self:
        """Take the columns that are loaded. An attribute would ask the database for one that is not, and that within
        the scheduler's own transaction.
        """
        loaded = vars(dag_run)
        return cls(state, time.time(), {name: loaded.get(name) for name in COLUMNS})


def entry(change: Change, environment: Environment, airflow_version: str) -> dict[str, Any]:
    """The change as ``PutEvents`` takes it.

    Raises:
        ValueError: the run's ids were not loaded.
    """
    run = change.columns
    if not run["dag_id"] or not run["run_id"]:
        raise ValueError("the ids of a run were not loaded")
    clear_number = run["clear_number"] or 0
    identity = [*environment, run["dag_id"], run["run_id"], change.state, clear_number]
    detail = {
        "environment": environment._asdict(),
        "dag_id": run["dag_id"],
        "run_id": run["run_id"],
        "run_type": str(run["run_type"]),
        "state": change.state,
        "logical_date": _moment(run["logical_date"] or run["execution_date"]),
        "start_date": _moment(run["start_date"]),
        "end_date": _moment(run["end_date"]),
        "clear_number": clear_number,
        "conf": small(run["conf"]),
        "airflow_version": airflow_version,
        "request_id": "chain-" + hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:40],
    }
    return {
        "Time": datetime.fromtimestamp(change.at, UTC),
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Detail": json.dumps(detail),
    }


def small(conf: object) -> Mapping[str, Any] | None:
    """A run's configuration if it is a JSON object of moderate size, else None.

    Airflow 2.x pickles it, so it may be anything. Encoded piece by piece: all at once, a large one would keep
    Airflow's own threads from running.
    """
    if not isinstance(conf, dict):
        return None
    pieces, size = [], 0
    try:
        for piece in json.JSONEncoder(allow_nan=False).iterencode(conf):
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_CONF:
                return None
        document: dict[str, Any] = json.loads("".join(pieces))
    except Exception:  # whatever was pickled
        return None
    return document


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat()

"""The start of a run fails in turn, on real Airflow: whatever fails, there is one row in its database.

A sample; ``tests/faults/test_runs_every_step.py`` lets every call fail, with a double of Airflow.
"""

import uuid
from contextlib import suppress
from typing import Any

import pytest

from localcloud.airflow.running import RunningAirflow
from localcloud.inprocess.faults import Attempt, Killed, Kind
from tests.support.figures import Figure
from tests.support.runs.hub import open_hub

pytestmark = pytest.mark.xdist_group("airflow")

BY_REST = [Kind.THROTTLED, Kind.SERVER_ERROR, Kind.TIMED_OUT_AFTER, Kind.KILLED_BEFORE, Kind.KILLED_AFTER]
BY_COMMAND_LINE = [Kind.TIMED_OUT_AFTER, Kind.KILLED_AFTER]
CASES = [("rest", kind) for kind in BY_REST] + [("command line", kind) for kind in BY_COMMAND_LINE]


@pytest.mark.parametrize(("way", "kind"), CASES, ids=lambda value: getattr(value, "name", value))
def test_one_row(airflow: RunningAirflow, way: str, kind: Kind, figure: Figure) -> None:
    request = f"row-{uuid.uuid4().hex}"
    run = f"groundcrew__{request}"
    with open_hub() as hub:
        environment = hub.environment(airflow.version, dags=())
        hub.stage.aws.front_door.attach(environment, airflow.backend)
        if way == "rest":
            fault = hub.stage.aws.faults.add(kind, "airflow:InvokeRestApi", where=_starts)
        else:
            hub.refuse_rest()
            fault = hub.stage.aws.faults.add(kind, "airflow-cli:dags trigger")
        hub.put(hub.order(environment, "paused", request_id=request, run_id=run, if_paused="queue"))
        with suppress(Killed):
            hub.work_off()
        hub.work_off()
        assert fault.fired
        assert [said for said, _ in hub.facts()] == ["Started"]
    rows: list[dict[str, Any]] = airflow.sql("select run_id from dag_run where run_id = :'run'", run=run)
    assert rows == [{"run_id": run}]
    figure("starts that failed on a real Airflow", 1)


def _starts(attempt: Attempt) -> bool:
    return attempt.params.get("Method") == "POST"

"""A running Airflow 2 with what Groundcrew ships, and a bucket that its tasks write to."""

from localcloud.airflow.running import RunningAirflow
from localcloud.testing.waiting import eventually
from tests.support.airflow.bucket import Bucket


class Here:
    """A running Airflow with the DAG and a bucket."""

    def __init__(self, airflow: RunningAirflow, bucket: Bucket) -> None:
        self.airflow = airflow
        self.bucket = bucket

    def run(self, dag_id: str, run_id: str, conf: object) -> str:
        """Start a run; its state when it has ended."""
        self.start(dag_id, run_id, conf)
        return str(eventually(lambda: self.ended(dag_id, run_id)))

    def start(self, dag_id: str, run_id: str, conf: object) -> None:
        body = {"dag_run_id": run_id, "conf": conf}
        status, answer = self.airflow.backend.rest("POST", f"/dags/{dag_id}/dagRuns", {}, body)
        assert status == 200, answer

    def ended(self, dag_id: str, run_id: str) -> str | None:
        select = (
            "select state from dag_run where dag_id = :'dag' and run_id = :'run' and state in ('success', 'failed')"
        )
        states = self.airflow.sql(select, dag=dag_id, run=run_id)
        return str(states[0]["state"]) if states else None

    def logs(self) -> str:
        """All that Airflow has written, the tasks' logs included."""
        return "".join(file.read_text(errors="replace") for file in self.airflow.directory.rglob("*.log"))

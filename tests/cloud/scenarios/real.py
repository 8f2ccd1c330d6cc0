"""An environment with a real Airflow in it, on the deployed cloud: MWAA's part is played for it."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from localcloud import deploy
from localcloud.airflow import folder as dag_folder
from localcloud.airflow.running import SAMPLES, RunningAirflow
from localcloud.fleet import Environment, make_network
from localcloud.installation import HUB, REGION, SPOKE_STACK, STACK
from localcloud.testing.served import unique
from tests.cloud.scenarios.deployed import SPOKE, Deployed

EXPORTS = f"groundcrew-exports-{HUB}-{REGION}"
PATIENCE = 240.0
PACE = 12.0
"""The half hour that Groundcrew gives Airflow to see a new DAG is two and a half minutes of Airflow's time."""

TRUST = {"Effect": "Allow", "Principal": {"Service": "airflow-env.amazonaws.com"}, "Action": "sts:AssumeRole"}


@dataclass
class Real:
    """The environment, its Airflow, its bucket and its execution role."""

    deployed: Deployed
    environment: Environment
    airflow: RunningAirflow
    bucket: str
    role: str

    @classmethod
    @contextmanager
    def made(cls, deployed: Deployed, version: str, folder: Path, tags: Mapping[str, str]) -> Iterator[Self]:
        """One, AVAILABLE, until the block ends. ``folder``: with ``dags`` in it, or the samples."""
        name = unique("real")
        if not (folder / "dags").exists():
            samples(folder / "dags")
        bucket = f"airflow-{name}".lower()
        s3 = deployed.aws.client("s3", SPOKE)
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        role = _execution_role(deployed, name)
        session = deployed.cloud.session(role)
        variables = {
            "AIRFLOW_ENV_NAME": name,
            "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
            "AWS_SESSION_TOKEN": session["SessionToken"],
            "AWS_ENDPOINT_URL_S3": deployed.cloud.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "2",  # what is shipped is seen at once, not in five minutes
        }
        with ExitStack() as last:
            airflow = RunningAirflow(version, folder / "airflow", dags=folder / "dags", environment=variables)
            last.callback(airflow.stop)
            airflow.begin()
            environment = Environment.create(
                deployed.aws,
                SPOKE,
                name,
                make_network(deployed.aws, SPOKE, REGION),
                mode="PUBLIC_ONLY",
                management="SERVICE",
                version=version,
                tags=dict(tags),
                bucket=bucket,
            )
            airflow.wait()
            deployed.cloud.attach_airflow(environment.arn, door=airflow.door, version=airflow.version)
            deployed.until_status(environment, "AVAILABLE")
            yield cls(deployed, environment, airflow, bucket, role)
            environment.delete()
            deployed.until_status(environment, "DELETED")

    def ask(self, part: str, **detail: Any) -> dict[str, Any]:
        """Ask for ``Metadata Export`` or ``Metadata Cleanup``, and wait for what is said of it."""
        request_id = unique("request")
        if self.airflow.version.startswith("2."):  # a snapshot is dated by the database's own clock
            self.airflow.turn_clock(self.deployed.cloud.now() - time.time())
        detail |= {"environment": self.environment.ref, "request_id": request_id}
        self.deployed.put(SPOKE, "groundcrew.request", f"{part} Requested", detail)

        def told() -> list[dict[str, Any]]:
            self._copy()
            facts = self.deployed.facts(f"{part} Finished") + self.deployed.facts(f"{part} Failed")
            return [fact["detail"] for fact in facts if fact["detail"]["request_id"] == request_id]

        (said,) = self.deployed.until(told, f"the end of {part}", seconds=PATIENCE, pace=PACE)
        return dict(said)

    def _copy(self) -> None:
        """What MWAA does with the DAG folder."""
        dag_folder.copy(self.deployed.aws.client("s3", SPOKE), self.bucket, self.airflow.dags)

    def objects(self, prefix: str) -> dict[str, bytes]:
        """What lies in the bucket of exports."""
        s3 = self.deployed.aws.client("s3", HUB)
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=EXPORTS, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {key: s3.get_object(Bucket=EXPORTS, Key=key)["Body"].read() for key in keys}


def samples(dags: Path) -> Path:
    """The sample DAGs, but the one that is broken."""
    shutil.copytree(SAMPLES, dags, ignore=shutil.ignore_patterns("__pycache__", "broken.py"))
    return dags


def _execution_role(deployed: Deployed, name: str) -> str:
    """With the statements that the spoke's output names."""
    iam = deployed.aws.client("iam", SPOKE)
    said = deploy.outputs(deployed.cloud, SPOKE_STACK, SPOKE, REGION)["ExportPolicy"]
    key = deploy.outputs(deployed.cloud, STACK, HUB, REGION)["ExportsKeyArn"]
    statements = json.loads(said.replace("<environment>", name).replace("<ExportsKeyArn of the hub>", key))
    role = iam.create_role(
        RoleName=f"airflow-{name}", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
    )["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName=f"airflow-{name}", PolicyName="exports", PolicyDocument=document)
    return str(role)

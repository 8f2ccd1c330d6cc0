"""DAG runs on the deployed cloud: environments whose Airflow is a double, requests, and what is said of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.fleet import Environment, Network, make_network
from localcloud.installation import HUB, REGION
from localcloud.testing.served import unique
from tests.cloud.scenarios.deployed import OTHER, SPOKE, Deployed, Fact

V2, V3 = "2.10.3", "3.3.1"
TEAM = "data"
LONG = "load_" + "x" * 80  # its paths have more than the 64 characters that InvokeRestApi documents
DAGS: list[dict[str, Any]] = [
    {"dag_id": "load"},
    {"dag_id": "report"},
    {"dag_id": "fails", "state": "failed"},
    {"dag_id": "long", "seconds": 7200},
    {"dag_id": "paused", "is_paused": True},
    {"dag_id": "paused-unpause", "is_paused": True},
    {"dag_id": "paused-queue", "is_paused": True},
    {"dag_id": "smoke", "is_paused": True},
    {"dag_id": "broken", "has_import_errors": True},
    {"dag_id": LONG},
]


@dataclass(frozen=True)
class Fleet:
    """Two environments in two accounts, one on Airflow 2 and one on Airflow 3, that people ask for runs."""

    deployed: Deployed
    v2: Environment
    v3: Environment

    @classmethod
    @contextmanager
    def made(cls, deployed: Deployed) -> Iterator["Fleet"]:
        """The environments, for as long as this lasts."""
        created = [available(deployed, SPOKE, V2), available(deployed, OTHER, V3)]
        deployed.until_idle()
        yield cls(deployed, *created)
        deployed.made += created
        deployed.clear()

    # -------------------------------------------------------------------------------------------------------- requests
    def ask(self, environments: Any, dag_id: str = "load", sender: str = HUB, **detail: Any) -> str:
        """Ask for a run as people do, on the default bus of an account; the request's id."""
        request_id = detail.setdefault("request_id", unique("request"))
        detail = {"environments": environments, "dag_id": dag_id, **detail}
        self.deployed.put(sender, "groundcrew.request", "DAG Run Requested", detail)
        return str(request_id)

    def ask_of(self, environment: Environment, dag_id: str = "load", **detail: Any) -> str:
        """Ask for a run in one environment, from its own account."""
        return self.ask([environment.name], dag_id, environment.account, **detail)

    # ----------------------------------------------------------------------------------------------------------- facts
    def told(self, detail_type: str, request_id: str) -> list[Fact]:
        """What was said of a request so far."""
        facts = self.deployed.facts(detail_type)
        return [fact["detail"] for fact in facts if fact["detail"].get("request_id") == request_id]

    def until_told(self, detail_type: str, request_id: str, turn: float = 1.0) -> Fact:
        """Wait until it is said of a request."""
        found: list[Fact] = self.deployed.until(
            lambda: self.told(detail_type, request_id), f"{detail_type} of {request_id}", turn=turn
        )
        return found[-1]

    # ------------------------------------------------------------------------------------------------------------ runs
    def runs(self, environment: Environment, request_id: str = "") -> list[dict[str, Any]]:
        """The runs that Airflow has (of a request)."""
        found = self.deployed.cloud.airflow_runs(environment.arn)
        return [run for run in found if run["run_id"] == f"groundcrew__{request_id}" or not request_id]


def available(
    deployed: Deployed, account: str, version: str = V3, network: Network | None = None, **options: Any
) -> Environment:
    """An environment that is AVAILABLE, and its Airflow; in a VPC of its own, where MWAA plugs itself in, if no other
    is given.
    """
    network = network or make_network(deployed.aws, account, REGION)
    options = {"tags": {"team": TEAM}, "mode": "PUBLIC_ONLY", "management": "SERVICE", **options}
    environment = Environment.create(deployed.aws, account, unique("airflow"), network, version=version, **options)
    deployed.cloud.attach_airflow(environment.arn, version=version, dags=DAGS)
    deployed.until_status(environment, "AVAILABLE")
    return environment


@contextmanager
def stack(deployed: Deployed, template: Path, account: str = HUB, **parameters: str) -> Iterator[str]:
    """A plain template, deployed for as long as this lasts; the stack's name."""
    formation, name = deployed.aws.client("cloudformation", account, REGION), unique(template.stem)
    formation.create_stack(
        StackName=name,
        TemplateBody=template.read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    patience = {"Delay": 0.2, "MaxAttempts": 100}
    formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=patience)
    yield name
    formation.delete_stack(StackName=name)
    formation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=patience)


def queue_url(deployed: Deployed, name: str) -> str:
    """One of the hub's queues."""
    return str(deployed.aws.client("sqs", HUB).get_queue_url(QueueName=name)["QueueUrl"])


def put_in(deployed: Deployed, name: str, *messages: Any) -> None:
    """Put messages into one of the hub's queues, as its owner may."""
    sqs, url = deployed.aws.client("sqs", HUB), queue_url(deployed, name)
    for message in messages:
        sqs.send_message(QueueUrl=url, MessageBody=message if isinstance(message, str) else json.dumps(message))


@contextmanager
def impatient(deployed: Deployed, name: str) -> Iterator[None]:
    """One of the hub's queues gives a message up after one try; many take hours."""
    sqs, url = deployed.aws.client("sqs", HUB), queue_url(deployed, name)
    kept = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
    once = {**json.loads(kept["RedrivePolicy"]), "maxReceiveCount": 1}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(once)})
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes=kept)

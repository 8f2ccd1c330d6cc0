"""What ``runs`` asks AWS for an order whose DAG can run, by plain boto3."""

import json
from typing import Any

import boto3

REGION = "us-east-1"


def acting(role: str, account: str) -> Any:
    """A client of MWAA with a role of an account."""
    arn = f"arn:aws:iam::{account}:role/groundcrew/groundcrew-{role}-{REGION}"
    keys = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="bare")["Credentials"]
    return boto3.client(
        "mwaa",
        region_name=REGION,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def announce(detail_type: str, detail: dict[str, Any]) -> None:
    """Put a fact on the hub's bus."""
    fact = {"EventBusName": "groundcrew", "Source": "groundcrew", "DetailType": detail_type}
    boto3.client("events").put_events(Entries=[fact | {"Detail": json.dumps(detail)}])  # type: ignore[list-item]


def follow(event: dict[str, Any], context: object) -> dict[str, Any]:
    """One look at a run, which is gone."""
    account, name = event["environment"]["account"], event["environment"]["name"]
    acting("observer", account).get_environment(Name=name)
    airflow = acting("airflow", account)
    try:
        airflow.invoke_rest_api(Name=name, Method="GET", Path=f"/dags/{event['dag_id']}/dagRuns/{event['run_id']}")
    except airflow.exceptions.RestApiClientException:
        announce("DAG Run Finished", event)
    return event


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """One message, one run."""
    order = json.loads(event["Records"][0]["body"])["detail"]
    account, name = order["environment"]["account"], order["environment"]["name"]
    acting("observer", account).get_environment(Name=name)
    airflow, path = acting("airflow", account), f"/dags/{order['dag_id']}"
    airflow.invoke_rest_api(Name=name, Method="GET", Path=path)
    run = {"dag_run_id": order["run_id"], "conf": order["conf"], "logical_date": None}
    airflow.invoke_rest_api(Name=name, Method="POST", Path=f"{path}/dagRuns", Body=run)
    announce("DAG Run Started", order)
    return {"batchItemFailures": []}

"""What the sample of the MWAA guide does (L9856-10017), in our words: all rows as objects, printed, then as text."""

import csv
from datetime import UTC, datetime
from io import StringIO

import boto3
from airflow import settings
from airflow.models import TaskInstance

OLDEST = datetime(2020, 1, 1, tzinfo=UTC)


def export() -> None:
    """The task instances of runs since then, to one object."""
    session = settings.Session()
    instances = session.query(TaskInstance).filter(TaskInstance.execution_date >= OLDEST).all()
    print("TaskInstance : ", str(instances))
    text = StringIO()
    writer = csv.DictWriter(text, vars(instances[0]).keys())
    writer.writeheader()
    for instance in instances:
        writer.writerow(vars(instance))
    boto3.client("s3").put_object(Bucket="guide", Key="files/export/TaskInstance.csv", Body=text.getvalue())

"""Runs in Airflow's own environment, its modules imported before the clock starts: one line of JSON at the end.

task.py time ours|guide     the seconds of an export alone; ours reads its conf from stdin
task.py memory FILE DAG     the most memory of a process that runs a DAG's tasks, in MB; the conf on stdin
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import boto3  # noqa: F401 - as the guide's sample does
import botocore.session  # noqa: F401
from airflow import settings


def seconds(whose: str) -> float:
    """Of the work of a task, its client for S3 included."""
    conf: Any = json.load(sys.stdin)
    settings.engine.connect().close()
    if whose == "ours":
        from groundcrew_metadata import extract  # noqa: PLC0415

        begin = time.monotonic()
        extract.run(conf)
    else:
        from guide import export  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

        begin = time.monotonic()
        export()
    return time.monotonic() - begin


def memory(file: str, dag_id: str) -> float:
    """The high-water mark of this process when every task of the DAG has run in it."""
    from airflow.models.dagbag import DagBag  # noqa: PLC0415

    dag = DagBag(file, include_examples=False).dags[dag_id]
    run = dag.test(run_conf=json.load(sys.stdin))
    if run.state != "success":
        raise RuntimeError(f"{dag_id} ended {run.state}")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


what, *arguments = sys.argv[1:]
print(json.dumps((seconds if what == "time" else memory)(*arguments)))

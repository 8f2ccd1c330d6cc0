"""Runs in Airflow's own environment: reads command lines as JSON, prints what Airflow's parser makes of each."""

import json
import shlex
import sys
from argparse import Namespace

from airflow.cli import cli_parser  # type: ignore[import-not-found, unused-ignore]

MACHINERY = ("func", "execution_date_or_run_id")


def read(namespace: Namespace) -> dict[str, object]:
    """Its members as text, but without functions."""
    return {name: repr(value) for name, value in sorted(vars(namespace).items()) if name not in MACHINERY}


def parsed(line: str) -> dict[str, object]:
    try:
        return read(cli_parser.get_parser().parse_args(shlex.split(line)))
    except SystemExit as end:
        return {"exit": repr(end.code)}


json.dump([parsed(line) for line in json.load(sys.stdin)], sys.stdout)

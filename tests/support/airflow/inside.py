"""Runs in Airflow's own environment: exports what the conf on stdin asks for, as the DAG's task does.

``python inside.py VERSION``: the database may be one that another version has migrated.
"""

import json
import logging
import sys

import airflow.version

logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
airflow.version.version = sys.argv[1]

from groundcrew_metadata import extract  # noqa: E402

extract.run(json.load(sys.stdin))

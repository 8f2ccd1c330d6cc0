"""Runs in Airflow's own environment: cleans the database that the order on stdin names, and prints the report."""

import json
import sys

import psycopg2  # type: ignore[import-untyped]

from groundcrew_cleaning.act import Cleaning

said = json.load(sys.stdin)
cleaning = Cleaning(psycopg2.connect(said["conninfo"]), said["policy"], said["covered"], said["seconds"])
converged = cleaning.run(deletes=said["mode"] == "delete")
print(json.dumps({"tables": cleaning.report, "converged": converged}))

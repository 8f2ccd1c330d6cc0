"""Runs in Airflow's own environment: cleans a database, and prints one line of JSON.

``cleaning.py CONNINFO CONNECTIONS DAYS [vacuum]``: seconds, rows deleted, the longest transaction, MB of memory more
than before, whether nothing is left. DAYS is that part of a policy.
"""

import json
import resource
import sys
import time

import psycopg2  # type: ignore[import-untyped, unused-ignore]

from groundcrew_cleaning.act import Cleaning
from groundcrew_cleaning.database import Database

POLICY = {"export_required": False, "confirm": 1, "statement_timeout_seconds": 300}

if "vacuum" not in sys.argv[4:]:
    Database.vacuum = lambda *_: None  # type: ignore[method-assign]
connections = [psycopg2.connect(sys.argv[1]) for _ in range(int(sys.argv[2]))]
policy = {**POLICY, "days": json.loads(sys.argv[3])}
cleaning = Cleaning(connections[0], policy, {}, 3600, connections[1] if len(connections) > 1 else None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
converged = cleaning.run(deletes=True)
said = {
    "seconds": time.perf_counter() - began,
    "rows": sum(about["deleted"] for about in cleaning.report.values()),
    "longest": max(about.get("longest_seconds", 0) for about in cleaning.report.values()),
    "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    "converged": converged,
}
print(json.dumps(said))

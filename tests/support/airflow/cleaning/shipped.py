"""A real Airflow 2 with the DAG that cleans, as it is shipped, and orders for it."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from localcloud.airflow.running import SAMPLES, RunningAirflow
from localcloud.testing.airflows import live, processes_of, require
from tests.support.airflow import exporting
from tests.support.airflow.bucket import Bucket
from tests.support.airflow.exporting import PLACE, credentials
from tests.support.airflow.here import Here

OF_2 = live("2.")
DAG_ID = "groundcrew_cleanup"
POLICY = {"days": {"default": 30}, "export_required": False}
numbers = count()


@contextmanager
def running(version: str, folder: Path, more: Callable[[Path], None]) -> Iterator[Here]:
    """It, until the block ends; ``more`` puts DAGs into its folder."""
    require(version)
    shutil.copytree(SAMPLES, folder / "dags", ignore=shutil.ignore_patterns("__pycache__", "broken.py"))
    exporting.ship(folder / "dags")
    more(folder / "dags")
    with ExitStack() as last:
        bucket = last.enter_context(Bucket(folder / "bucket"))
        environment = {"AIRFLOW_ENV_NAME": "data", **credentials(bucket.url)}
        airflow = RunningAirflow(version, folder / "airflow", dags=folder / "dags", environment=environment)
        yield Here(last.enter_context(airflow), bucket)
    assert processes_of(folder) == []


def new_id() -> str:
    return f"20261127T043000Z-{next(numbers):08x}"


def ordered(here: Here, **changes: Any) -> dict[str, str]:
    """Ship an order, as the hub does; the conf that names it."""
    order = {
        "cleanup_id": new_id(),
        "place": {**PLACE, "opt_in": []},
        "mode": "delete",
        "policy": POLICY,
        "covered": {},
        "seconds": 60,
        "until": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
    } | changes
    content = json.dumps(order).encode()
    folder = here.airflow.dags / "groundcrew/orders"
    folder.mkdir(exist_ok=True)
    (folder / f"{order['cleanup_id']}.json").write_bytes(content)
    return {"cleanup_id": str(order["cleanup_id"]), "sha256": hashlib.sha256(content).hexdigest()}


def clean(here: Here, conf: Any, run_id: str = "") -> str:
    return here.run(DAG_ID, run_id or f"groundcrew__{conf['cleanup_id']}", conf)


def report(here: Here, conf: Any) -> dict[str, Any]:
    key = f"extracts/222222222222/us-east-1/data/{conf['cleanup_id']}/cleanup.json"
    return dict(json.loads(here.bucket.objects()[key]))

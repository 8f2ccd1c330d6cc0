"""The verify function: how fast it reads two million task instances, and in how much memory."""

import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from bench.results import Figure, figure
from bench.size import Size
from exports.order import Order
from groundcrew.environment import EnvironmentRef
from groundcrew_metadata.declared import TASK_INSTANCE
from groundcrew_metadata.parts import Parts
from localcloud.airflow import installed

ROWS = 2_000_000
RUNS = 3
ROWS_PER_SECOND, MOST_MB = 300_000, 1000
VERSION = "2.10.3"
AT = "2026-11-27T04:30:00+00:00"


def measure(size: Size) -> list[Figure]:
    """Rows a second, and megabytes at most."""
    with tempfile.TemporaryDirectory(prefix="groundcrew-bench-") as name:
        rows = size.of(ROWS)
        _extract(Path(name), rows)
        measured = [_verify(Path(name)) for _ in range(size.times(RUNS))]
    against = f"{rows:,} task instances of 30 columns, from parts on disk to Parquet on disk"
    speed = [rows / one["seconds"] for one in measured]
    memory = [one["mb"] for one in measured]
    return [
        figure("exports.verify_rows_per_second", speed, "rows/s", against, ROWS_PER_SECOND),
        figure("exports.verify_memory", memory, "MB", "the same", MOST_MB),
    ]


def _verify(folder: Path) -> dict[str, float]:
    paths = os.pathsep.join([str(installed.ROOT / "functions"), str(installed.ROOT)])
    command = [sys.executable, "-m", "bench.verify_process", str(folder)]
    done = subprocess.run(
        command, cwd=installed.ROOT, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _extract(folder: Path, rows: int) -> None:
    """What the inside engine leaves of a history as the bench of that engine makes it."""
    ref = EnvironmentRef("222222222222", "us-east-1", "data")
    order = Order(
        environment=ref,
        export_id="20261127T043000Z-0a1b2c3d",
        policy="bench",
        correlation_id="bench",
        ordered_at=datetime.fromisoformat(AT),
        engine="inside",
        airflow_version=VERSION,
        tables={"task_instance": {"from": None, "until": AT}},
    )

    def put(key: str, body: bytearray, _sha256: bytes, _kind: str) -> None:
        file = folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)

    columns = [column.name for column in TASK_INSTANCE.columns_of(VERSION)]
    parts = Parts(f"{order.prefix}/task_instance", put)
    with parts:
        parts.take((",".join(columns) + "\n").encode())
        for number in range(rows):
            values = _values(number)
            parts.take((",".join(values.get(name, "") for name in columns) + "\n").encode())
    table = {
        "columns": columns,
        "window": {"column": "updated_at", "from": None, "until": AT},
        "rows": rows,
        "parts": parts.written,
        "undecoded": {},
    }
    receipt = {
        "export_id": order.export_id,
        "engine": "inside",
        "airflow_version": VERSION,
        "environment": ref.as_detail(),
        "snapshot_at": AT,
        "tables": {"task_instance": table},
    }
    (folder / order.prefix / "receipt.json").write_text(json.dumps(receipt))
    (folder / "order.json").write_text(json.dumps(order.as_state()))


def _values(number: int) -> dict[str, str]:
    """A row of ``bench/exports_history.py``: what it leaves null is null here."""
    run, task = divmod(number, 10)
    day, second = 1 + run // 2880 % 28, number % 60
    at = f"2026-{1 + run // 80640 % 12:02d}-{day:02d} {run // 120 % 24:02d}:{run % 60:02d}:{second:02d}"
    return {
        "dag_id": f"dag_{run % 150}", "task_id": f"task_{task}", "run_id": f"scheduled__{at}+00:00", "map_index": "-1",
        "try_number": "1", "max_tries": "2", "state": "failed" if number % 90 == 0 else "success",
        "operator": "PythonOperator", "task_display_name": f"task_{task}", "start_date": f"{at}+00",
        "end_date": f"{at}.37+00", "duration": str(run % 97 * 0.37), "queued_dttm": f"{at}+00",
        "updated_at": f"{at}.5+00", "pool": "default_pool", "pool_slots": "1", "queue": "default",
        "priority_weight": str(10 - task), "queued_by_job_id": "1", "job_id": str(number), "unixname": "airflow",
        "hostname": f"ip-10-0-{run % 4}-{(run * 7 + task) % 251}.ec2.internal", "pid": str(1000 + number % 30000),
        "external_executor_id": f"{number * 2654435761 % 2**32:08x}-0000-4000-8000-{number:012x}",
    }  # fmt: skip

"""The DAG folder of a real Airflow, as MWAA keeps it: a copy of what its environment's bucket has now.

MWAA looks every 30 seconds (https://docs.aws.amazon.com/mwaa/latest/userguide/configuring-dag-folder.html); here
whoever waits for something does.
"""

from pathlib import Path
from typing import Any


def copy(s3: Any, bucket: str, folder: Path, prefix: str = "dags/groundcrew/") -> list[str]:
    """Bring the folder's ``groundcrew`` to what lies below ``prefix``; the files that are there."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    wanted = {item["Key"].removeprefix(prefix): item["Key"] for page in pages for item in page.get("Contents", ())}
    target = folder / "groundcrew"
    for name, key in wanted.items():
        try:
            content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            continue  # deleted since it was listed: it goes with the next look
        file = target / name
        if not file.exists() or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_name(f".{file.name}.partial")
            partial.write_bytes(content)
            partial.replace(file)
    for file in sorted(target.rglob("*.py")) + sorted(target.rglob("*.json")):
        if str(file.relative_to(target)) not in wanted:
            file.unlink()
    return sorted(wanted)
